// Package pixelsize shows a network slices at the pixel size that it was trained
// for, whatever size their pixels have, and brings the mask back to the pixels
// of the slice.
//
// It runs no network itself and reads no files: where the size comes from
// (a request, a file) is its caller's matter. Where nobody states it, Guess tells
// it from the size of what the slice shows, for a head is a head, and Usual and
// Oblong say what else it may be. Package view calls it, and chooses; whole scans,
// which know their voxels, are package threeplane's.
package pixelsize

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"

	"github.com/brainseg/brainseg/internal/resample"
)

// Size is the size of a pixel in mm, from column to column and from row to row.
type Size struct{ Across, Down float64 }

// Of the network, in mm: that of the data it was trained with.
var Of = Size{Across: 1, Down: 1}

// The sizes that Check takes, in mm. What lies beyond is no head's pixel.
const (
	Least = 0.05
	Most  = 10.0
)

// Errors by which a caller decides.
var (
	// ErrSize: a side of the pixel is not between Least and Most mm.
	ErrSize = errors.New("not the size of a pixel")
	// ErrTooLarge: at the network's pixel size the slice would have too many pixels.
	ErrTooLarge = errors.New("the slice has too many pixels at the network's pixel size")
)

// Check says whether s can be the size of a pixel.
func (s Size) Check() error {
	for _, mm := range []float64{s.Across, s.Down} {
		if !(mm >= Least && mm <= Most) {
			return fmt.Errorf("%w: %g x %g mm, a side is %g to %g mm", ErrSize, s.Across, s.Down, Least, Most)
		}
	}
	return nil
}

// Segmenter gives each pixel of a grey slice its class; see segmentation.Model.
type Segmenter interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
}

// Scorer is a Segmenter that can also tell how sure it is of each class: scores,
// 0 to 255, classes x height x width, next to the mask.
type Scorer interface {
	Segmenter
	Scores(ctx context.Context, slice *image.Gray, mask, scores []uint8) error
}

// Scaler has slices segmented at the pixel size of a network. Only Network is
// required.
type Scaler struct {
	Network Segmenter
	// Classes is how many there are, of a Network that is a Scorer. 0: scores are
	// not asked for.
	Classes int
	// MaxPixels bounds the pixels that the network is shown; 0 for no bound.
	MaxPixels int64
}

// near is the part by which a size may differ from the network's and be taken as
// it is. Networks see heads of many sizes in training.
const near = 0.05

// Segment has a slice whose pixels are of a size segmented at the network's own,
// and writes the classes to mask, one for each pixel of the slice. The slice's
// stride is its width.
//
// On the way back a pixel gets the class with the largest share of the network's
// pixels around it; taking the nearest would leave steps. Where shares are equal, as
// they are between four pixels of half the size, scores decide. They do not alone:
// they are smooth, and borders lost 0.01 of Dice by them.
func (s Scaler) Segment(ctx context.Context, slice *image.Gray, mask []uint8, size Size) error {
	if err := size.Check(); err != nil {
		return err
	}
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	ratios := [2]float64{Of.Across / size.Across, Of.Down / size.Down}
	for axis, ratio := range ratios {
		if math.Abs(ratio-1) <= near {
			ratios[axis] = 1
		}
	}
	if ratios == [2]float64{1, 1} {
		return s.Network.Segment(ctx, slice, mask)
	}
	wide, high := resample.Size(width, ratios[0]), resample.Size(height, ratios[1])
	if s.MaxPixels > 0 && int64(wide)*int64(high) > s.MaxPixels {
		return fmt.Errorf("%w: %d x %d", ErrTooLarge, wide, high)
	}
	pixels, grid := slice.Pix[:width*height], [3]int{width, height, 1}
	for axis, ratio := range ratios {
		if ratio != 1 {
			pixels, grid = resample.Axis(pixels, grid, axis, ratio)
		}
	}
	shown := &image.Gray{Pix: pixels, Stride: wide, Rect: image.Rect(0, 0, wide, high)}
	scaled := scaled{mask: make([]uint8, wide*high), stride: wide}
	var err error
	if scorer, ok := s.Network.(Scorer); ok && s.Classes > 0 {
		scaled.scores = make([]uint8, s.Classes*wide*high)
		err = scorer.Scores(ctx, shown, scaled.mask, scaled.scores)
	} else {
		err = s.Network.Segment(ctx, shown, scaled.mask)
	}
	if err != nil {
		return err
	}
	scaled.back(mask, resample.Betweens(width, wide, ratios[0]), resample.Betweens(height, high, ratios[1]))
	return nil
}

// scaled is what a network says of a slice at its own pixel size.
type scaled struct {
	mask   []uint8
	stride int
	scores []uint8 // nil without; class after class
}

// back gives each pixel its class, from the four of the network's pixels around it.
func (s scaled) back(mask []uint8, across, down []resample.Between) {
	i := 0
	for _, y := range down {
		above, below := int(y.A)*s.stride, int(y.B)*s.stride
		for _, x := range across {
			at := [4]int{above + int(x.A), above + int(x.B), below + int(x.A), below + int(x.B)}
			corners := [4]uint8{s.mask[at[0]], s.mask[at[1]], s.mask[at[2]], s.mask[at[3]]}
			if first := corners[0]; corners == [4]uint8{first, first, first, first} {
				mask[i] = first
			} else {
				shares := [4]float32{(1 - y.Part) * (1 - x.Part), (1 - y.Part) * x.Part, y.Part * (1 - x.Part), y.Part * x.Part}
				mask[i] = s.largest(corners, at, shares)
			}
			i++
		}
	}
}

// largest is the class with the largest share of four corners, of equal ones the one
// with the highest score between them, or the first.
func (s scaled) largest(corners [4]uint8, at [4]int, shares [4]float32) uint8 {
	best, most := corners[0], float32(-1)
	for _, class := range corners {
		sum := float32(0)
		for k, other := range corners {
			if other == class {
				sum += shares[k]
			}
			if s.scores != nil {
				sum += tie * shares[k] * float32(s.scores[int(class)*len(s.mask)+at[k]])
			}
		}
		if sum > most {
			best, most = class, sum
		}
	}
	return best
}

// tie is what scores, of 255, count beside shares, of 1.
const tie = 0.01 / 255
