package nifti

import (
	"fmt"
	"math"

	"github.com/brainseg/brainseg/internal/volume"
)

// quaternSlack is how far the squared length of b, c, d may exceed 1: what
// rounding to two decimals leaves.
const quaternSlack = 0.02

// affine returns the map to millimetres by the rules of the standard, sform
// before qform, and tells each choice.
func (h *Header) affine(scan *volume.Scan, size [3]int, assume string) (volume.Affine, error) {
	var m volume.Affine
	switch {
	case h.sform > 0 && h.magic != "":
		m = h.srow
		for row := range m {
			for column := range m[row] {
				m[row][column] += 0 // no negative zero
			}
		}
		if !m.Usable() {
			return m, volume.Refuse(volume.CodeBadGeometry, "the sform is singular (a row or column of the affine is zero, not finite, or depends on the others)", "correct the sform, or set sform_code to 0 if the qform is right")
		}
		h.compare(scan, m, size)
	case h.qform > 0 && h.magic != "":
		q, err := h.qformAffine(scan)
		if err != nil {
			return m, err
		}
		m = q
	case assume == "":
		what := "the header records no orientation (qform_code and sform_code are 0)"
		if h.magic == "" {
			what = "this is an ANALYZE 7.5 file, which has no reliable orientation"
		}
		return m, volume.Refuse(volume.CodeNoOrientation, what+", so left and right cannot be told", `if you know that its axes run to the right, to the front and upwards, say so with --assume RAS`)
	default:
		if err := h.checkPixdim(); err != nil {
			return m, err
		}
		m = volume.FromColumns(volume.Vector{h.pixdim[1]}, volume.Vector{0, h.pixdim[2]}, volume.Vector{0, 0, h.pixdim[3]}, volume.Vector{})
		scan.Warn("orientation-assumed", "the header records no orientation; RAS was assumed as asked")
	}
	return h.inMillimetres(scan, m, size)
}

// compare tells of a qform or voxel sizes that the sform overrules.
func (h *Header) compare(scan *volume.Scan, m volume.Affine, size [3]int) {
	for axis := range 3 {
		if length := m.Column(axis).Length(); !(math.Abs(h.pixdim[axis+1]-length) <= 0.01*length) {
			scan.Warn("pixdim-ignored", "pixdim differs from the voxel sizes of the sform, which count")
			break
		}
	}
	if h.qform <= 0 {
		return
	}
	var ignored volume.Scan
	q, err := h.qformAffine(&ignored)
	if err != nil {
		scan.Warn("sform-over-qform", "the qform is unusable; the sform was taken")
		return
	}
	voxel := m.Column(0).Length()
	for corner := range 8 {
		p := volume.Vector{float64((corner & 1) * size[0]), float64((corner >> 1 & 1) * size[1]), float64((corner >> 2 & 1) * size[2])}
		if !(m.Apply(p).Minus(q.Apply(p)).Length() <= 0.1*voxel) {
			scan.Warn("sform-over-qform", "sform (code %d) and qform (code %d) disagree; the sform was taken, as the standard's order is", h.sform, h.qform)
			return
		}
	}
}

func (h *Header) checkPixdim() error {
	for axis := 1; axis <= 3; axis++ {
		if size := h.pixdim[axis]; !(size > 0) || math.IsInf(size, 0) {
			return volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("pixdim[%d] is %v, and a voxel's size must be positive", axis, size), "correct pixdim, or give the affine as an sform")
		}
	}
	return nil
}

// qformAffine builds the affine of the quaternion.
func (h *Header) qformAffine(scan *volume.Scan) (volume.Affine, error) {
	if err := h.checkPixdim(); err != nil {
		return volume.Affine{}, err
	}
	v := volume.Vector(h.quatern)
	offset := volume.Vector(h.qoffset)
	squared := v.Dot(v)
	if !(squared <= 1+quaternSlack) || !offset.Finite() {
		return volume.Affine{}, volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("the qform is no rotation: quatern_b, c, d have length %.3g, and at most 1 is possible", math.Sqrt(squared)), "correct the qform, or give the affine as an sform")
	}
	a := 0.0
	if squared < 1 {
		a = math.Sqrt(1 - squared)
	}
	if squared > 1+1e-5 {
		scan.Warn("qform-rounded", "quatern_b, c, d are a little longer than 1 and were brought to length 1")
	}
	if 1-squared < 1e-7 { // as the reference library does
		a = 0
		v = v.Times(1 / math.Sqrt(squared))
	}
	b, c, d := v[0], v[1], v[2]
	p := func(x, y float64) float64 { return float64(x * y) }
	columns := [3]volume.Vector{
		{p(a, a) + p(b, b) - p(c, c) - p(d, d), 2 * (p(b, c) + p(a, d)), 2 * (p(b, d) - p(a, c))},
		{2 * (p(b, c) - p(a, d)), p(a, a) + p(c, c) - p(b, b) - p(d, d), 2 * (p(c, d) + p(a, b))},
		{2 * (p(b, d) + p(a, c)), 2 * (p(c, d) - p(a, b)), p(a, a) + p(d, d) - p(c, c) - p(b, b)},
	}
	qfac := h.pixdim[0]
	switch {
	case qfac == 1, qfac == -1:
	case math.IsNaN(qfac):
		return volume.Affine{}, volume.Refuse(volume.CodeBadGeometry, "pixdim[0] (qfac), which tells left from right, is no number", "set it to 1 or -1")
	case qfac != 0:
		scan.Warn("qfac-sign", "pixdim[0] is %v, neither 1 nor -1; its sign was taken", qfac)
	}
	if qfac < 0 {
		columns[2] = columns[2].Times(-1)
	}
	for axis := range columns {
		columns[axis] = columns[axis].Times(h.pixdim[axis+1])
	}
	return volume.FromColumns(columns[0], columns[1], columns[2], offset), nil
}

// inMillimetres converts the affine from the file's unit.
func (h *Header) inMillimetres(scan *volume.Scan, m volume.Affine, size [3]int) (volume.Affine, error) {
	switch code := h.units & 7; code {
	case 1:
		scan.Unit = "m"
		m = m.Scaled(1000)
		scan.Warn("units-metre", "the file's unit is the metre; places and sizes are told in millimetres")
	case 2:
		scan.Unit = "mm"
	case 3:
		scan.Unit = "um"
		for row := range m {
			for column := range m[row] {
				m[row][column] /= 1000
			}
		}
		scan.Warn("units-micron", "the file's unit is the micrometre; places and sizes are told in millimetres")
	default:
		scan.Unit = "unknown"
		scan.Warn("units-unknown", "the file names no unit of length (code %d); millimetres were taken", code)
	}
	if extent := (volume.Grid{Size: size, Affine: m}).Extent(); extent < volume.SmallestExtent || extent > volume.LargestExtent {
		return m, volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("by its affine (sform or qform, voxel sizes) and unit of length (xyzt_units: %s) the image is %.3g mm long, which no head is", scan.Unit, extent), "correct xyzt_units or the voxel sizes")
	}
	if m.Shear() > 0.005 {
		scan.Warn("shear", "the axes are not at right angles; the affine keeps the shear")
	}
	return m, nil
}
