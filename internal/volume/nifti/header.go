package nifti

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/brainseg/brainseg/internal/volume"
)

// Lengths of the two headers.
const (
	header1Bytes = 348
	header2Bytes = 540
)

// Header is what is needed of a file's header, in either version.
type Header struct {
	// Version is 1 or 2.
	Version int
	// raw is the header as stored, for the label map.
	raw   []byte
	order binary.ByteOrder
	// magic is "n+" for a single file, "ni" for a pair, "" for ANALYZE.
	magic            string
	dim              [8]int64
	datatype, bitpix int
	pixdim           [8]float64
	voxOffset        float64
	slope, intercept float64
	units            byte
	qform, sform     int
	quatern, qoffset [3]float64
	srow             [3][4]float64
}

// identify tells the header's version and byte order by its first four bytes.
func identify(b []byte) (version int, order binary.ByteOrder, ok bool) {
	if len(b) < 4 {
		return 0, nil, false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(b) {
		case header1Bytes:
			return 1, order, true
		case header2Bytes:
			return 2, order, true
		}
	}
	return 0, nil, false
}

// Recognised tells whether b, the first bytes of a file, may be those of a
// NIfTI or ANALYZE header.
func Recognised(b []byte) bool {
	_, _, ok := identify(b)
	return ok
}

// parseHeader reads the fields of raw, which is a whole header.
func parseHeader(raw []byte) (*Header, error) {
	version, order, ok := identify(raw)
	if !ok {
		return nil, volume.Refuse(volume.CodeNotAScan, "this is not a NIfTI file: its header is of no known size", "give a NIfTI file or a DICOM series")
	}
	h := &Header{Version: version, order: order, raw: raw}
	if version == 1 {
		h.parse1()
	} else {
		h.parse2()
	}
	magic := raw[344:348]
	if version == 2 {
		magic = raw[4:12]
	}
	digit := byte('0' + version)
	switch {
	case magic[0] == 'n' && (magic[1] == '+' || magic[1] == 'i') && magic[2] == digit && magic[3] == 0:
		h.magic = string(magic[:2])
	case version == 2 || magic[0] == 'n':
		return nil, volume.Refuse(volume.CodeBadHeader, "the header's magic word is none of NIfTI's", "the file is damaged or of another format; export it again")
	}
	if version == 2 && !bytes.Equal(magic[4:], []byte("\r\n\x1a\n")) {
		return nil, volume.Refuse(volume.CodeDamaged, "the header's magic word shows that the file was copied as text, which damages it", "copy it again as binary")
	}
	return h, nil
}

func (h *Header) int16(at int) int { return int(int16(h.order.Uint16(h.raw[at:]))) }
func (h *Header) float32(at int) float64 {
	return float64(math.Float32frombits(h.order.Uint32(h.raw[at:])))
}
func (h *Header) float64(at int) float64 { return math.Float64frombits(h.order.Uint64(h.raw[at:])) }
func (h *Header) int32(at int) int       { return int(int32(h.order.Uint32(h.raw[at:]))) }

func (h *Header) parse1() {
	for i := range h.dim {
		h.dim[i], h.pixdim[i] = int64(h.int16(40+2*i)), h.float32(76+4*i)
	}
	h.datatype, h.bitpix = h.int16(70), h.int16(72)
	h.voxOffset, h.slope, h.intercept = h.float32(108), h.float32(112), h.float32(116)
	h.units = h.raw[123]
	h.qform, h.sform = h.int16(252), h.int16(254)
	for i := range 3 {
		h.quatern[i], h.qoffset[i] = h.float32(256+4*i), h.float32(268+4*i)
		for j := range 4 {
			h.srow[i][j] = h.float32(280 + 16*i + 4*j)
		}
	}
}

func (h *Header) parse2() {
	for i := range h.dim {
		h.dim[i], h.pixdim[i] = int64(h.order.Uint64(h.raw[16+8*i:])), h.float64(104+8*i)
	}
	h.datatype, h.bitpix = h.int16(12), h.int16(14)
	h.voxOffset = float64(int64(h.order.Uint64(h.raw[168:])))
	h.slope, h.intercept = h.float64(176), h.float64(184)
	h.units = byte(h.int32(500))
	h.qform, h.sform = h.int32(344), h.int32(348)
	for i := range 3 {
		h.quatern[i], h.qoffset[i] = h.float64(352+8*i), h.float64(376+8*i)
		for j := range 4 {
			h.srow[i][j] = h.float64(400 + 32*i + 8*j)
		}
	}
}

// layout is what the header says of the voxels, checked.
type layout struct {
	size    [3]int
	voxels  int   // of one volume
	volumes int64 // stored one after the other
	kind    dataType
}

// layout checks dimensions and data type before anything is allocated for them.
func (h *Header) layout(scan *volume.Scan, limit int) (layout, error) {
	l := layout{volumes: 1}
	n := h.dim[0]
	if n < 1 || n > 7 {
		return l, badHeader("dim[0] is %d, and a NIfTI file has 1 to 7 dimensions", n)
	}
	for i, d := range h.dim[1 : n+1] {
		axis := i + 1
		switch {
		case d < 0, d == 0 && axis <= 3:
			return l, badHeader("dim[%d] is %d, a size that cannot be", axis, d)
		case axis == 4 && d > 1:
			l.volumes = d
		case axis >= 5 && d > 1:
			return l, volume.Refuse(volume.CodeNotAVolume, fmt.Sprintf("the file has %d dimensions, with %d components in dimension %d (a vector field or the like)", n, d, axis), "give the scan itself, with three dimensions")
		case d == 0:
			scan.Warn("dimension-zero", "dim[%d] is 0 and was read as 1", axis)
		}
	}
	for axis := range 3 {
		if n <= int64(axis) || h.dim[axis+1] == 1 {
			return l, volume.Refuse(volume.CodeNotAVolume, fmt.Sprintf("the image is only one slice thick (dimension %d)", axis+1), "give the whole scan")
		}
	}
	voxels := int64(1)
	for axis := range 3 {
		d := h.dim[axis+1]
		if d > int64(limit) || voxels*d > int64(limit) {
			return l, volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("the header's dim asks for %d x %d x %d voxels, and at most %d are read", h.dim[1], h.dim[2], h.dim[3], limit), "cut or resample the scan, or export it again if the header is wrong")
		}
		l.size[axis] = int(d)
		voxels *= d
	}
	l.voxels = int(voxels)
	kind, ok := dataTypes[h.datatype]
	if !ok {
		if other, ok := otherTypes[h.datatype]; ok {
			return l, volume.Refuse(other.code, fmt.Sprintf("datatype %d is %s, not grey values", h.datatype, other.name), "give the scan as grey values (integers or floats)")
		}
		return l, volume.Refuse(volume.CodeUnsupportedDataType, fmt.Sprintf("datatype %d is none of NIfTI's types", h.datatype), "export the scan again")
	}
	l.kind = kind
	if l.volumes > math.MaxInt64/2/(voxels*int64(kind.width)) {
		return l, badHeader("dim[4] is %d, a size that cannot be", l.volumes)
	}
	return l, nil
}

func badHeader(format string, a ...any) error {
	return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf(format, a...), "correct the header or export the scan again")
}
