// Package volume holds whole scans: a grid in the scanner's space, the grey
// values or labels of its voxels, and the words in which a reader tells what it
// chose (Warning) or why it will not read (Refusal).
//
// It knows no file format and resamples nothing. Packages nifti and dicom below it read
// their format only, package scan finds out which of them a path needs, and the
// commands and package modelcheck call those.
//
// Coordinates are millimetres that grow to the right, to the front and upwards
// (RAS). The arithmetic forbids fused multiply-add, so that every architecture
// gives the same digits.
package volume

import "math"

// Grid says where the voxels are.
type Grid struct {
	// Size of the three axes in voxels, the first running fastest in memory.
	Size [3]int
	// Affine maps the index of a voxel's centre to millimetres RAS.
	Affine Affine
}

// Voxels is the number of voxels.
func (g Grid) Voxels() int { return g.Size[0] * g.Size[1] * g.Size[2] }

// Spacing is the distance between neighbours along each axis, in mm.
func (g Grid) Spacing() [3]float64 {
	var s [3]float64
	for axis := range 3 {
		s[axis] = g.Affine.Column(axis).Length()
	}
	return s
}

// SmallestExtent and LargestExtent bound the longest side that a scan of a head,
// or of a small animal's, can have, in mm.
const (
	SmallestExtent = 5
	LargestExtent  = 3000
)

// Extent is the length of the longest side in mm.
func (g Grid) Extent() float64 {
	extent := 0.0
	for axis, length := range g.Spacing() {
		extent = max(extent, float64(length*float64(g.Size[axis])))
	}
	return extent
}

// VoxelVolume is the volume of one voxel in cubic millimetres.
func (g Grid) VoxelVolume() float64 { return math.Abs(g.Affine.Determinant()) }

// Volume is a scan's grey values with their grid.
type Volume struct {
	Grid
	// Values, scaled as the file says. A voxel without a finite number is NaN or
	// infinite.
	Values []float32
	// Padding, where the file names one, is the range of values, both ends
	// included, that stand for "nothing was measured here".
	Padding *Range
}

// Range is a closed range of values.
type Range struct{ Low, High float32 }

// Contains tells whether v is in the range.
func (r *Range) Contains(v float32) bool { return r != nil && v >= r.Low && v <= r.High }

// Labels is a label map.
type Labels struct {
	Grid
	Values []uint8
}

// MaxVoxels is the largest number of voxels that is read unless the caller says
// otherwise: 512 x 512 x 512, half a gigabyte of grey values.
const MaxVoxels = 512 * 512 * 512

// At returns the value of the voxel whose box holds the place p, in mm RAS, and
// whether there is one.
func (v *Volume) At(p Vector) (float32, bool) {
	inverse, ok := v.Affine.Inverse()
	if !ok {
		return 0, false
	}
	index, stride := 0, 1
	for axis, x := range inverse.Apply(p) {
		i := math.Floor(x + 0.5)
		if !(i >= 0 && i < float64(v.Size[axis])) {
			return 0, false
		}
		index += int(i) * stride
		stride *= v.Size[axis]
	}
	return v.Values[index], true
}

// Statistics of a volume's values.
type Statistics struct {
	// Finite is the number of voxels with a finite value; the rest is of those.
	Finite    int
	Sum       float64
	Low, High float32
}

// Statistics counts and sums the values in their order.
func (v *Volume) Statistics() Statistics {
	var s Statistics
	for _, value := range v.Values {
		wide := float64(value)
		if math.IsNaN(wide) || math.IsInf(wide, 0) {
			continue
		}
		if s.Finite == 0 {
			s.Low, s.High = value, value
		}
		s.Low, s.High = min(s.Low, value), max(s.High, value)
		s.Sum += wide
		s.Finite++
	}
	return s
}

// CheckSignal refuses a volume in which there is nothing to see, and warns of
// voxels without a number.
func (v *Volume) CheckSignal() ([]Warning, error) {
	s := v.Statistics()
	switch {
	case s.Finite == 0:
		return nil, Refuse(CodeNoSignal, "no voxel has a finite value (all are NaN or infinite)", "export the scan again")
	case s.Low == s.High:
		return nil, Refuse(CodeNoSignal, "the image is empty: every voxel has the same, constant value", "export the scan again")
	case s.Finite < len(v.Values):
		return []Warning{Warn("not-finite", "%d of %d voxels are NaN or infinite; they are left out of every figure", len(v.Values)-s.Finite, len(v.Values))}, nil
	}
	return nil, nil
}
