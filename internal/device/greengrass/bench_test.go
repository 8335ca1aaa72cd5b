package greengrass

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

// BenchmarkRequest is a lone slice from request to result over IPC, with a model
// that costs next to nothing: what is left is the way there and back. The queue is
// in memory, in files that are in memory, and on the disk of the temporary folder.
func BenchmarkRequest(b *testing.B) {
	inMemory, err := os.MkdirTemp("/dev/shm", "queue")
	if err != nil {
		b.Skip(err)
	}
	defer os.RemoveAll(inMemory)
	for _, c := range []struct{ name, folder string }{{"memory", ""}, {"files in memory", inMemory}, {"disk", filepath.Join(b.TempDir(), "queue")}} {
		b.Run(c.name, func(b *testing.B) { benchmarkRequest(b, c.folder) })
	}
}

func benchmarkRequest(b *testing.B, folder string) {
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
	var times []time.Duration
	for b.Loop() {
		id, start := rand.Text(), time.Now()
		d.publish(fmt.Sprintf(`{"id":"%s","image":{"path":"a.png"},"output":{"to":"a.png"}}`, id))
		if r := next(b, d.results); r.Error != nil || r.ID != id {
			b.Fatalf("result %+v, error %+v", r, r.Error)
		}
		times = append(times, time.Since(start))
		for len(d.statuses) > 0 {
			<-d.statuses
		}
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
}
