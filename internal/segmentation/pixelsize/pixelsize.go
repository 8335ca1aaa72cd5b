// Package pixelsize shows a network slices at the pixel size that it was trained
// for, whatever size their pixels have, and brings the mask back to the pixels
// of the slice.
//
// It runs no network itself and reads no files: where the size comes from
// (a request, a file) is its caller's matter. Where nobody states it, Guess tells
// it from the size of what the slice shows, for a head is a head. Package view
// calls it; whole scans, which know their voxels, are package threeplane's.
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

// near is the part by which a size may differ from the network's and be taken as
// it is. Networks see heads of many sizes in training.
const near = 0.05

// Segment has a slice whose pixels are of a size segmented at the network's own,
// and writes the classes to mask, one for each pixel of the slice. At most
// maxPixels pixels are shown to the network. The slice's stride is its width.
//
// On the way back a pixel gets the class with the largest share of the network's
// pixels around it; taking the nearest would leave steps.
func Segment(ctx context.Context, network Segmenter, slice *image.Gray, mask []uint8, size Size, maxPixels int64) error {
	if err := size.Check(); err != nil {
		return err
	}
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	ratios := [2]float64{Of.Across / size.Across, Of.Down / size.Down}
	wide, high := width, height
	for axis, ratio := range ratios {
		if math.Abs(ratio-1) <= near {
			ratios[axis] = 1
		}
	}
	if ratios == [2]float64{1, 1} {
		return network.Segment(ctx, slice, mask)
	}
	wide, high = resample.Size(width, ratios[0]), resample.Size(height, ratios[1])
	if int64(wide)*int64(high) > maxPixels {
		return fmt.Errorf("%w: %d x %d", ErrTooLarge, wide, high)
	}
	pixels, grid := slice.Pix[:width*height], [3]int{width, height, 1}
	for axis, ratio := range ratios {
		if ratio != 1 {
			pixels, grid = resample.Axis(pixels, grid, axis, ratio)
		}
	}
	scaled := make([]uint8, wide*high)
	shown := &image.Gray{Pix: pixels, Stride: wide, Rect: image.Rect(0, 0, wide, high)}
	if err := network.Segment(ctx, shown, scaled); err != nil {
		return err
	}
	back(mask, scaled, wide, resample.Betweens(width, wide, ratios[0]), resample.Betweens(height, high, ratios[1]))
	return nil
}

// back gives each pixel the class that has the largest share around it.
func back(mask, scaled []uint8, stride int, across, down []resample.Between) {
	i := 0
	for _, y := range down {
		above, below := scaled[int(y.A)*stride:], scaled[int(y.B)*stride:]
		for _, x := range across {
			corners := [4]uint8{above[x.A], above[x.B], below[x.A], below[x.B]}
			if first := corners[0]; corners == [4]uint8{first, first, first, first} {
				mask[i] = first
			} else {
				mask[i] = largest(corners, [4]float32{
					(1 - y.Part) * (1 - x.Part), (1 - y.Part) * x.Part, y.Part * (1 - x.Part), y.Part * x.Part,
				})
			}
			i++
		}
	}
}

// largest is the class with the largest share of four corners; of equal ones the
// first.
func largest(corners [4]uint8, shares [4]float32) uint8 {
	best, most := corners[0], float32(-1)
	for i, class := range corners {
		sum := float32(0)
		for k, other := range corners {
			if other == class {
				sum += shares[k]
			}
		}
		if sum > most {
			best, most = corners[i], sum
		}
	}
	return best
}
