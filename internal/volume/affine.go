package volume

import "math"

// Vector is a place or a direction, in mm RAS unless said otherwise.
type Vector [3]float64

// Every product below is converted to float64, which forbids fusing it with the
// addition that follows.

// Dot is the scalar product.
func (v Vector) Dot(w Vector) float64 {
	return float64(v[0]*w[0]) + float64(v[1]*w[1]) + float64(v[2]*w[2])
}

// Cross is the vector product.
func (v Vector) Cross(w Vector) Vector {
	return Vector{
		float64(v[1]*w[2]) - float64(v[2]*w[1]),
		float64(v[2]*w[0]) - float64(v[0]*w[2]),
		float64(v[0]*w[1]) - float64(v[1]*w[0]),
	}
}

// Length is the Euclidean length.
func (v Vector) Length() float64 { return math.Sqrt(v.Dot(v)) }

// Plus, Minus and Times are the usual operations.
func (v Vector) Plus(w Vector) Vector  { return Vector{v[0] + w[0], v[1] + w[1], v[2] + w[2]} }
func (v Vector) Minus(w Vector) Vector { return Vector{v[0] - w[0], v[1] - w[1], v[2] - w[2]} }
func (v Vector) Times(f float64) Vector {
	return Vector{float64(v[0] * f), float64(v[1] * f), float64(v[2] * f)}
}

// Finite tells whether all three are numbers.
func (v Vector) Finite() bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}

// Affine is a map of places: three rows of a matrix and a translation. The fourth
// row, 0 0 0 1, is left out.
type Affine [3][4]float64

// FromColumns makes the map that sends the axes to a, b and c and zero to origin.
func FromColumns(a, b, c, origin Vector) Affine {
	var m Affine
	for row := range 3 {
		// Adding zero turns a negative zero into a plain one.
		m[row] = [4]float64{a[row] + 0, b[row] + 0, c[row] + 0, origin[row] + 0}
	}
	return m
}

// Column is where axis goes (0 to 2), or the translation (3).
func (m Affine) Column(axis int) Vector { return Vector{m[0][axis], m[1][axis], m[2][axis]} }

// Apply maps a place.
func (m Affine) Apply(p Vector) Vector {
	var q Vector
	for row := range 3 {
		q[row] = Vector{m[row][0], m[row][1], m[row][2]}.Dot(p) + m[row][3]
	}
	return q
}

// Scaled multiplies the result of the map.
func (m Affine) Scaled(f float64) Affine {
	return FromColumns(m.Column(0).Times(f), m.Column(1).Times(f), m.Column(2).Times(f), m.Column(3).Times(f))
}

// Determinant is that of the matrix: the signed volume of a voxel.
func (m Affine) Determinant() float64 { return m.Column(0).Cross(m.Column(1)).Dot(m.Column(2)) }

// Inverse is the map back; ok is false where the matrix is singular.
func (m Affine) Inverse() (inverse Affine, ok bool) {
	if !m.Usable() {
		return inverse, false
	}
	a, b, c := m.Column(0), m.Column(1), m.Column(2)
	det := m.Determinant()
	rows := [3]Vector{b.Cross(c), c.Cross(a), a.Cross(b)}
	origin := m.Column(3)
	for i, row := range rows {
		row = Vector{row[0] / det, row[1] / det, row[2] / det}
		inverse[i] = [4]float64{row[0], row[1], row[2], -row.Dot(origin)}
	}
	return inverse, true
}

// Usable tells whether the map is finite and spreads the three axes in space:
// the directions must be no nearer to one plane than a volume of 1/1000.
func (m Affine) Usable() bool {
	for axis := range 4 {
		if !m.Column(axis).Finite() {
			return false
		}
	}
	cube := m.Column(0).Length() * m.Column(1).Length() * m.Column(2).Length()
	return cube > 0 && !math.IsInf(cube, 0) && math.Abs(m.Determinant()) > cube/1000
}

// Shear is the largest cosine between two of the axes: 0 for a box.
func (m Affine) Shear() float64 {
	largest := 0.0
	for _, pair := range [3][2]int{{0, 1}, {0, 2}, {1, 2}} {
		a, b := m.Column(pair[0]), m.Column(pair[1])
		largest = max(largest, math.Abs(a.Dot(b)/float64(a.Length()*b.Length())))
	}
	return largest
}
