package modelcheck

import (
	"context"
	"fmt"
	"image"

	"github.com/brainseg/brainseg/internal/segmentation"
)

// Comparison is how far two models agree.
type Comparison struct {
	Slices int `json:"slices"`
	Pixels int `json:"pixels"`
	// Different is the number of pixels of another class.
	Different int `json:"different"`
}

// Agreement is the share of pixels of the same class.
func (c Comparison) Agreement() float64 {
	if c.Pixels == 0 {
		return 0
	}
	return 1 - float64(c.Different)/float64(c.Pixels)
}

// Compare runs the models in the folders before and after on the same slices:
// those below golden, which may be empty, and three made ones of odd sizes.
// library is as Options have it.
func Compare(ctx context.Context, before, after, golden, library string) (Comparison, error) {
	var c Comparison
	slices := []*image.Gray{phantom(measuredSide), phantom(177), phantom(64)}
	if golden != "" {
		paths, err := pngs(golden)
		if err != nil {
			return c, fmt.Errorf("find the golden slices: %w", err)
		}
		for _, path := range paths {
			slice, err := readPNG(path)
			if err != nil {
				return c, fmt.Errorf("read golden slice %s: %w", path, err)
			}
			slices = append(slices, slice)
		}
	}
	var models [2]*segmentation.Model
	for i, dir := range []string{before, after} {
		m, err := segmentation.Open(dir, segmentation.Options{Library: library})
		if err != nil {
			return c, err
		}
		defer m.Close()
		models[i] = m
	}
	for _, slice := range slices {
		n := slice.Rect.Dx() * slice.Rect.Dy()
		masks := [2][]uint8{make([]uint8, n), make([]uint8, n)}
		for i, m := range models {
			if err := m.Segment(ctx, slice, masks[i]); err != nil {
				return c, err
			}
		}
		for i := range n {
			if masks[0][i] != masks[1][i] {
				c.Different++
			}
		}
		c.Slices++
		c.Pixels += n
	}
	return c, nil
}
