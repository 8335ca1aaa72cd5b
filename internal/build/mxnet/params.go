package mxnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// The numbers by which MXNet knows its files. A list of arrays begins with
// listMagic. An array begins with one of the others, or, before MXNet 0.11, with
// its number of axes.
const (
	listMagic = 0x112
	v1Magic   = 0xF993FAC8 // 0.11: axes of 64 bits
	v2Magic   = 0xF993FAC9 // 0.12: sparse storage
	v3Magic   = 0xF993FACA // 1.6: shapes as in NumPy
)

// elementType is MXNet's number of an element type.
type elementType int32

const (
	float32Type  elementType = 0
	float64Type  elementType = 1
	float16Type  elementType = 2
	bfloat16Type elementType = 12
)

// elementBytes is the size of an element of each type.
var elementBytes = map[elementType]int64{
	float32Type: 4, float64Type: 8, float16Type: 2, 3: 1 /* uint8 */, 4: 4 /* int32 */, 5: 1 /* int8 */, 6: 8, /* int64 */
	7: 1 /* bool */, 8: 2 /* int16 */, 9: 2 /* uint16 */, 10: 4 /* uint32 */, 11: 8 /* uint64 */, bfloat16Type: 2,
}

// maxArrayAxes is the largest number of axes of an array; MXNet's operators take
// at most 6.
const maxArrayAxes = 32

// Array is an array of numbers of a params file.
type Array struct {
	Shape []int64
	kind  elementType
	data  []byte // the elements, little-endian, in row-major order
}

// NewArray returns an array of float32 values, one for each element of shape.
func NewArray(shape []int64, values []float32) *Array {
	data := make([]byte, 0, 4*len(values))
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return &Array{Shape: shape, data: data}
}

// Empty tells that the array has a shape and no values.
func (a *Array) Empty() bool { return a.data == nil }

// Floats returns the elements. Types of 64 bits are rounded.
func (a *Array) Floats() []float32 {
	width := int(elementBytes[a.kind])
	values := make([]float32, len(a.data)/width)
	for i := range values {
		element := a.data[i*width:][:width]
		switch a.kind {
		case float32Type:
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(element))
		case float64Type:
			values[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(element)))
		case float16Type:
			values[i] = float16(binary.LittleEndian.Uint16(element))
		case bfloat16Type:
			values[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(element)) << 16)
		case 3, 7:
			values[i] = float32(element[0])
		case 4:
			values[i] = float32(int32(binary.LittleEndian.Uint32(element)))
		case 5:
			values[i] = float32(int8(element[0]))
		case 6:
			values[i] = float32(int64(binary.LittleEndian.Uint64(element)))
		case 8:
			values[i] = float32(int16(binary.LittleEndian.Uint16(element)))
		case 9:
			values[i] = float32(binary.LittleEndian.Uint16(element))
		case 10:
			values[i] = float32(binary.LittleEndian.Uint32(element))
		case 11:
			values[i] = float32(binary.LittleEndian.Uint64(element))
		}
	}
	return values
}

// float16 converts an IEEE 754 half to single precision.
func float16(bits uint16) float32 {
	sign, exponent, fraction := uint32(bits>>15)<<31, uint32(bits>>10)&0x1f, uint32(bits)&0x3ff
	switch exponent {
	case 0: // zero, or too small for a hidden bit
		return math.Float32frombits(sign | math.Float32bits(float32(fraction)/(1<<24)))
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}

// ParseParams reads the content of a params file: arrays by name, without the
// prefixes arg: and aux:. The memory it takes is bounded by the length of content,
// whatever the headers in it claim; the arrays share it.
func ParseParams(content []byte) (map[string]*Array, error) {
	params, err := parseParams(content)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return params, nil
}

func parseParams(content []byte) (map[string]*Array, error) {
	d := &decoder{rest: content}
	if magic := d.uint64(); d.err == nil && magic != listMagic {
		return nil, errors.New("this is no list of arrays: the first bytes are not those of a params file")
	}
	d.uint64() // reserved
	var arrays []*Array
	for i := range d.count("arrays", 4) {
		array, err := d.array()
		if err != nil {
			return nil, fmt.Errorf("array %d: %w", i, err)
		}
		arrays = append(arrays, array)
	}
	names := d.count("names", 8)
	if d.err != nil {
		return nil, d.err
	}
	if names != len(arrays) {
		return nil, fmt.Errorf("there are %d arrays and %d names", len(arrays), names)
	}
	params := make(map[string]*Array)
	for i := range names {
		name := string(d.bytes(d.uint64()))
		if d.err != nil {
			return nil, fmt.Errorf("name %d: %w", i, d.err)
		}
		for _, prefix := range []string{"arg:", "aux:"} {
			if plain, ok := strings.CutPrefix(name, prefix); ok {
				name = plain
				break
			}
		}
		if name == "" || params[name] != nil {
			return nil, fmt.Errorf("name %d, %q, is empty or used before", i, name)
		}
		params[name] = arrays[i]
	}
	if len(d.rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the last name", len(d.rest))
	}
	return params, nil
}

// decoder reads little-endian numbers; after the first error, zeros.
type decoder struct {
	rest []byte
	err  error
}

var errShort = errors.New("the file is cut short")

func (d *decoder) bytes(n uint64) []byte {
	if d.err == nil && n > uint64(len(d.rest)) {
		d.err = errShort
	}
	if d.err != nil {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint32() uint32 {
	if b := d.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// count reads how many things follow that have at least size bytes each.
func (d *decoder) count(things string, size int) int {
	n := d.uint64()
	if d.err == nil && n > uint64(len(d.rest)/size) {
		d.err = fmt.Errorf("the file is cut short: it should have %d %s", n, things)
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

func (d *decoder) array() (*Array, error) {
	magic := d.uint32()
	if magic == v2Magic || magic == v3Magic {
		if storage := int32(d.uint32()); d.err == nil && storage != 0 {
			return nil, fmt.Errorf("its storage is sparse (%d); save it dense, with tostype('default')", storage)
		}
	}
	array := new(Array)
	known, err := d.shape(array, magic)
	if err != nil || !known {
		return array, err
	}
	d.uint64() // the device it was on: type and number
	array.kind = elementType(d.uint32())
	if d.err != nil {
		return nil, d.err
	}
	size, ok := elementBytes[array.kind]
	if !ok {
		return nil, fmt.Errorf("its element type %d is unknown", array.kind)
	}
	for _, n := range array.Shape {
		if n > 0 && size > int64(len(d.rest))/n {
			return nil, fmt.Errorf("%w: the array of shape %v has more elements than the file", errShort, array.Shape)
		}
		size *= n
	}
	array.data = d.bytes(uint64(size))
	return array, d.err
}

// shape reads an array's shape. Where it is not known nothing of the array
// follows.
func (d *decoder) shape(array *Array, magic uint32) (known bool, err error) {
	axes, wide := magic, false
	if magic >= v1Magic && magic <= v3Magic {
		axes, wide = d.uint32(), true
	}
	if magic == v3Magic && int32(axes) == -1 {
		return false, d.err
	}
	if axes > maxArrayAxes {
		return false, fmt.Errorf("it has %d axes, more than %d", axes, maxArrayAxes)
	}
	known = axes > 0 || magic == v3Magic
	for range axes {
		var n int64
		if wide {
			n = int64(d.uint64())
		} else {
			n = int64(d.uint32())
		}
		switch {
		case magic == v3Magic && n == -1, magic != v3Magic && n == 0:
			known = false
		case n < 0:
			return false, fmt.Errorf("an axis has the length %d", n)
		}
		array.Shape = append(array.Shape, n)
	}
	return known, d.err
}
