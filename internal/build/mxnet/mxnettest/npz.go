// Package mxnettest reads, for tests, what the generator in
// internal/build/mxnet/testdata/reference wrote in real MXNet. Programs do not import
// it.
package mxnettest

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Array is an array of NumPy: of Bytes and Floats one is set.
type Array struct {
	Shape  []int64
	Bytes  []byte
	Floats []float32
}

// ReadNpz reads the arrays of a file that numpy.savez wrote, by name. The test
// ends where that fails.
func ReadNpz(t testing.TB, path string) map[string]Array {
	t.Helper()
	archive, err := zip.OpenReader(path)
	if err != nil {
		t.Fatalf("%v; its generator is in internal/build/mxnet/testdata/reference", err)
	}
	defer archive.Close()
	arrays := make(map[string]Array)
	for _, file := range archive.File {
		content, err := readAll(file)
		if err != nil {
			t.Fatalf("%s in %s: %v", file.Name, path, err)
		}
		array, err := parseNpy(content)
		if err != nil {
			t.Fatalf("%s in %s: %v", file.Name, path, err)
		}
		arrays[strings.TrimSuffix(file.Name, ".npy")] = array
	}
	return arrays
}

func readAll(file *zip.File) ([]byte, error) {
	r, err := file.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

var header = regexp.MustCompile(`'descr': '([^']+)', 'fortran_order': False, 'shape': \(([^)]*)\)`)

// parseNpy reads version 1 of NumPy's format, little-endian float32 or uint8.
func parseNpy(content []byte) (Array, error) {
	if len(content) < 10 || string(content[:8]) != "\x93NUMPY\x01\x00" {
		return Array{}, fmt.Errorf("not a .npy file of version 1")
	}
	length := int(binary.LittleEndian.Uint16(content[8:]))
	if len(content) < 10+length {
		return Array{}, fmt.Errorf("cut short")
	}
	fields := header.FindSubmatch(content[10 : 10+length])
	if fields == nil {
		return Array{}, fmt.Errorf("header %q", content[10:10+length])
	}
	var array Array
	n := 1
	for _, text := range strings.FieldsFunc(string(fields[2]), func(r rune) bool { return r == ',' || r == ' ' }) {
		size, err := strconv.Atoi(text)
		if err != nil {
			return Array{}, err
		}
		array.Shape = append(array.Shape, int64(size))
		n *= size
	}
	data := content[10+length:]
	switch string(fields[1]) {
	case "|u1":
		array.Bytes = data
	case "<f4":
		for i := 0; i+4 <= len(data); i += 4 {
			array.Floats = append(array.Floats, math.Float32frombits(binary.LittleEndian.Uint32(data[i:])))
		}
	default:
		return Array{}, fmt.Errorf("elements of type %s", fields[1])
	}
	if len(array.Bytes)+len(array.Floats) != n {
		return Array{}, fmt.Errorf("%d elements for the shape %v", len(array.Bytes)+len(array.Floats), array.Shape)
	}
	return array, nil
}
