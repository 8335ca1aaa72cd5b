package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// goContestantCommand makes this program a contestant: the component's own
// engine, called directly. Next to the component it shows what IPC costs.
const goContestantCommand = "go-contestant"

func goContestant(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: %s MODEL LIBRARY FOLDER", goContestantCommand)
	}
	model, err := segmentation.Open(args[0], segmentation.Options{Library: args[1]})
	if err != nil {
		return err
	}
	cfg := config.Default()
	cfg.Images.Roots, cfg.Output.Root, cfg.Service.Workers = args[2:], args[2], 1
	ctx := context.Background()
	// The engine closes the model.
	e, err := engine.Open(ctx, cfg, engine.Deps{OpenModel: func(context.Context, config.Config, *zap.Logger) (engine.Model, error) { return model, nil }})
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	answers := make(chan request.Result, 1)
	segment := func(in, out string) error {
		r := request.Request{ID: "benchmark", Image: request.Image{Path: in}, Output: request.Output{To: out, Overwrite: true}}
		e.Submit(ctx, job.Requester{Way: job.WayCommand}, r, func(o job.Outcome) { o.Claim.Release(); answers <- o.Result })
		if result := <-answers; result.Error != nil {
			return errors.New(result.Error.Message)
		}
		return nil
	}
	// A run is all of Segment: padding, window and checks too, which the other
	// contestants do outside of theirs.
	var (
		last    string // the slice that was segmented last
		picture *image.Gray
		mask    []uint8
	)
	run := func() error { return model.Segment(ctx, picture, mask) }
	for commands := bufio.NewScanner(os.Stdin); commands.Scan(); {
		fields := strings.Fields(commands.Text())
		n, work := 1, run
		switch {
		case len(fields) == 3 && fields[0] == "slice":
			last = fields[1]
			work = func() error { return segment(fields[1], fields[2]) }
		case len(fields) == 2 && fields[0] == "run" && last != "":
			if _, err = fmt.Sscan(fields[1], &n); err == nil {
				picture, mask, err = readSlice(last)
			}
		default:
			err = fmt.Errorf("unknown command %q", commands.Text())
		}
		if err != nil {
			return err
		}
		var answer strings.Builder
		for range n {
			start := time.Now()
			if err := work(); err != nil {
				return err
			}
			fmt.Fprintf(&answer, "%d ", time.Since(start).Nanoseconds())
		}
		fmt.Println(strings.TrimSpace(answer.String()))
	}
	return nil
}

// readSlice decodes a slice and makes room for its mask.
func readSlice(path string) (*image.Gray, []uint8, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	picture, _, err := imaging.Decode(data, imaging.Limits{})
	if err != nil {
		return nil, nil, err
	}
	return picture, make([]uint8, picture.Rect.Dx()*picture.Rect.Dy()), nil
}
