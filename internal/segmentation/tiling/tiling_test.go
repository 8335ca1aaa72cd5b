package tiling_test

import (
	"image"
	"testing"

	"github.com/brainseg/brainseg/internal/segmentation/tiling"
)

func TestTilesCoverASliceOnceAndFitIntoTheirMemory(t *testing.T) {
	for _, size := range [][2]int{{769, 768}, {1024, 1024}, {2048, 2048}, {8192, 512}, {512, 8192}, {100_000, 7}, {1, 1_000_000}, {3001, 777}} {
		for _, multiple := range []int{1, 8, 20, 256} {
			width, height := size[0], size[1]
			rest := width * height
			var last image.Rectangle
			for part := range tiling.Of(width, height, multiple) {
				in, out := part.Inner, part.Outer
				rest -= in.Dx() * in.Dy()
				if in.Empty() || !in.In(out) || !out.In(image.Rect(0, 0, width, height)) || in.Overlaps(last) {
					t.Fatalf("%v, multiple %d: %v in %v after %v", size, multiple, in, out, last)
				}
				last = in
				if out.Min.X%multiple != 0 || out.Min.Y%multiple != 0 {
					t.Fatalf("%v, multiple %d: %v does not begin at a multiple", size, multiple, out)
				}
				halos := []int{in.Min.X - out.Min.X, in.Min.Y - out.Min.Y, out.Max.X - in.Max.X, out.Max.Y - in.Max.Y}
				edges := []bool{out.Min.X == 0, out.Min.Y == 0, out.Max.X == width, out.Max.Y == height}
				for side, halo := range halos {
					if halo < tiling.Halo && !edges[side] {
						t.Fatalf("%v, multiple %d: %v in %v sees too little", size, multiple, in, out)
					}
				}
				up := func(n int) int { return (n + multiple - 1) / multiple * multiple }
				if pixels := up(out.Dx()) * up(out.Dy()); pixels > tiling.Pixels*5/4 {
					t.Fatalf("%v, multiple %d: %v has %d pixels", size, multiple, out, pixels)
				}
			}
			if rest != 0 {
				t.Errorf("%v, multiple %d: %d pixels are in no tile or in two", size, multiple, rest)
			}
		}
	}
}
