package nifti_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math"
	"slices"
)

// file is a NIfTI file in the making: 4 x 3 x 2 voxels of 10 mm, or of the size
// that a test gives it.
type file struct {
	order   binary.ByteOrder
	version int
	header  []byte
	between []byte // header and voxels
	voxels  []byte
}

var shape = [3]int{4, 3, 2}

// newFile makes a file with an sform; values count from 1.
func newFile(order binary.ByteOrder, version int) *file {
	f := &file{order: order, version: version, between: make([]byte, 4)}
	if version == 1 {
		f.header = make([]byte, 348)
		f.put32(0, 348)
		f.float(108, 352)
		copy(f.header[344:], "n+1\x00")
		f.header[123] = 2
	} else {
		f.header = make([]byte, 540)
		f.put32(0, 540)
		order.PutUint64(f.header[168:], 544)
		copy(f.header[4:], "n+2\x00\r\n\x1a\n")
		f.put32(500, 2)
	}
	f.dims(3, 4, 3, 2)
	for axis := range 3 {
		f.pixdim(axis+1, 10)
		for column := range 4 {
			v := 0.0
			if axis == column {
				v = 10
			}
			f.srow(axis, column, v)
		}
	}
	f.codes(0, 1)
	f.datatype(4, 16)
	values := make([]int16, 24)
	for i := range values {
		values[i] = int16(i + 1)
	}
	f.data(values)
	return f
}

func (f *file) put16(at int, v int16)   { f.order.PutUint16(f.header[at:], uint16(v)) }
func (f *file) put32(at int, v uint32)  { f.order.PutUint32(f.header[at:], v) }
func (f *file) float(at int, v float32) { f.put32(at, math.Float32bits(v)) }

// number writes a float at its place in version 1 or 2.
func (f *file) number(at1, at2 int, v float64) {
	if f.version == 1 {
		f.float(at1, float32(v))
	} else {
		f.order.PutUint64(f.header[at2:], math.Float64bits(v))
	}
}

func (f *file) dims(dims ...int64) {
	for i, d := range dims {
		if f.version == 1 {
			f.put16(40+2*i, int16(d))
		} else {
			f.order.PutUint64(f.header[16+8*i:], uint64(d))
		}
	}
}

func (f *file) pixdim(axis int, v float64) { f.number(76+4*axis, 104+8*axis, v) }
func (f *file) srow(row, column int, v float64) {
	f.number(280+16*row+4*column, 400+32*row+8*column, v)
}
func (f *file) quatern(i int, v float64) { f.number(256+4*i, 352+8*i, v) }
func (f *file) scaling(slope, intercept float64) {
	f.number(112, 176, slope)
	f.number(116, 184, intercept)
}

func (f *file) codes(qform, sform int) {
	if f.version == 1 {
		f.put16(252, int16(qform))
		f.put16(254, int16(sform))
	} else {
		f.put32(344, uint32(qform))
		f.put32(348, uint32(sform))
	}
}

func (f *file) datatype(code, bits int16) {
	at := 70
	if f.version == 2 {
		at = 12
	}
	f.put16(at, code)
	f.put16(at+2, bits)
}

func (f *file) units(code byte) {
	if f.version == 1 {
		f.header[123] = code
	} else {
		f.put32(500, uint32(code))
	}
}

func (f *file) data(values any) {
	var b bytes.Buffer
	if err := binary.Write(&b, f.order, values); err != nil {
		panic(err)
	}
	f.voxels = b.Bytes()
}

func (f *file) bytes() []byte { return slices.Concat(f.header, f.between, f.voxels) }

func zipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

func (f *file) voxOffset(v int64) {
	if f.version == 1 {
		f.float(108, float32(v))
	} else {
		f.order.PutUint64(f.header[168:], uint64(v))
	}
}

// extension puts one of n bytes, that says it has size, before the voxels.
func (f *file) extension(size int32, n int) {
	f.between = make([]byte, 4+8+n-8+4)
	f.between[0] = 1
	f.order.PutUint32(f.between[4:], uint32(size))
	f.voxOffset(int64(len(f.header) + len(f.between)))
}
