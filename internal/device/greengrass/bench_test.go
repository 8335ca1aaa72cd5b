package greengrass

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

// BenchmarkRequest is a lone slice from request to result over IPC, with a model
// that costs next to nothing: what is left is the way there and back. The queue is
// in memory, in files that are in memory, and on the disk of the temporary folder.
func BenchmarkRequest(b *testing.B) {
	queues(b, func(b *testing.B, folder string) { benchmarkRequests(b, folder, 1) })
}

// BenchmarkRequestsOfSixteen is the same with sixteen who ask at the same time.
func BenchmarkRequestsOfSixteen(b *testing.B) {
	queues(b, func(b *testing.B, folder string) { benchmarkRequests(b, folder, 16) })
}

func queues(b *testing.B, run func(b *testing.B, folder string)) {
	inMemory, err := os.MkdirTemp("/dev/shm", "queue")
	if err != nil {
		b.Skip(err)
	}
	defer os.RemoveAll(inMemory)
	for _, c := range []struct{ name, folder string }{{"memory", ""}, {"files in memory", inMemory}, {"disk", filepath.Join(b.TempDir(), "queue")}} {
		b.Run(c.name, func(b *testing.B) { run(b, c.folder) })
	}
}

func benchmarkRequests(b *testing.B, folder string, requesters int) {
	threshold := filepath.Join(filepath.Dir(modelDir(b)), "threshold")
	d := newDevice(b, nucleus.Classic, map[string]any{
		"model": map[string]any{"path": threshold, "library": library(b)}, "queue": map[string]any{"folder": folder},
	})
	content, err := os.ReadFile("../../../artifacts/samples/whole-head/axial-085.png")
	if err == nil {
		err = os.WriteFile(filepath.Join(d.in, "a.png"), content, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	d.launch()
	var mu sync.Mutex
	var times []time.Duration // guarded by mu
	waiting := map[string]chan request.Result{}
	stopped := make(chan struct{})
	defer close(stopped)
	go func() { // hands the results out
		for {
			select {
			case r := <-d.results:
				mu.Lock()
				waiting[r.ID] <- r
				mu.Unlock()
			case <-d.statuses:
			case <-stopped:
				return
			}
		}
	}()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var all sync.WaitGroup
	for range requesters {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				id, results, start := rand.Text(), make(chan request.Result, 1), time.Now()
				mu.Lock()
				waiting[id] = results
				mu.Unlock()
				d.publish(fmt.Sprintf(`{"id":"%s","image":{"path":"a.png"}}`, id))
				if r := <-results; r.Error != nil {
					b.Errorf("error %+v", r.Error)
				}
				mu.Lock()
				times = append(times, time.Since(start))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(len(times))/b.Elapsed().Seconds(), "requests/s")
}
