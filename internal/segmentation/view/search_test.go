package view_test

import (
	"context"
	"image"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/resample"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
	"github.com/brainseg/brainseg/internal/segmentation/view"
)

// inPixelsOf is a slice of 1 mm in pixels of another size.
func inPixelsOf(slice *image.Gray, size pixelsize.Size) *image.Gray {
	pixels, grid := slice.Pix, [3]int{slice.Rect.Dx(), slice.Rect.Dy(), 1}
	for axis, mm := range []float64{size.Across, size.Down} {
		if mm != 1 {
			pixels, grid = resample.Axis(pixels, grid, axis, mm)
		}
	}
	return &image.Gray{Pix: pixels, Stride: grid[0], Rect: image.Rect(0, 0, grid[0], grid[1])}
}

func TestTheNetworkFindsOutTheSizeOfPixelsThatNobodyStates(t *testing.T) {
	m := openModel(t)
	for _, name := range []string{"axial-085.png", "coronal-110.png", "sagittal-070.png"} {
		slice := readSample(t, filepath.Join(artifacts, "samples", "whole-head", name))
		for _, size := range []pixelsize.Size{{Across: 1.33, Down: 1.33}, {Across: 2, Down: 2}, {Across: 3, Down: 1}, {Across: 1, Down: 3}} {
			given := inPixelsOf(slice, size)
			v := view.View{Network: m, MaxPixels: segmentation.DefaultMaxPixels}
			mask := make([]uint8, len(given.Pix))
			seen, err := v.Segment(t.Context(), given, mask)
			if err != nil {
				t.Fatal(err)
			}
			across, down := seen.Size.Across/size.Across, seen.Size.Down/size.Down
			if min(across, down) < 0.5 || max(across, down) > 1.6 {
				t.Errorf("%s in pixels of %v mm: %v (%s)", name, size, seen.Size, seen.Source)
			}
			v.StatedMM = [2]float64{size.Across, size.Down}
			stated := make([]uint8, len(given.Pix))
			if _, err := v.Segment(t.Context(), given, stated); err != nil {
				t.Fatal(err)
			}
			if share := agreement(mask, stated); share < 0.75 {
				t.Errorf("%s in pixels of %v mm: %.2f of the tissue is as it is with the size stated", name, size, share)
			}
		}
	}
}

// agreement is the share of the pixels that are tissue in either mask which both
// give the same class.
func agreement(a, b []uint8) float64 {
	same, tissue := 0, 0
	for i := range a {
		if a[i] != 0 || b[i] != 0 {
			tissue++
			if a[i] == b[i] {
				same++
			}
		}
	}
	return float64(same) / float64(tissue)
}

// growing takes everything for tissue, is surer the more pixels it is shown, and
// notes how many those were.
type growing struct {
	unscored
	confidence float64 // of 160 x 160 pixels
	shown      []int
}

func (g *growing) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, err := g.SegmentDetailed(ctx, slice, mask, nil)
	return err
}

func (g *growing) SegmentDetailed(_ context.Context, slice *image.Gray, mask, _ []uint8) (*model.Judgement, error) {
	n := slice.Rect.Dx() * slice.Rect.Dy()
	g.shown = append(g.shown, n)
	for i := range mask {
		mask[i] = 1
	}
	return &model.Judgement{Confidence: min(1, g.confidence*float64(n)/(160*160)), Known: 1}, nil
}

func TestASliceIsShownAgainOnlyWhereTheNetworkIsNotSure(t *testing.T) {
	inverted := imaging.Info{Flags: []imaging.Flag{imaging.FlagInvertedLikely}}
	for name, tt := range map[string]struct {
		side       int
		confidence float64
		view       view.View
		looks      int
	}{
		"sure":                        {160, 0.95, view.View{}, 1},
		"sure, and it looks inverted": {160, 0.95, view.View{Info: inverted}, 1},
		"not sure":                    {160, 0.1, view.View{}, 4}, // finer, then coarser twice
		"not sure of the inverted":    {160, 0.1, view.View{Info: inverted}, 5},
		"the request states the size": {160, 0.1, view.View{StatedMM: [2]float64{1, 1}}, 1},
		"the file states the size":    {160, 0.1, view.View{Info: imaging.Info{AcrossMM: 1, DownMM: 1}}, 1},
		"too many pixels for trials":  {1500, 1e-4, view.View{}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			n := &growing{confidence: tt.confidence}
			slice := image.NewGray(image.Rect(0, 0, tt.side, tt.side))
			tt.view.Network, tt.view.MaxPixels = n, segmentation.DefaultMaxPixels
			if _, err := tt.view.Segment(t.Context(), slice, make([]uint8, len(slice.Pix))); err != nil {
				t.Fatal(err)
			}
			if len(n.shown) > tt.looks || tt.side == 160 && len(n.shown) != tt.looks {
				t.Errorf("it was shown %d times, want %d: %v", len(n.shown), tt.looks, n.shown)
			}
			for _, pixels := range n.shown[1:] {
				if pixels > 512*512 {
					t.Errorf("a trial of %d pixels", pixels)
				}
			}
		})
	}
}

func TestTheFirstSizeStaysWhereAnotherGainsTooLittle(t *testing.T) {
	n := &growing{confidence: 0.01} // 0.018 and 0.04 with coarser pixels
	slice := image.NewGray(image.Rect(0, 0, 160, 160))
	v := view.View{Network: n, MaxPixels: segmentation.DefaultMaxPixels}
	seen, err := v.Segment(t.Context(), slice, make([]uint8, len(slice.Pix)))
	if err != nil || seen.Size != pixelsize.Of || seen.Source != pixelsize.Assumed || seen.Judgement.Confidence != 0.01 {
		t.Errorf("%+v, %v", seen, err)
	}
}
