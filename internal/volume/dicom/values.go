package dicom

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// stored is a value as it is in the file.
type stored struct {
	vr    string
	bytes []byte
}

// dataset is the kept elements of a data set or an item.
type dataset struct {
	order    binary.ByteOrder
	elements map[tag]stored
	items    map[tag][]dataset
}

// text returns a value as text without padding. Only ASCII in it has a meaning
// here; other bytes stay as they are.
func (d dataset) text(t tag) string { return strings.Trim(string(d.elements[t].bytes), " \x00\t\r\n") }

// has tells whether there is a value that is not empty.
func (d dataset) has(t tag) bool { return d.text(t) != "" || len(d.numbersOf(t)) > 0 }

// numbersOf decodes a binary value; nil for text.
func (d dataset) numbersOf(t tag) []float64 {
	v, ok := d.elements[t]
	if !ok {
		return nil
	}
	var numbers []float64
	each := func(width int, number func(b []byte) float64) {
		for b := v.bytes; len(b) >= width; b = b[width:] {
			numbers = append(numbers, number(b))
		}
	}
	switch v.vr {
	case "US":
		each(2, func(b []byte) float64 { return float64(d.order.Uint16(b)) })
	case "SS":
		each(2, func(b []byte) float64 { return float64(int16(d.order.Uint16(b))) })
	case "UL":
		each(4, func(b []byte) float64 { return float64(d.order.Uint32(b)) })
	case "SL":
		each(4, func(b []byte) float64 { return float64(int32(d.order.Uint32(b))) })
	case "FL", "OF":
		each(4, func(b []byte) float64 { return float64(math.Float32frombits(d.order.Uint32(b))) })
	case "FD", "OD":
		each(8, func(b []byte) float64 { return math.Float64frombits(d.order.Uint64(b)) })
	}
	return numbers
}

// decimals returns the numbers of an element that should hold n of them. ok is
// false where the element is missing or empty.
func (d dataset) decimals(t tag, n int) (numbers []float64, ok bool, err error) {
	if numbers = d.numbersOf(t); numbers == nil {
		text := d.text(t)
		if text == "" {
			return nil, false, nil
		}
		for i, part := range strings.Split(text, `\`) {
			number, valid := decimal(part)
			if part = strings.Trim(part, " \x00"); part == "" && i == n {
				break // a separator at the end
			}
			if !valid {
				return nil, true, badValue(t, "holds something that is no decimal number")
			}
			numbers = append(numbers, number)
		}
	}
	if len(numbers) != n {
		return nil, true, badValue(t, fmt.Sprintf("holds %d number(s), and %d belong there", len(numbers), n))
	}
	for _, number := range numbers {
		if math.IsNaN(number) || math.IsInf(number, 0) {
			return nil, true, badValue(t, "holds a number that is not finite")
		}
	}
	return numbers, true, nil
}

// decimal parses a decimal string by the standard's alphabet.
func decimal(s string) (float64, bool) {
	s = strings.Trim(s, " \x00")
	if strings.Trim(s, "0123456789+-.eE") != "" || s == "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil
}

// integer returns a whole number. ok is false where the element is missing or
// empty.
func (d dataset) integer(t tag) (n int, ok bool, err error) {
	if numbers := d.numbersOf(t); len(numbers) > 0 {
		return int(numbers[0]), true, nil
	}
	text := d.text(t)
	if text == "" {
		return 0, false, nil
	}
	v, valid := decimal(text)
	if !valid || v != math.Trunc(v) || math.Abs(v) > math.MaxInt32 {
		return 0, true, badValue(t, "holds something that is no whole number")
	}
	return int(v), true, nil
}

func badValue(t tag, what string) error {
	return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("%s %v %s", tagNames[t].name, t, what), "correct the header or export the series again")
}
