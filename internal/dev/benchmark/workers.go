package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// workersCommand compares the component's engine with itself: how many slices a
// second it does with one worker, two, and so on.
const workersCommand = "workers"

func compareWorkers(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(workersCommand, flag.ContinueOnError)
	root := flags.String("root", ".", "the repository")
	most := flags.Int("most", runtime.NumCPU(), "workers, at the most")
	count := flags.Int("slices", 200, "slices in a round")
	rounds := flags.Int("rounds", 7, "rounds of each number of workers, which take turns")
	if err := flags.Parse(args); err != nil {
		return err
	}
	work, err := workFolder("")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	images := filepath.Join(work, "slices")
	stream, err := writeSlices(filepath.Join(*root, "artifacts", "samples"), images, *count)
	if err != nil {
		return err
	}
	rates := make([][]float64, *most)
	engines := make([]*engine.Engine, *most)
	for i := range engines {
		cfg := config.Default()
		cfg.Model = config.Model{
			Path:    filepath.Join(*root, "artifacts", "model"),
			Library: filepath.Join(*root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
		}
		cfg.Images.Roots, cfg.Output.Root = []string{images}, filepath.Join(work, fmt.Sprint(i))
		cfg.Service.Workers = i + 1
		if engines[i], err = engine.Open(ctx, cfg, engine.Deps{}); err != nil {
			return err
		}
		defer engines[i].Close(ctx)
	}
	for round := range *rounds + 1 {
		for i, e := range engines {
			start := time.Now()
			if err := segmentAll(ctx, e, stream, 2*(i+1)); err != nil {
				return err
			}
			if rate := float64(len(stream)) / time.Since(start).Seconds(); round > 0 { // the first warms up
				rates[i] = append(rates[i], rate)
			}
		}
	}
	fmt.Printf("%d rounds of %d slices each, in turn\n", *rounds, len(stream))
	for i := range rates {
		var each []string
		for _, rate := range rates[i] {
			each = append(each, fmt.Sprintf("%.0f", rate))
		}
		fmt.Printf("%d at work: %.1f slices/s (median of %s), %.2f times those of one\n",
			i+1, middle(rates[i]), strings.Join(each, ", "), middle(rates[i])/middle(rates[0]))
	}
	return nil
}

func middle(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// segmentAll has an engine segment a stream, with so many requests on their way.
func segmentAll(ctx context.Context, e *engine.Engine, stream []slice, ahead int) error {
	places := make(chan struct{}, ahead)
	answers := make(chan error, len(stream))
	for _, s := range stream {
		places <- struct{}{}
		name := filepath.Base(s.path)
		r := request.Request{ID: name, Image: request.Image{Path: s.path}, Output: request.Output{To: name, Overwrite: true}}
		e.Submit(ctx, job.Requester{Way: job.WayCommand}, r, func(o job.Outcome) {
			o.Claim.Release()
			var err error
			if o.Result.Error != nil {
				err = errors.New(o.Result.Error.Message)
			}
			answers <- err
			<-places
		})
	}
	for range stream {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}
