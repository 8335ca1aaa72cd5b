package nucleus

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

// JSON documents are kept as map[string]any, []any, string, bool, nil and
// json.Number, whose text is written as it stands: that is where the profiles
// differ.

// What nucleus lite has room for when it decodes a request.
const (
	maxValuesLite = 200 // keys and values
	maxDepthLite  = 16  // of a request: 13 below jsonMessage.message
	maxValuesSent = 50  // of a published message, see rich
)

// decodeArguments reads the payload of a request, which must be an object.
func decodeArguments(payload []byte, profile Profile) (map[string]any, error) {
	v, err := decode(payload)
	args, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, errHandlerThrew
	}
	if profile == Lite {
		if countValues(args) > maxValuesLite || depth(args) > maxDepthLite {
			return nil, errHandlerThrew
		}
		if err := liteNumbers(args); err != nil {
			return nil, errHandlerThrew
		}
	}
	return args, nil
}

// decode reads one JSON document.
func decode(data []byte) (any, error) {
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

// normalise turns a Go value into a document.
func normalise(v any) (any, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return decode(data)
}

// countValues counts the values in v, keys of maps among them.
func countValues(v any) int {
	count := 0
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			count += 2 + countValues(child)
		}
	case []any:
		for _, child := range v {
			count += 1 + countValues(child)
		}
	}
	return count
}

// rich reports whether a jsonMessage has more values than nucleus lite has room
// for between its pub/sub and its IPC daemon: 44 elements of a list or 20 keys
// of a map still arrive, 50 and 24 do not. Six are taken up by the envelope.
func rich(message any) bool { return countValues(message)+6 > maxValuesSent }

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			deepest = max(deepest, depth(child))
		}
	case []any:
		for _, child := range v {
			deepest = max(deepest, depth(child))
		}
	default:
		return 0
	}
	return deepest + 1
}

// eachNumber replaces the numbers in v, in place where v is a container.
func eachNumber(v any, replace func(json.Number) (any, error)) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			if v[key], err = eachNumber(child, replace); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, child := range v {
			if v[i], err = eachNumber(child, replace); err != nil {
				return nil, err
			}
		}
	case json.Number:
		return replace(v)
	}
	return v, nil
}

// liteNumbers gives the numbers of a request the form in which nucleus lite
// hands them on: floats with 17 digits; integers beyond int64 are refused.
func liteNumbers(v any) error {
	_, err := eachNumber(v, func(number json.Number) (any, error) {
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

// javaNumbers gives the numbers of a document the form in which the classic
// nucleus hands on what a component sent: all are doubles, in Java's notation.
func javaNumbers(v any) any {
	v, _ = eachNumber(v, func(number json.Number) (any, error) {
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

// stringify turns every scalar into a string, as nucleus lite does with a
// configuration that comes from YAML.
func stringify(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, child := range v {
			v[key] = stringify(child)
		}
		return v
	case []any:
		for i, child := range v {
			v[i] = stringify(child)
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

// clone copies the containers of a document.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for key, child := range v {
			c[key] = clone(child)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, child := range v {
			c[i] = clone(child)
		}
		return c
	}
	return v
}

// appendJSON writes a document, keys sorted, numbers as they stand.
func appendJSON(dst []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendJSON(dst, key); err != nil {
				return nil, err
			}
			dst = append(dst, ':')
			if dst, err = appendJSON(dst, v[key]); err != nil {
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
			if dst, err = appendJSON(dst, child); err != nil {
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

// liteIntegers puts in the fault that nucleus lite has in writing integers: the
// last of 19 characters becomes a NUL byte, and 20 are an error.
func liteIntegers(v any) (any, error) {
	return eachNumber(v, func(number json.Number) (any, error) {
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
