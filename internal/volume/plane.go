package volume

import "image"

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

// PlaneNamed returns the plane with a name; false where there is none.
func PlaneNamed(name string) (Plane, bool) {
	for _, p := range Planes {
		if p.String() == name {
			return p, true
		}
	}
	return 0, false
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
