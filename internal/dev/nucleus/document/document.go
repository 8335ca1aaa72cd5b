// Package document holds JSON documents as a nucleus keeps and hands them on, and
// puts their numbers into the form, faults included, that each of the two real
// ones gives them. A document is map[string]any, []any, string, bool, nil or
// json.Number, whose text is written as it stands: that is where they differ.
//
// It knows nothing of what a document is for. The local nucleus and its packages
// operation and configuration use it.
package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Decode reads one JSON document.
func Decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON document")
	}
	return v, nil
}

// Normalise turns a Go value into a document.
func Normalise(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

// CountValues counts the values in v, keys of maps among them.
func CountValues(v any) int {
	count := 0
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			count += 2 + CountValues(child)
		}
	case []any:
		for _, child := range v {
			count += 1 + CountValues(child)
		}
	}
	return count
}

// Depth returns how many containers stand in each other at most.
func Depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			deepest = max(deepest, Depth(child))
		}
	case []any:
		for _, child := range v {
			deepest = max(deepest, Depth(child))
		}
	default:
		return 0
	}
	return deepest + 1
}

// EachNumber replaces the numbers in v, in place where v is a container.
func EachNumber(v any, replace func(json.Number) (any, error)) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if v[key], err = EachNumber(child, replace); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, child := range v {
			if v[i], err = EachNumber(child, replace); err != nil {
				return nil, err
			}
		}
	case json.Number:
		return replace(v)
	}
	return v, nil
}

// LiteNumbers gives the numbers of a request the form in which nucleus lite
// hands them on: floats with 17 digits; integers beyond int64 are refused.
func LiteNumbers(v any) error {
	_, err := EachNumber(v, func(number json.Number) (any, error) {
		if !strings.ContainsAny(number.String(), ".eE") {
			_, err := number.Int64()
			return number, err
		}
		f, err := number.Float64()
		if err != nil {
			return nil, err
		}
		return json.Number(fmt.Sprintf("%#.17g", f)), nil
	})
	return err
}

// JavaNumbers gives the numbers of a document the form in which the classic
// nucleus hands on what a component sent: all are doubles, in Java's notation.
func JavaNumbers(v any) any {
	v, _ = EachNumber(v, func(number json.Number) (any, error) {
		f, err := number.Float64()
		if err != nil {
			return number, nil
		}
		return json.Number(javaDouble(f)), nil
	})
	return v
}

// javaDouble writes f as Double.toString does: 1.0, 0.001, 1.0E7.
func javaDouble(f float64) string {
	if a := math.Abs(f); f == 0 || a >= 1e-3 && a < 1e7 {
		text := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		return text
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	e, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(e)
}

// Stringify turns every scalar into a string, as nucleus lite does with a
// configuration that comes from YAML.
func Stringify(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			v[key] = Stringify(child)
		}
		return v
	case []any:
		for i, child := range v {
			v[i] = Stringify(child)
		}
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case nil:
		return "null"
	}
	return v
}

// Clone copies the containers of a document.
func Clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for key, child := range v {
			c[key] = Clone(child)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, child := range v {
			c[i] = Clone(child)
		}
		return c
	}
	return v
}

// Append writes a document, keys sorted, numbers as they stand.
func Append(dst []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = Append(dst, key); err != nil {
				return nil, err
			}
			dst = append(dst, ':')
			if dst, err = Append(dst, v[key]); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	case []any:
		dst = append(dst, '[')
		for i, child := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = Append(dst, child); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case json.Number:
		return append(dst, v...), nil
	default:
		buf := bytes.NewBuffer(dst)
		encoder := json.NewEncoder(buf)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return nil, err
		}
		return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
	}
}

// errNumberTooLong says that nucleus lite cannot write an integer.
var errNumberTooLong = errors.New("integer has more than 19 characters")

// LiteIntegers puts in the fault that nucleus lite has in writing integers: the
// last of 19 characters becomes a NUL byte, and 20 are an error.
func LiteIntegers(v any) (any, error) {
	return EachNumber(v, func(number json.Number) (any, error) {
		text := number.String()
		switch {
		case strings.ContainsAny(text, ".eE") || len(text) < 19:
			return number, nil
		case len(text) > 19:
			return nil, errNumberTooLong
		}
		return json.Number(text[:18] + "\x00"), nil
	})
}
