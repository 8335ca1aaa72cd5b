package segmentation

import (
	"bytes"
	"encoding/json"
	"image"
	"image/draw"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/model"
)

// mirror turns a slice left for right.
func mirror(slice *image.Gray) *image.Gray {
	width := slice.Rect.Dx()
	turned := image.NewGray(slice.Rect)
	for i := range slice.Pix {
		turned.Pix[i/width*width+width-1-i%width] = slice.Pix[i]
	}
	return turned
}

// place puts a slice on a black one.
func place(slice *image.Gray, width, height int, at image.Point) *image.Gray {
	black := image.NewGray(image.Rect(0, 0, width, height))
	draw.Draw(black, slice.Rect.Add(at), slice, image.Point{}, draw.Src)
	return black
}

func TestASliceThatWasMovedOrMirroredGetsTheSameMask(t *testing.T) {
	m := open(t, "framed", Options{})
	random := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		width, height := 20+random.IntN(60), 20+random.IntN(60)
		slice := place(randomSlice(random, width-10, height-10), width, height, image.Pt(4, 7))
		want := make([]uint8, width*height)
		if err := m.Segment(t.Context(), slice, want); err != nil {
			t.Fatal(err)
		}
		mask := &image.Gray{Pix: want, Stride: width, Rect: slice.Rect}
		for at := range 9 {
			w, h := width+at+random.IntN(20), height+at+random.IntN(20)
			got := make([]uint8, w*h)
			if err := m.Segment(t.Context(), place(slice, w, h, image.Pt(at, at)), got); err != nil {
				t.Fatal(err)
			}
			for y := range height { // what is beyond the slice may be seen otherwise
				if !bytes.Equal(got[(y+at)*w+at:][:width], want[y*width:][:width]) {
					t.Fatalf("%d x %d, moved by %d: another mask", width, height, at)
				}
			}
		}
		got := make([]uint8, width*height)
		if err := m.Segment(t.Context(), mirror(slice), got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, mirror(mask).Pix) {
			t.Fatalf("%d x %d, mirrored: another mask", width, height)
		}
	}
}

// openIn opens a model a second time, with a frame.
func openIn(t *testing.T, plain *Model, f *model.Frame) *Model {
	t.Helper()
	manifest := *plain.Manifest()
	manifest.SchemaVersion, manifest.Requires, manifest.Frame = model.SchemaVersionRequires, []string{model.FeatureFrame}, f
	document, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), document, 0o600); err != nil {
		t.Fatal(err)
	}
	network, err := os.ReadFile(filepath.Join("testdata", "models", manifest.Name, manifest.File))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifest.File), network, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Open(dir, Options{Library: library(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestASliceInAFrameOfAnySizeIsSegmented(t *testing.T) {
	plain := open(t, "threshold", Options{})
	m := openIn(t, plain, &model.Frame{Least: 64, Margin: 8, Bright: 0.1, BrightPixels: 4})
	random := rand.New(rand.NewPCG(7, 8))
	for _, dimensions := range [][2]int{{1, 1}, {1, 70}, {70, 1}, {33, 17}, {64, 64}, {400, 300}, {1000, 700}} {
		slice := randomSlice(random, dimensions[0], dimensions[1])
		for _, shown := range []*image.Gray{slice, image.NewGray(slice.Rect)} {
			before := bytes.Clone(shown.Pix)
			mask := bytes.Repeat([]byte{99}, len(shown.Pix))
			if err := m.Segment(t.Context(), shown, mask); err != nil {
				t.Fatalf("%v: %v", dimensions, err)
			}
			// A threshold looks at nothing around a pixel, so a frame changes nothing.
			if !bytes.Equal(mask, threshold(plain, shown)) {
				t.Errorf("the mask of %v is wrong", dimensions)
			}
			if !bytes.Equal(shown.Pix, before) {
				t.Errorf("the slice of %v was changed", dimensions)
			}
		}
	}
}
