package nifti

import (
	"image"
	"math"
	"slices"
)

// Plane is a direction of slices.
type Plane int

// The planes, by the axis that counts the slices.
const (
	Sagittal Plane = iota
	Coronal
	Axial
)

// Planes are all of them.
var Planes = []Plane{Sagittal, Coronal, Axial}

// String returns the plane's name in lower case.
func (p Plane) String() string { return [...]string{"sagittal", "coronal", "axial"}[p] }

// Grey returns the values as 8-bit grey: bytes as they are, others with the
// smallest value at 0 and the 99.9th percentile at 255, as the training code
// does.
func (v *Volume) Grey() []uint8 {
	grey := make([]uint8, len(v.Values))
	if v.Bytes {
		for i, value := range v.Values {
			grey[i] = uint8(value)
		}
		return grey
	}
	low, high := slices.Min(v.Values), percentile(v.Values, 0.999)
	scale := 255 / math.Max(float64(high)-float64(low), 1e-6)
	for i, value := range v.Values {
		grey[i] = uint8(math.Min(math.Max(math.RoundToEven((float64(value)-float64(low))*scale), 0), 255))
	}
	return grey
}

// percentile is linear between the two values next to it, as numpy's.
func percentile(values []float32, share float64) float32 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	at := share * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	part := at - float64(below)
	return float32(float64(sorted[below])*(1-part) + float64(sorted[above])*part)
}

// Slices is the number of slices of a plane.
func (v *Volume) Slices(p Plane) int { return v.Size[p] }

// Slice cuts slice number index out of values, which belong to v's voxels. It is
// turned with the front (axial) or the top up and the left side at the left.
func (v *Volume) Slice(values []uint8, p Plane, index int) *image.Gray {
	across, down := 0, 2
	switch p {
	case Sagittal:
		across = 1
	case Axial:
		down = 1
	}
	strides := [3]int{1, v.Size[0], v.Size[0] * v.Size[1]}
	width, height := v.Size[across], v.Size[down]
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		at := index*strides[p] + (height-1-y)*strides[down]
		for x := range width {
			slice.Pix[y*width+x] = values[at]
			at += strides[across]
		}
	}
	return slice
}
