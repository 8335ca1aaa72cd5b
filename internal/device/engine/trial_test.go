package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// TestAnswersAreNotHeldUpByAModelOnTrial measures the shipped model: make swap-models.
func TestAnswersAreNotHeldUpByAModelOnTrial(t *testing.T) {
	if !*swapShipped {
		t.Skip("it takes half a minute: make swap-models has it")
	}
	pair, slice := swapPair(t)
	for _, tt := range []struct {
		name    string
		clients int
		pause   time.Duration
	}{
		{"one request after the other", 1, 0}, {"ten requests a second", 1, 100 * time.Millisecond}, {"as many as there can be", 4, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			link := filepath.Join(root, "current")
			lead := func(version string) {
				t.Helper()
				pair[0].lay(t, root, version)
				if err := errors.Join(os.Symlink(version, link+".new"), os.Rename(link+".new", link)); err != nil {
					t.Fatal(err)
				}
			}
			lead("1")
			b := start(t, func(cfg *config.Config, d *Deps) {
				cfg.Model.Path, cfg.Model.Canary, cfg.Service.Workers, d.WatchModel = link, 20, 2, 20*time.Millisecond
				d.Logger, d.Status = nil, nil
			})
			// measure asks for as long as more says so, and returns the times of answers.
			measure := func(more func(asked int) bool) (times []time.Duration) {
				var mu sync.Mutex
				var load sync.WaitGroup
				for client := range tt.clients {
					load.Go(func() {
						for asked := 0; more(asked); asked++ {
							begin, done := time.Now(), make(chan time.Duration, 1)
							b.Submit(t.Context(), job.Requester{Way: job.WayHTTP, Client: strconv.Itoa(client)}, request.Request{
								Image: request.Image{Inline: slice, SpacingMM: [2]float64{1, 1}}, Output: request.Output{Discard: true},
							}, func(o job.Outcome) {
								if o.Result.Error != nil {
									t.Errorf("%+v", o.Result.Error)
								}
								done <- time.Since(begin)
							})
							took := <-done
							mu.Lock()
							times = append(times, took)
							mu.Unlock()
							time.Sleep(tt.pause)
						}
					})
				}
				load.Wait()
				slices.Sort(times)
				return times
			}
			measure(func(asked int) bool { return asked < 10 }) // to get warm
			without := measure(func(asked int) bool { return asked < 60 })
			lead("2")
			for b.Models().Trial == nil {
				time.Sleep(time.Millisecond)
			}
			begin := time.Now()
			with := measure(func(int) bool { return b.Model().Version == "1" && b.Models().Refused == 0 })
			took := time.Since(begin)
			trial := b.Models().Trial
			at := func(times []time.Duration, q int) time.Duration {
				return times[len(times)*q/100].Round(100 * time.Microsecond)
			}
			t.Logf("without: p50 %v, p95 %v; with %d slices tried in %v, during %d requests: p50 %v, p95 %v",
				at(without, 50), at(without, 95), trial.Slices, took.Round(time.Millisecond), len(with), at(with, 50), at(with, 95))
			if trial.State != request.TrialPassed || trial.Agreement != 1 {
				t.Errorf("%+v", trial)
			}
			if at(with, 50) > at(without, 50)*13/10 {
				t.Error("answers are held up")
			}
			b.Close(context.Background())
		})
	}
}
