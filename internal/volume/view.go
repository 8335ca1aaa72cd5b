package volume

import "image"

// View is a grid seen with its axes turned to the right, to the front and
// upwards, without moving a voxel in memory.
type View struct {
	// Grid is the turned one.
	Grid
	// Orientation leads from the turned axes to the stored ones.
	Orientation
	start int
	step  [3]int
}

// View turns the grid as nearly to RAS as swapping and flipping axes can.
func (g Grid) View() View {
	o := g.Orientation()
	v := View{Orientation: o}
	v.Grid, v.start, v.step = g.turned(o)
	return v
}

// Index is that of a turned voxel in memory.
func (v View) Index(x, y, z int) int { return v.start + x*v.step[0] + y*v.step[1] + z*v.step[2] }

// Step is the distance in memory of neighbours along a turned axis.
func (v View) Step(axis int) int { return v.step[axis] }

// PictureAxes are the turned axes that run across and up a slice of the plane.
func (p Plane) PictureAxes() (across, up int) {
	switch p {
	case Sagittal:
		return 1, 2
	case Coronal:
		return 0, 2
	}
	return 0, 1
}

// Picture cuts a slice out of values, which are stored as the grid's. The front
// (axial) or the top is up, and the patient's left at the left.
func (v View) Picture(values []uint8, p Plane, index int) *image.Gray {
	across, up := p.PictureAxes()
	width, height := v.Size[across], v.Size[up]
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		at := v.start + index*v.step[p] + (height-1-y)*v.step[up]
		for x := range width {
			slice.Pix[y*width+x] = values[at]
			at += v.step[across]
		}
	}
	return slice
}
