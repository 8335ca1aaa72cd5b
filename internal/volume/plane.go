package volume

import (
	"image"
	"math"
	"slices"
)

// Plane is a direction of slices through a volume that is turned to RAS.
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

// Grey returns the values as 8-bit grey, with the smallest at 0 and the 99.9th
// percentile at 255, as the training code does. What is not finite is black.
func (v *Volume) Grey() []uint8 {
	grey := make([]uint8, len(v.Values))
	sorted := make([]float32, 0, len(v.Values))
	for _, value := range v.Values {
		if !math.IsNaN(float64(value)) && !math.IsInf(float64(value), 0) {
			sorted = append(sorted, value)
		}
	}
	if len(sorted) == 0 {
		return grey
	}
	slices.Sort(sorted)
	low, high := sorted[0], percentile(sorted, 0.999)
	scale := 255 / math.Max(float64(high)-float64(low), 1e-6)
	for i, value := range v.Values {
		if scaled := math.RoundToEven((float64(value) - float64(low)) * scale); !math.IsNaN(scaled) && !math.IsInf(float64(value), 0) {
			grey[i] = uint8(math.Min(math.Max(scaled, 0), 255))
		}
	}
	return grey
}

// percentile is linear between the two values next to it, as numpy's.
func percentile(sorted []float32, share float64) float32 {
	at := float64(share * float64(len(sorted)-1))
	below := int(at)
	above := min(below+1, len(sorted)-1)
	part := at - float64(below)
	return float32(float64(float64(sorted[below])*(1-part)) + float64(float64(sorted[above])*part))
}

// Slice cuts slice number index out of values, which belong to g's voxels. For a grid
// that is turned to RAS, the front (axial) or the top is up and the left side at the left.
func (g Grid) Slice(values []uint8, p Plane, index int) *image.Gray {
	across, down := 0, 2
	switch p {
	case Sagittal:
		across = 1
	case Axial:
		down = 1
	}
	strides := [3]int{1, g.Size[0], g.Size[0] * g.Size[1]}
	width, height := g.Size[across], g.Size[down]
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
