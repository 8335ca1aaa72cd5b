package nifti

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/brainseg/brainseg/internal/volume"
)

const (
	intentLabel = 1002 // NIFTI_INTENT_LABEL
	typeUint8   = 2
	unitMM      = 2
	codeScanner = 1
	// description is all that a label map says of its origin. Texts of the input
	// are not taken over, for they may name the patient.
	description = "brainseg"
)

// WriteLabels writes labels as a single NIfTI file, compressed by gzip, with
// unsigned bytes. With the header of the scan that they belong to, the file keeps
// its version, byte order, and stored affine, codes and unit to the bit; without
// (nil), they follow from the labels' grid.
func WriteLabels(w io.Writer, labels *volume.Labels, h *Header) error {
	if len(labels.Values) != labels.Voxels() {
		return fmt.Errorf("write a label map: %d labels for %v voxels", len(labels.Values), labels.Size)
	}
	raw, err := headerFor(labels.Grid, h)
	if err == nil {
		err = write(w, raw, 1, func(int) []byte { return labels.Values })
	}
	if err != nil {
		return fmt.Errorf("write a label map: %w", err)
	}
	return nil
}

// WriteProbabilities writes so many volumes of probabilities on a grid as one NIfTI
// file of four dimensions, compressed by gzip: unsigned bytes of which 255 is 1, as
// the scale in the header says. of gives one volume after the other; the rest is as
// WriteLabels has it.
func WriteProbabilities(w io.Writer, grid volume.Grid, volumes int, of func(number int) []byte, h *Header) error {
	raw, err := headerFor(grid, h)
	if err == nil {
		order, version := binary.ByteOrder(binary.LittleEndian), 1
		if h != nil && h.magic != "" {
			order = h.order
		}
		if len(raw) == header2Bytes {
			version = 2
		}
		if version == 2 {
			order.PutUint64(raw[16:], 4)
			order.PutUint64(raw[16+8*4:], uint64(volumes))
			order.PutUint64(raw[104+8*4:], math.Float64bits(1))
			order.PutUint64(raw[176:], math.Float64bits(1.0/255))
			order.PutUint32(raw[504:], 0)
		} else {
			order.PutUint16(raw[40:], 4)
			order.PutUint16(raw[40+2*4:], uint16(volumes))
			order.PutUint32(raw[76+4*4:], math.Float32bits(1))
			order.PutUint32(raw[112:], math.Float32bits(1.0/255))
			order.PutUint16(raw[68:], 0)
		}
		err = write(w, raw, volumes, func(number int) []byte {
			values := of(number)
			if len(values) != grid.Voxels() {
				return nil
			}
			return values
		})
	}
	if err != nil {
		return fmt.Errorf("write probabilities: %w", err)
	}
	return nil
}

// headerFor is the header of a label map on a grid, by the scan's own where there is
// one.
func headerFor(grid volume.Grid, h *Header) ([]byte, error) {
	if h == nil || h.magic == "" {
		return headerOf(grid).forLabels(), nil
	}
	for axis, n := range grid.Size {
		if int64(n) != h.dim[axis+1] {
			return nil, fmt.Errorf("%v voxels for a scan of %v", grid.Size, h.dim[1:4])
		}
	}
	return h.forLabels(), nil
}

// write writes a header and volumes of bytes, one after the other; nil is one that
// does not fit the grid.
func write(w io.Writer, raw []byte, volumes int, of func(number int) []byte) error {
	zip := gzip.NewWriter(w)
	buffered := bufio.NewWriterSize(zip, 64<<10)
	buffered.Write(raw)
	buffered.Write(make([]byte, 4)) // no extensions
	for number := range volumes {
		values := of(number)
		if values == nil {
			return fmt.Errorf("volume %d does not fit the grid", number)
		}
		buffered.Write(values)
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return zip.Close()
}

// span is a part of a header.
type span struct{ from, to int }

// What of a header is the scan's own affair and is emptied.
var (
	foreign1 = []span{{4, 40}, {48, 70}, {74, 76}, {92, 123}, {124, 252}, {328, 344}}
	foreign2 = []span{{80, 104}, {136, 168}, {176, 344}, {496, 500}, {504, 540}}
)

// forLabels returns the header of a label map on the same grid.
func (h *Header) forLabels() []byte {
	raw := append([]byte(nil), h.raw...)
	put16 := func(at, v int) { h.order.PutUint16(raw[at:], uint16(v)) }
	put32 := func(at int, v uint32) { h.order.PutUint32(raw[at:], v) }
	put64 := func(at int, v uint64) { h.order.PutUint64(raw[at:], v) }
	spans := foreign1
	if h.Version == 2 {
		spans = foreign2
	}
	for _, s := range spans {
		clear(raw[s.from:s.to])
	}
	if h.Version == 2 {
		copy(raw[4:], "n+2\x00\r\n\x1a\n")
		put16(12, typeUint8)
		put16(14, 8)
		put64(16, 3)
		for axis := 4; axis <= 7; axis++ {
			put64(16+8*axis, 1)
		}
		put64(168, header2Bytes+4)
		put64(176, math.Float64bits(1))
		copy(raw[240:], description)
		put32(500, uint32(h.units&7))
		put32(504, intentLabel)
		return raw
	}
	copy(raw[344:], "n+1\x00")
	put16(40, 3)
	for axis := 4; axis <= 7; axis++ {
		put16(40+2*axis, 1)
	}
	put16(68, intentLabel)
	put16(70, typeUint8)
	put16(72, 8)
	put32(108, math.Float32bits(header1Bytes+4))
	put32(112, math.Float32bits(1))
	raw[38] = 'r'
	raw[123] = h.units & 7
	copy(raw[148:], description)
	return raw
}

// headerOf makes a header for a grid: NIfTI-1, or 2 where the size does not fit.
func headerOf(g volume.Grid) *Header {
	h := &Header{Version: 1, order: binary.LittleEndian, raw: make([]byte, header1Bytes), magic: "n+", units: unitMM}
	if max(g.Size[0], g.Size[1], g.Size[2]) > math.MaxInt16 {
		h.Version, h.raw = 2, make([]byte, header2Bytes)
	}
	quaternion, qfac, isBox := rotation(g.Affine)
	spacing, origin := g.Spacing(), g.Affine.Column(3)
	if h.Version == 2 {
		float := func(at int, v float64) { h.order.PutUint64(h.raw[at:], math.Float64bits(v)) }
		h.order.PutUint32(h.raw, header2Bytes)
		float(104, qfac)
		for i := range 3 {
			h.order.PutUint64(h.raw[24+8*i:], uint64(g.Size[i]))
			float(112+8*i, spacing[i])
			float(352+8*i, quaternion[i])
			float(376+8*i, origin[i])
			for j := range 4 {
				float(400+32*i+8*j, g.Affine[i][j])
			}
		}
		h.order.PutUint32(h.raw[348:], codeScanner)
		if isBox {
			h.order.PutUint32(h.raw[344:], codeScanner)
		}
		return h
	}
	float := func(at int, v float64) { h.order.PutUint32(h.raw[at:], math.Float32bits(float32(v))) }
	h.order.PutUint32(h.raw, header1Bytes)
	float(76, qfac)
	for i := range 3 {
		h.order.PutUint16(h.raw[42+2*i:], uint16(g.Size[i]))
		float(80+4*i, spacing[i])
		float(256+4*i, quaternion[i])
		float(268+4*i, origin[i])
		for j := range 4 {
			float(280+16*i+4*j, g.Affine[i][j])
		}
	}
	h.order.PutUint16(h.raw[254:], codeScanner)
	if isBox {
		h.order.PutUint16(h.raw[252:], codeScanner)
	}
	return h
}

// rotation returns b, c, d of the affine's quaternion and its qfac. isBox is
// false where the axes are not at right angles, which a quaternion cannot say.
func rotation(m volume.Affine) (bcd volume.Vector, qfac float64, isBox bool) {
	qfac = 1
	var r [3]volume.Vector // columns
	for axis := range r {
		column := m.Column(axis)
		r[axis] = column.Times(1 / column.Length())
	}
	if m.Determinant() < 0 {
		qfac, r[2] = -1, r[2].Times(-1)
	}
	// The largest of the four is taken by its root, so that nothing small divides.
	at := func(row, column int) float64 { return r[column][row] }
	squares := [4]float64{
		1 + at(0, 0) + at(1, 1) + at(2, 2), 1 + at(0, 0) - at(1, 1) - at(2, 2),
		1 - at(0, 0) + at(1, 1) - at(2, 2), 1 - at(0, 0) - at(1, 1) + at(2, 2),
	}
	largest := 0
	for i, v := range squares {
		if v > squares[largest] {
			largest = i
		}
	}
	twice := math.Sqrt(squares[largest]) // twice the largest
	var q [4]float64
	switch largest {
	case 0:
		q = [4]float64{0, at(2, 1) - at(1, 2), at(0, 2) - at(2, 0), at(1, 0) - at(0, 1)}
	case 1:
		q = [4]float64{at(2, 1) - at(1, 2), 0, at(0, 1) + at(1, 0), at(0, 2) + at(2, 0)}
	case 2:
		q = [4]float64{at(0, 2) - at(2, 0), at(0, 1) + at(1, 0), 0, at(1, 2) + at(2, 1)}
	default:
		q = [4]float64{at(1, 0) - at(0, 1), at(0, 2) + at(2, 0), at(1, 2) + at(2, 1), 0}
	}
	for i := range q {
		q[i] = q[i] / float64(2*twice)
	}
	q[largest] = twice / 2
	if q[0] < 0 { // the first, which is not stored, must not be negative
		for i := range q {
			q[i] = -q[i]
		}
	}
	return volume.Vector{q[1], q[2], q[3]}, qfac, m.Shear() < 1e-5
}
