package view_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/view"
)

var artifacts = filepath.Join("..", "..", "..", "artifacts")

func openModel(t *testing.T) *segmentation.Model {
	t.Helper()
	m, err := segmentation.Open(filepath.Join(artifacts, "model"), segmentation.Options{
		Library: filepath.Join(artifacts, "onnxruntime", "linux-amd64", "libonnxruntime.so.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func readSample(t *testing.T, path string) *image.Gray {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return picture.(*image.Gray)
}

func TestAnInvertedHeadGetsTheMaskOfTheUprightOne(t *testing.T) {
	m := openModel(t)
	paths, err := filepath.Glob(filepath.Join(artifacts, "samples", "whole-head", "*.png"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, path := range paths {
		upright := readSample(t, path)
		want, got := make([]uint8, len(upright.Pix)), make([]uint8, len(upright.Pix))
		if err := m.Segment(t.Context(), upright, want); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			slice *image.Gray
			want  imaging.Flag
		}{
			"inverted":   {turn(upright), imaging.FlagInverted},
			"white page": {page(upright), imaging.FlagInvertedLikely},
		} {
			before := bytes.Clone(tt.slice.Pix)
			seen, err := see(t, m, tt.slice, got)
			if err != nil {
				t.Fatal(err)
			}
			if len(seen.Flags) != 1 || seen.Flags[0] != tt.want {
				t.Errorf("%s, %s: flags %v, want %s", filepath.Base(path), name, seen.Flags, tt.want)
			}
			if name == "inverted" && !bytes.Equal(got, want) {
				t.Errorf("%s, inverted: the mask is not that of the upright slice", filepath.Base(path))
			}
			if !bytes.Equal(tt.slice.Pix, before) {
				t.Errorf("%s, %s: the slice was changed", filepath.Base(path), name)
			}
		}
	}
}

func see(t *testing.T, network view.Network, slice *image.Gray, mask []uint8) (view.Seen, error) {
	t.Helper()
	v := view.View{
		Network: network, MaxPixels: segmentation.DefaultMaxPixels,
		Info: imaging.Info{Flags: []imaging.Flag{imaging.FlagInvertedLikely}},
	}
	return v.Segment(t.Context(), slice, mask)
}

// page makes the outermost pixels of a slice white.
func page(slice *image.Gray) *image.Gray {
	other := image.NewGray(slice.Rect)
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	for i, v := range slice.Pix {
		if x, y := i%width, i/width; min(x, y, width-1-x, height-1-y) < 8 {
			v = 255
		}
		other.Pix[i] = v
	}
	return other
}

func turn(slice *image.Gray) *image.Gray {
	other := image.NewGray(slice.Rect)
	for i, v := range slice.Pix {
		other.Pix[i] = 255 - v
	}
	return other
}

// unscored is a manifest of four classes without scores.
type unscored struct{}

func (unscored) Manifest() *model.Manifest { return &model.Manifest{Classes: make([]model.Class, 4)} }

// saying sees tissue in what is dark, and is as sure as the slice is dark.
type saying struct{ unscored }

func (s saying) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, err := s.SegmentDetailed(ctx, slice, mask, nil)
	return err
}

func (saying) SegmentDetailed(_ context.Context, slice *image.Gray, mask, _ []uint8) (*model.Judgement, error) {
	for i, v := range slice.Pix {
		mask[i] = 1 - v/128
	}
	return &model.Judgement{Confidence: 1 - float64(slice.Pix[0])/255, Known: 0.5}, nil
}

func TestWhatTheNetworkSaysIsThatOfTheMaskThatIsTaken(t *testing.T) {
	for value, want := range map[uint8]float64{255: 1, 51: 0.8} { // turned round, and as it is
		slice := image.NewGray(image.Rect(0, 0, 160, 160))
		for i := range slice.Pix {
			slice.Pix[i] = value
		}
		seen, err := see(t, saying{}, slice, make([]uint8, len(slice.Pix)))
		if err != nil || seen.Judgement == nil || seen.Judgement.Confidence != want || seen.Judgement.Known != 0.5 {
			t.Errorf("grey %d: %+v, %v", value, seen.Judgement, err)
		}
	}
	seen, err := see(t, &failing{n: 2}, image.NewGray(image.Rect(0, 0, 8, 8)), make([]uint8, 64))
	if err != nil || seen.Judgement != nil {
		t.Errorf("a network that says nothing: %+v, %v", seen.Judgement, err)
	}
}

// failing fails from its nth call on.
type failing struct {
	unscored
	n int
}

func (f *failing) Segment(context.Context, *image.Gray, []uint8) error {
	if f.n--; f.n < 0 {
		return errors.New("no network")
	}
	return nil
}

func TestAnErrorOfTheNetworkIsPassedOn(t *testing.T) {
	for n := range 2 {
		if _, err := see(t, &failing{n: n}, image.NewGray(image.Rect(0, 0, 8, 8)), make([]uint8, 64)); err == nil {
			t.Errorf("the network fails after %d runs, and there is no error", n)
		}
	}
}

func TestAPictureInWhichNothingIsSeenIsLeftAsItIs(t *testing.T) {
	seen, err := see(t, &failing{n: 2}, image.NewGray(image.Rect(0, 0, 8, 8)), make([]uint8, 64))
	if err != nil || seen.Flags[0] != imaging.FlagInvertedLikely {
		t.Errorf("%v, %v", seen, err)
	}
}
