package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// The element types that this project's graphs use.
const (
	Float = int32(onnxpb.TensorProto_FLOAT)
	Uint8 = int32(onnxpb.TensorProto_UINT8)
	Int64 = int32(onnxpb.TensorProto_INT64)
	Bool  = int32(onnxpb.TensorProto_BOOL)
)

// maxElements keeps products of dimensions far from overflowing.
const maxElements = 1 << 40

// Elements returns the number of elements of a tensor of the dimensions dims.
func Elements(dims []int64) (int64, error) {
	n := int64(1)
	for _, d := range dims {
		if d < 0 || d > maxElements {
			return 0, fmt.Errorf("dimensions %v: one is negative or too large", dims)
		}
		if d > 0 && n > maxElements/d {
			return 0, fmt.Errorf("dimensions %v: too many elements", dims)
		}
		n *= d
	}
	return n, nil
}

// FloatTensor makes a tensor of float32 values.
func FloatTensor(name string, dims []int64, values []float32) *onnxpb.TensorProto {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return tensor(name, Float, dims, raw)
}

// IntTensor makes a tensor of int64 values.
func IntTensor(name string, dims []int64, values []int64) *onnxpb.TensorProto {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return tensor(name, Int64, dims, raw)
}

// ByteTensor makes a tensor of uint8 values.
func ByteTensor(name string, dims []int64, values []uint8) *onnxpb.TensorProto {
	return tensor(name, Uint8, dims, slices.Clone(values))
}

func tensor(name string, dataType int32, dims []int64, raw []byte) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(dataType), Dims: slices.Clone(dims), RawData: raw}
}

// Floats returns the values of a float32 tensor.
func Floats(t *onnxpb.TensorProto) ([]float32, error) {
	if t.GetDataType() != Float {
		return nil, fmt.Errorf("tensor %q is of type %d, not float32", t.GetName(), t.GetDataType())
	}
	if err := checkTensor(t); err != nil {
		return nil, err
	}
	if len(t.RawData) == 0 {
		return slices.Clone(t.FloatData), nil
	}
	values := make([]float32, len(t.RawData)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.RawData[4*i:]))
	}
	return values, nil
}

// Ints returns the values of an int64 or int32 tensor.
func Ints(t *onnxpb.TensorProto) ([]int64, error) {
	if err := checkTensor(t); err != nil {
		return nil, err
	}
	var values []int64
	switch onnxpb.TensorProto_DataType(t.GetDataType()) {
	case onnxpb.TensorProto_INT64:
		if len(t.RawData) == 0 {
			return slices.Clone(t.Int64Data), nil
		}
		for raw := t.RawData; len(raw) > 0; raw = raw[8:] {
			values = append(values, int64(binary.LittleEndian.Uint64(raw)))
		}
	case onnxpb.TensorProto_INT32:
		for _, v := range t.Int32Data {
			values = append(values, int64(v))
		}
		for raw := t.RawData; len(raw) > 0; raw = raw[4:] {
			values = append(values, int64(int32(binary.LittleEndian.Uint32(raw))))
		}
	default:
		return nil, fmt.Errorf("tensor %q is of type %d, not int64 or int32", t.GetName(), t.GetDataType())
	}
	return values, nil
}

// checkTensor checks that the tensor has as many values as its dimensions say,
// all of them in the model's own file.
func checkTensor(t *onnxpb.TensorProto) error {
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL || len(t.ExternalData) > 0 {
		return fmt.Errorf("tensor %q is kept in another file; save the model in one (onnx.save_model with save_as_external_data=False)", t.GetName())
	}
	if t.Segment != nil {
		return fmt.Errorf("tensor %q is a segment of a larger one, which ONNX Runtime does not read", t.GetName())
	}
	n, err := Elements(t.Dims)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.GetName(), err)
	}
	dataType := onnxpb.TensorProto_DataType(t.GetDataType())
	if t.RawData != nil && dataType != onnxpb.TensorProto_STRING {
		bits, ok := elementBits[dataType]
		if !ok {
			return fmt.Errorf("tensor %q is of the unknown type %d", t.GetName(), t.GetDataType())
		}
		if want := (n*bits + 7) / 8; int64(len(t.RawData)) != want {
			return fmt.Errorf("tensor %q has %d bytes, and its dimensions %v need %d", t.GetName(), len(t.RawData), t.Dims, want)
		}
		return nil
	}
	values := len(t.FloatData) + len(t.Int32Data) + len(t.Int64Data) + len(t.DoubleData) + len(t.Uint64Data) + len(t.StringData)
	per := int64(1)
	switch dataType {
	case onnxpb.TensorProto_UNDEFINED:
		return fmt.Errorf("tensor %q has no element type", t.GetName())
	case onnxpb.TensorProto_COMPLEX64, onnxpb.TensorProto_COMPLEX128:
		n *= 2
	case onnxpb.TensorProto_UINT4, onnxpb.TensorProto_INT4, onnxpb.TensorProto_FLOAT4E2M1:
		per = 2
	case onnxpb.TensorProto_UINT2, onnxpb.TensorProto_INT2:
		per = 4
	}
	if int64(values) != (n+per-1)/per {
		return fmt.Errorf("tensor %q has %d values, and its dimensions %v need %d", t.GetName(), values, t.Dims, n)
	}
	return nil
}

// elementBits is the size of an element in raw data.
var elementBits = map[onnxpb.TensorProto_DataType]int64{
	onnxpb.TensorProto_FLOAT: 32, onnxpb.TensorProto_DOUBLE: 64, onnxpb.TensorProto_FLOAT16: 16, onnxpb.TensorProto_BFLOAT16: 16,
	onnxpb.TensorProto_UINT8: 8, onnxpb.TensorProto_INT8: 8, onnxpb.TensorProto_UINT16: 16, onnxpb.TensorProto_INT16: 16,
	onnxpb.TensorProto_INT32: 32, onnxpb.TensorProto_UINT32: 32, onnxpb.TensorProto_INT64: 64, onnxpb.TensorProto_UINT64: 64,
	onnxpb.TensorProto_BOOL: 8, onnxpb.TensorProto_COMPLEX64: 64, onnxpb.TensorProto_COMPLEX128: 128,
	onnxpb.TensorProto_FLOAT8E4M3FN: 8, onnxpb.TensorProto_FLOAT8E4M3FNUZ: 8, onnxpb.TensorProto_FLOAT8E5M2: 8,
	onnxpb.TensorProto_FLOAT8E5M2FNUZ: 8, onnxpb.TensorProto_FLOAT8E8M0: 8, onnxpb.TensorProto_UINT4: 4, onnxpb.TensorProto_INT4: 4,
	onnxpb.TensorProto_FLOAT4E2M1: 4, onnxpb.TensorProto_UINT2: 2, onnxpb.TensorProto_INT2: 2,
}
