package nifti

import (
	"encoding/binary"
	"math"

	"github.com/brainseg/brainseg/internal/volume"
)

// dataType is how a voxel is stored.
type dataType struct {
	name  string
	width int // bytes
	// convert turns the stored voxels in b into numbers.
	convert func(into []float64, b []byte, order binary.ByteOrder)
}

// dataTypes are the grey types, by NIfTI's number.
var dataTypes = map[int]dataType{
	2: {"uint8", 1, func(into []float64, b []byte, _ binary.ByteOrder) {
		for i := range into {
			into[i] = float64(b[i])
		}
	}},
	256: {"int8", 1, func(into []float64, b []byte, _ binary.ByteOrder) {
		for i := range into {
			into[i] = float64(int8(b[i]))
		}
	}},
	4: {"int16", 2, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(int16(order.Uint16(b[2*i:])))
		}
	}},
	512: {"uint16", 2, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(order.Uint16(b[2*i:]))
		}
	}},
	8: {"int32", 4, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(int32(order.Uint32(b[4*i:])))
		}
	}},
	768: {"uint32", 4, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(order.Uint32(b[4*i:]))
		}
	}},
	1024: {"int64", 8, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(int64(order.Uint64(b[8*i:])))
		}
	}},
	1280: {"uint64", 8, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(order.Uint64(b[8*i:]))
		}
	}},
	16: {"float32", 4, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = float64(math.Float32frombits(order.Uint32(b[4*i:])))
		}
	}},
	64: {"float64", 8, func(into []float64, b []byte, order binary.ByteOrder) {
		for i := range into {
			into[i] = math.Float64frombits(order.Uint64(b[8*i:]))
		}
	}},
}

// otherTypes are NIfTI's types that are no grey values, or, float128, of which
// two layouts are in use.
var otherTypes = map[int]struct {
	name string
	code volume.Code
}{
	0:    {"unknown", volume.CodeUnsupportedDataType},
	1:    {"single bits", volume.CodeUnsupportedDataType},
	32:   {"complex numbers", volume.CodeUnsupportedDataType},
	128:  {"RGB colour", volume.CodeColour},
	1536: {"float128, of which two layouts are in use", volume.CodeUnsupportedDataType},
	1792: {"complex numbers", volume.CodeUnsupportedDataType},
	2048: {"complex numbers", volume.CodeUnsupportedDataType},
	2304: {"RGBA colour", volume.CodeColour},
}
