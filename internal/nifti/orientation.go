package nifti

import "math"

// matrix maps voxels to millimetres R-A-S: a row for each of the three
// directions, a column for each axis of the file. The translation is of no
// interest here.
type matrix [3][3]float64

// affine returns the matrix by the file's rules: sform where there is one, then
// qform, then the voxels' size alone.
func (h *header) affine() matrix {
	var m matrix
	if h.int16(offsetSform) > 0 {
		for row := range 3 {
			for column := range 3 {
				m[row][column] = h.float(offsetSrow + 16*row + 4*column)
			}
		}
		return m
	}
	var size [3]float64
	for i := range 3 {
		size[i] = math.Abs(h.float(offsetPixdim + 4 + 4*i))
		if size[i] == 0 {
			size[i] = 1
		}
	}
	if h.int16(offsetQform) <= 0 {
		for i := range 3 {
			m[i][i] = size[i]
		}
		return m
	}
	b, c, d := h.float(offsetQuatern), h.float(offsetQuatern+4), h.float(offsetQuatern+8)
	a := math.Sqrt(math.Max(0, 1-b*b-c*c-d*d))
	m = matrix{
		{a*a + b*b - c*c - d*d, 2 * (b*c - a*d), 2 * (b*d + a*c)},
		{2 * (b*c + a*d), a*a + c*c - b*b - d*d, 2 * (c*d - a*b)},
		{2 * (b*d - a*c), 2 * (c*d + a*b), a*a + d*d - c*c - b*b},
	}
	if h.float(offsetPixdim) < 0 {
		size[2] = -size[2]
	}
	for row := range 3 {
		for column := range 3 {
			m[row][column] *= size[column]
		}
	}
	return m
}

// orientation tells for each direction R, A, S which axis of the file runs along
// it, and whether it runs the other way.
func (m matrix) orientation() (axis [3]int, flip [3]bool) {
	// The columns' lengths, the voxels' sizes, do not count.
	for column := range 3 {
		length := math.Hypot(math.Hypot(m[0][column], m[1][column]), m[2][column])
		for row := range 3 {
			if m[row][column] /= length; math.IsNaN(m[row][column]) || math.IsInf(m[row][column], 0) {
				m[row][column] = 0
			}
		}
	}
	// The pair that agrees best first, then the best of the rest.
	var rowTaken, columnTaken [3]bool
	for range 3 {
		best, bestRow, bestColumn := -1.0, 0, 0
		for row := range 3 {
			for column := range 3 {
				if v := math.Abs(m[row][column]); !rowTaken[row] && !columnTaken[column] && v > best {
					best, bestRow, bestColumn = v, row, column
				}
			}
		}
		rowTaken[bestRow], columnTaken[bestColumn] = true, true
		axis[bestRow], flip[bestRow] = bestColumn, m[bestRow][bestColumn] < 0
	}
	return axis, flip
}

// turn brings the axes into the order R-A-S.
func (v *Volume) turn(m matrix) {
	axis, flip := m.orientation()
	if axis == [3]int{0, 1, 2} && flip == [3]bool{} {
		return
	}
	strides := [3]int{1, v.Size[0], v.Size[0] * v.Size[1]}
	var size, step [3]int
	start := 0
	for i := range 3 {
		size[i], step[i] = v.Size[axis[i]], strides[axis[i]]
		if flip[i] {
			start += (size[i] - 1) * step[i]
			step[i] = -step[i]
		}
	}
	turned := make([]float32, 0, len(v.Values))
	for z := range size[2] {
		for y := range size[1] {
			at := start + z*step[2] + y*step[1]
			for range size[0] {
				turned = append(turned, v.Values[at])
				at += step[0]
			}
		}
	}
	v.Size, v.Values = size, turned
}
