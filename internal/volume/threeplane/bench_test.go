package threeplane_test

import (
	"image"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/threeplane"
)

// drawnHead is a head of usual size in a usual scan, 256 x 256 x 176 voxels of
// 1 mm with noise: what is timed does not depend on what it looks like inside.
func drawnHead() *volume.Volume {
	grid := volume.Grid{Size: [3]int{176, 256, 256}, Affine: volume.Affine{{1, 0, 0, -88}, {0, 1, 0, -128}, {0, 0, 1, -128}}}
	v := &volume.Volume{Grid: grid, Values: make([]float32, 0, grid.Voxels())}
	random := rand.New(rand.NewPCG(1, 2))
	for z := range 256 {
		for y := range 256 {
			for x := range 176 {
				dx, dy, dz := float64(x-88)/78, float64(y-128)/98, float64(z-140)/112
				r := math.Sqrt(dx*dx + dy*dy + dz*dz)
				value := 10 * random.Float64()
				switch {
				case r < 0.5:
					value += 700
				case r < 0.8:
					value += 450
				case r < 0.9:
					value += 120
				case r < 1:
					value += 900
				}
				v.Values = append(v.Values, float32(value))
			}
		}
	}
	return v
}

// BenchmarkScan compares a whole scan in three planes with one slice of
// 256 x 256 pixels, in the same run and with the shipped model. It tells the scan's
// time as a number of slices, on one worker and on one a core.
func BenchmarkScan(b *testing.B) {
	root := filepath.Join("..", "..", "..")
	model, err := segmentation.Open(filepath.Join(root, "artifacts", "model"), segmentation.Options{
		Library: filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer model.Close()
	scan := drawnHead()
	slice := image.NewGray(image.Rect(0, 0, 256, 256))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(i * 7)
	}
	mask := make([]uint8, len(slice.Pix))
	one := func() time.Duration {
		var times []time.Duration
		for range 50 {
			start := time.Now()
			if err := model.Segment(b.Context(), slice, mask); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		return times[len(times)/2]
	}
	whole := func(workers int) time.Duration {
		start := time.Now()
		if _, err := threeplane.Segment(b.Context(), scan, segmentation.Scorer{Segmenter: model}, threeplane.Options{Workers: workers, Scored: model.Manifest().Scores != nil}); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var ratios, speedups []float64
	for b.Loop() {
		before := one()
		single := whole(1)
		after := one()
		ratios = append(ratios, float64(single)/float64(before+after)*2)
		speedups = append(speedups, float64(whole(runtime.NumCPU()))/float64(single))
	}
	slices.Sort(ratios)
	slices.Sort(speedups)
	b.ReportMetric(ratios[len(ratios)/2], "slices/scan")
	b.ReportMetric(speedups[len(speedups)/2], "all-cores/one")
}
