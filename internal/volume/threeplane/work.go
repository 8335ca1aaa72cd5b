package threeplane

import (
	"fmt"
	"math"

	"github.com/brainseg/brainseg/internal/resample"
	"github.com/brainseg/brainseg/internal/volume"
)

// work is a scan as the network is shown it: grey bytes whose axes run to the
// right, to the front and upwards, at the network's voxel size.
type work struct {
	size [3]int
	grey []uint8
	// view leads back to the scan's voxels.
	view volume.View
	// zoom of each axis: the network's voxel size as a multiple of the scan's.
	// It is 1 where the axis was left as it is.
	zoom [3]float64
	// thick is the axis along which the slices are too far apart to be cut the
	// other way; -1 for none.
	thick int
}

// A scan's voxels are taken as they are within near of the network's size. An
// axis is thick where its voxels are thickRatio times as long as the finest, and
// longer than thickLeast mm.
const (
	near       = 0.05
	thickRatio = 2
	thickLeast = 2
)

func newWork(scan *volume.Volume, voxel float64, most int) (*work, error) {
	w := &work{view: scan.View(), thick: -1}
	w.size = w.view.Size
	spacing := w.view.Spacing()
	finest := min(spacing[0], spacing[1], spacing[2])
	thick := 0
	for axis, distance := range spacing {
		if distance > thickRatio*finest && distance > thickLeast*voxel {
			w.thick = axis
			thick++
		}
	}
	if thick != 1 {
		w.thick = -1
	}
	size := w.size
	for axis := range 3 {
		w.zoom[axis] = 1
		if ratio := voxel / spacing[axis]; axis != w.thick && math.Abs(ratio-1) > near {
			w.zoom[axis] = ratio
			size[axis] = resample.Size(size[axis], ratio)
		}
		// After each axis, for each is scaled by itself; in floating point, where
		// nothing overflows.
		if voxels := float64(size[0]) * float64(size[1]) * float64(size[2]); voxels > float64(max(most, scan.Voxels())) {
			return nil, fmt.Errorf("%w: %d x %d x %d, and at most %d in all", ErrTooLarge, size[0], size[1], size[2], most)
		}
	}
	w.grey = turned(scan.Grey(), w.view)
	for axis, ratio := range w.zoom {
		if ratio != 1 {
			w.grey, w.size = resample.Axis(w.grey, w.size, axis, ratio)
		}
	}
	return w, nil
}

// resolved are the planes whose slices have resolution both ways.
func (w *work) resolved() []volume.Plane {
	if w.thick >= 0 {
		return []volume.Plane{volume.Plane(w.thick)}
	}
	return volume.Planes
}

// turned swaps and flips the axes of values.
func turned(values []uint8, view volume.View) []uint8 {
	to := make([]uint8, 0, len(values))
	for z := range view.Size[2] {
		for y := range view.Size[1] {
			at := view.Index(0, y, z)
			for range view.Size[0] {
				to = append(to, values[at])
				at += view.Step(0)
			}
		}
	}
	return to
}

// box is the part of a work's grid that is run: from up to, but not including, to.
type box struct{ from, to [3]int }

// air is the largest grey value that is surely not tissue, in 255ths of the
// brightest, and headShare the share of a slice's voxels above it that makes it
// a slice of the head.
const (
	air       = 20
	headShare = 0.002
)

// grid is the network's coarsest grid in pixels: a box that begins on it shows
// the network the same picture as the whole slice.
const grid = 8

// headBox finds the head. It is false where there is nothing but air.
func (w *work) headBox() (box, bool) {
	var counts [3][]int
	for axis := range 3 {
		counts[axis] = make([]int, w.size[axis])
	}
	i := 0
	for z := range w.size[2] {
		for y := range w.size[1] {
			row := 0
			for x := range w.size[0] {
				if w.grey[i] > air {
					counts[0][x]++
					row++
				}
				i++
			}
			counts[1][y] += row
			counts[2][z] += row
		}
	}
	var b box
	for axis := range 3 {
		least := max(1, int(headShare*float64(len(w.grey)/w.size[axis])))
		first, last := -1, -1
		for at, n := range counts[axis] {
			if n >= least {
				if first < 0 {
					first = at
				}
				last = at
			}
		}
		if first < 0 {
			return box{}, false
		}
		// A little more, for what a thin slice of skin or a gyrus lacks.
		b.from[axis] = max(first-grid/2, 0) / grid * grid
		b.to[axis] = min(last+1+grid/2, w.size[axis])
	}
	return b, true
}
