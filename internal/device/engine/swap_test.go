package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// How often, and between which models, the test below swaps: make swap-models does
// it a hundred times, also with the shipped one.
var (
	swaps       = flag.Int("swaps", 10, "times that the model is swapped under load")
	swapShipped = flag.Bool("swap-shipped", false, "swap the shipped model for itself with another window of grey values")
)

// swapped is a model that is swapped for the other one.
type swapped struct {
	folder string
	change func(*model.Manifest)
	mask   []uint8 // of the slice of the test
}

// swapPair are two models that give masks of the slice that nobody mistakes.
func swapPair(t *testing.T) (pair [2]swapped, slice []byte) {
	shipped := filepath.Join("..", "..", "..", "artifacts", "model")
	if *swapShipped {
		content, err := os.ReadFile(filepath.Join(shipped, model.SelfTestSliceName))
		if err != nil {
			t.Fatal(err)
		}
		return [2]swapped{{folder: shipped}, {folder: shipped, change: func(m *model.Manifest) { m.Normalisation.Low = 0.9 }}}, content
	}
	return [2]swapped{{folder: modelDir("values")}, {folder: modelDir("threshold")}}, ramp(t, 12, 5)
}

// lay makes a model's folder below root, under a version of its own.
func (s swapped) lay(t *testing.T, root, version string) (folder string) {
	t.Helper()
	folder = filepath.Join(root, version)
	manifest, err := model.ReadManifest(s.folder)
	if err != nil {
		t.Fatal(err)
	}
	manifest.Name, manifest.Version = "swapped", version
	if s.change != nil {
		s.change(manifest)
	}
	document, err := json.Marshal(manifest)
	if err := errors.Join(err, os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, model.ManifestName), document, 0o600)); err != nil {
		t.Fatal(err)
	}
	network, err := os.ReadFile(filepath.Join(s.folder, manifest.File))
	if err := errors.Join(err, os.WriteFile(filepath.Join(folder, manifest.File), network, 0o600)); err != nil {
		t.Fatal(err)
	}
	return folder
}

// truth has a model segment the slice without the engine.
func truth(t *testing.T, folder string, slice []byte) []uint8 {
	t.Helper()
	m, err := segmentation.Open(folder, segmentation.Options{Library: library()})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	picture, _, err := imaging.Decode(slice, imaging.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	mask := make([]uint8, len(picture.Pix))
	if err := m.Segment(t.Context(), picture, mask); err != nil {
		t.Fatal(err)
	}
	return mask
}

// resident is the memory of this process in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	runtime.GC()
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func TestEveryAnswerNamesTheModelThatMadeItHoweverOftenModelsChange(t *testing.T) {
	pair, slice := swapPair(t)
	root := t.TempDir()
	for i := range pair {
		pair[i].mask = truth(t, pair[i].lay(t, root, fmt.Sprintf("truth-%d", i)), slice)
	}
	if differing(pair[0].mask, pair[1].mask) < len(pair[0].mask)/20 {
		t.Fatal("the masks of the two models are too much alike")
	}
	link := filepath.Join(root, "current")
	swap := func(i int) (version string) {
		version = strconv.Itoa(i)
		pair[i%2].lay(t, root, version)
		if err := errors.Join(os.Symlink(version, link+".new"), os.Rename(link+".new", link)); err != nil {
			t.Fatal(err)
		}
		return version
	}
	swap(0)
	b := start(t, func(cfg *config.Config, d *Deps) {
		cfg.Model.Path, cfg.Service.Workers, d.WatchModel = link, 2, 5*time.Millisecond
		d.Logger, d.Status = nil, nil // those of the bench keep everything
	})

	const clients = 3
	var load sync.WaitGroup
	var answered, failed, wrong atomic.Int64
	var newest atomic.Int64
	stop := make(chan struct{})
	for client := range clients {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				done := make(chan struct{})
				b.Submit(t.Context(), job.Requester{Way: job.WayHTTP, Client: strconv.Itoa(client)}, request.Request{
					Image:  request.Image{Inline: slice, SpacingMM: [2]float64{1, 1}},
					Output: request.Output{Discard: true},
				}, func(o job.Outcome) {
					defer close(done)
					answered.Add(1)
					version, err := strconv.Atoi(o.Result.Model.Version)
					if err != nil || o.Result.Error != nil {
						failed.Add(1)
						t.Errorf("result %+v, error %+v", o.Result, o.Result.Error)
						return
					}
					picture, err := png.Decode(bytes.NewReader(o.Mask))
					if err != nil || !bytes.Equal(picture.(*image.Gray).Pix, pair[version%2].mask) {
						wrong.Add(1)
						t.Errorf("the mask is not that of version %d, error %v", version, err)
					}
					for seen := newest.Load(); int64(version) > seen && !newest.CompareAndSwap(seen, int64(version)); seen = newest.Load() {
					}
				})
				<-done
			}
		})
	}
	until := func(what string, condition func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("in vain: %s; %+v", what, b.Models())
			}
		}
	}
	until("there are answers", func() bool { return answered.Load() > 2*clients })
	var before int64
	var goroutines int
	var took time.Duration
	for i := 1; i <= *swaps; i++ {
		begin := time.Now()
		swap(i)
		until("an answer is by the next model", func() bool { return newest.Load() == int64(i) })
		took += time.Since(begin)
		if err := os.RemoveAll(filepath.Join(root, strconv.Itoa(i-1))); err != nil { // as deployments do
			t.Fatal(err)
		}
		if i == max(*swaps/5, 1) {
			before, goroutines = resident(t), runtime.NumGoroutine()
		}
	}
	after, now := resident(t), runtime.NumGoroutine()
	close(stop)
	load.Wait()
	t.Logf("%d swaps, a new model used after %v; %d answers, %d failed, %d of the wrong model; goroutines %d, then %d; memory %d MB, then %d",
		*swaps, (took / time.Duration(*swaps)).Round(time.Millisecond), answered.Load(), failed.Load(), wrong.Load(), goroutines, now, before>>20, after>>20)
	if h := b.Models(); h.Loaded != uint64(*swaps) || h.Refused != 0 {
		t.Errorf("%+v", h)
	}
	if now > goroutines+4 {
		t.Error("goroutines are left behind")
	}
	if after > before+before/10+(16<<20) {
		t.Error("memory grows with every swap")
	}
	b.Close(context.Background())
	if b.Model() != (request.Model{}) {
		t.Error("a model is in use though the engine is closed")
	}
}

func TestAScanIsFinishedByTheModelThatItBeganWithAndOneThatWaitsHoldsNone(t *testing.T) {
	inScan, goOn := make(chan struct{}, 1000), make(chan struct{})
	b := startScans(t, func(ctx context.Context, _ int) error {
		inScan <- struct{}{}
		select {
		case <-goOn:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	answers := make(chan request.Result, 2)
	for _, id := range []string{"first", "second"} {
		b.Submit(t.Context(), anybody, scanOf(id, "small.nii.gz", request.KindVolumes), func(o job.Outcome) { answers <- o.Result })
	}
	<-inScan
	for i := range 5 { // more than there may be in memory
		next := b.Config()
		next.Model.Path = strconv.Itoa(i)
		if err := b.Apply(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	close(goOn)
	for _, want := range [][2]string{{"first", "values"}, {"second", "4"}} {
		select {
		case r := <-answers:
			if r.Error != nil || r.ID != want[0] || r.Model.Version != want[1] {
				t.Errorf("answer %s by model %+v, error %+v, want %q", r.ID, r.Model, r.Error, want)
			}
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
	}
}

func differing(a, b []uint8) (n int) {
	for i, v := range a {
		if v != b[i] {
			n++
		}
	}
	return n
}
