package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// Value is a value as it is in the file.
type Value struct {
	VR    string
	Bytes []byte
}

// Set is the kept elements of a data set or an item.
type Set struct {
	Order    binary.ByteOrder
	Elements map[Tag]Value
	Items    map[Tag][]Set // of the sequences that are read
}

// NewSet returns an empty set.
func NewSet(order binary.ByteOrder) Set {
	return Set{Order: order, Elements: make(map[Tag]Value), Items: make(map[Tag][]Set)}
}

// Text returns a value as text without padding. Only ASCII in it has a meaning
// here; other bytes stay as they are.
func (d Set) Text(t Tag) string { return strings.Trim(string(d.Elements[t].Bytes), " \x00\t\r\n") }

// Has tells whether there is a value that is not empty.
func (d Set) Has(t Tag) bool { return d.Text(t) != "" || len(d.Numbers(t)) > 0 }

// Numbers decodes a binary value; nil for text.
func (d Set) Numbers(t Tag) []float64 {
	v, ok := d.Elements[t]
	if !ok {
		return nil
	}
	var numbers []float64
	each := func(width int, number func(b []byte) float64) {
		for b := v.Bytes; len(b) >= width; b = b[width:] {
			numbers = append(numbers, number(b))
		}
	}
	switch v.VR {
	case "US":
		each(2, func(b []byte) float64 { return float64(d.Order.Uint16(b)) })
	case "SS":
		each(2, func(b []byte) float64 { return float64(int16(d.Order.Uint16(b))) })
	case "UL":
		each(4, func(b []byte) float64 { return float64(d.Order.Uint32(b)) })
	case "SL":
		each(4, func(b []byte) float64 { return float64(int32(d.Order.Uint32(b))) })
	case "FL", "OF":
		each(4, func(b []byte) float64 { return float64(math.Float32frombits(d.Order.Uint32(b))) })
	case "FD", "OD":
		each(8, func(b []byte) float64 { return math.Float64frombits(d.Order.Uint64(b)) })
	}
	return numbers
}

// Decimals returns the numbers of an element that should hold n of them. ok is
// false where the element is missing or empty.
func (d Set) Decimals(t Tag, n int) (numbers []float64, ok bool, err error) {
	if numbers = d.Numbers(t); numbers == nil {
		text := d.Text(t)
		if text == "" {
			return nil, false, nil
		}
		for i, part := range strings.Split(text, `\`) {
			number, valid := Decimal(part)
			if part = strings.Trim(part, " \x00"); part == "" && i == n {
				break // a separator at the end
			}
			if !valid {
				return nil, true, BadValue(t, "holds something that is no decimal number")
			}
			numbers = append(numbers, number)
		}
	}
	if len(numbers) != n {
		return nil, true, BadValue(t, fmt.Sprintf("holds %d number(s), and %d belong there", len(numbers), n))
	}
	for _, number := range numbers {
		if math.IsNaN(number) || math.IsInf(number, 0) {
			return nil, true, BadValue(t, "holds a number that is not finite")
		}
	}
	return numbers, true, nil
}

// Decimal parses a decimal string by the standard's alphabet.
func Decimal(s string) (float64, bool) {
	s = strings.Trim(s, " \x00")
	if strings.Trim(s, "0123456789+-.eE") != "" || s == "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

// Integer returns a whole number. ok is false where the element is missing or
// empty.
func (d Set) Integer(t Tag) (n int, ok bool, err error) {
	if numbers := d.Numbers(t); len(numbers) > 0 {
		return int(numbers[0]), true, nil
	}
	text := d.Text(t)
	if text == "" {
		return 0, false, nil
	}
	v, valid := Decimal(text)
	if !valid || v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
		return 0, true, BadValue(t, "holds something that is no whole number")
	}
	return int(v), true, nil
}

func BadValue(t Tag, what string) error {
	return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("%s %v %s", t.Keyword(), t, what), "correct the header or export the series again")
}
