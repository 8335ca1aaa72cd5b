package volume

import "math"

// Orientation tells which axis of a grid runs along each direction of RAS, by
// the pairing that agrees best, and whether it runs the other way.
type Orientation struct {
	Axis [3]int
	Flip [3]bool
}

// Orientation pairs the grid's axes with the directions right, anterior and
// superior.
func (g Grid) Orientation() Orientation {
	var cosine [3][3]float64 // by direction and axis
	for axis := range 3 {
		column := g.Affine.Column(axis)
		length := column.Length()
		for direction := range 3 {
			cosine[direction][axis] = column[direction] / length
		}
	}
	// The best of the six pairings as a whole: taking the best pair first can
	// leave a bad rest when a scan is rotated by nearly 45 degrees.
	var best [3]int
	highest := math.Inf(-1)
	for _, p := range [6][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		sum := math.Abs(cosine[0][p[0]]) + math.Abs(cosine[1][p[1]]) + math.Abs(cosine[2][p[2]])
		if sum > highest {
			highest, best = sum, p
		}
	}
	o := Orientation{Axis: best}
	for direction, axis := range best {
		o.Flip[direction] = cosine[direction][axis] < 0
	}
	return o
}

// Letters names the direction in which each axis of the grid grows: "RAS" for
// right, anterior, superior, "LPI" for their opposites.
func (o Orientation) Letters() string {
	letters := make([]byte, 3)
	for direction, axis := range o.Axis {
		letters[axis] = "RAS"[direction]
		if o.Flip[direction] {
			letters[axis] = "LPI"[direction]
		}
	}
	return string(letters)
}

// Turned returns the volume with its axes swapped and flipped so that they run
// right, anterior and superior as nearly as they can. Nothing is interpolated. A volume that runs so
// already is returned itself.
func (v *Volume) Turned() *Volume {
	o := v.Orientation()
	grid, start, step := v.Grid.turned(o)
	if o == (Orientation{Axis: [3]int{0, 1, 2}}) {
		return v
	}
	values := make([]float32, 0, len(v.Values))
	for z := range grid.Size[2] {
		for y := range grid.Size[1] {
			at := start + z*step[2] + y*step[1]
			for range grid.Size[0] {
				values = append(values, v.Values[at])
				at += step[0]
			}
		}
	}
	return &Volume{Grid: grid, Values: values, Padding: v.Padding}
}

// turned returns the turned grid, the index of its first voxel in the old one,
// and the step along each new axis.
func (g Grid) turned(o Orientation) (turned Grid, start int, step [3]int) {
	strides := [3]int{1, g.Size[0], g.Size[0] * g.Size[1]}
	var columns [3]Vector
	origin := g.Affine.Column(3)
	for i, axis := range o.Axis {
		turned.Size[i], step[i], columns[i] = g.Size[axis], strides[axis], g.Affine.Column(axis)
		if o.Flip[i] {
			last := g.Size[axis] - 1
			start += last * step[i]
			origin = origin.Plus(columns[i].Times(float64(last)))
			step[i], columns[i] = -step[i], columns[i].Times(-1)
		}
	}
	turned.Affine = FromColumns(columns[0], columns[1], columns[2], origin)
	return turned, start, step
}
