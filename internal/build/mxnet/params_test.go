package mxnet_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
)

func formats(t testing.TB) map[string]mxnettest.Array {
	t.Helper()
	return mxnettest.ReadNpz(t, filepath.Join(reference, "formats.npz"))
}

var reference = filepath.Join("testdata", "reference")

func TestParamsOfEveryVersionHoldWhatMXNetReadsInThem(t *testing.T) {
	arrays := formats(t)
	for _, version := range []string{"legacy", "v1", "v2", "v3"} {
		t.Run(version, func(t *testing.T) {
			params, err := mxnet.ParseParams(arrays["params/"+version].Bytes)
			if err != nil {
				t.Fatal(err)
			}
			want := 9
			if version == "v3" { // the only one that has arrays without axes
				want++
				scalar := params["scalar"]
				if scalar == nil || len(scalar.Shape) != 0 || !cmp.Equal(scalar.Floats(), []float32{3}) {
					t.Errorf("scalar is %v", scalar)
				}
			}
			if len(params) != want {
				t.Errorf("%d arrays, want %d", len(params), want)
			}
			for key, values := range arrays {
				name, ok := strings.CutSuffix(strings.TrimPrefix(key, "array/"), "/values")
				if !ok {
					continue
				}
				array := params[name]
				if array == nil {
					t.Errorf("there is no array %q", name)
					continue
				}
				var shape []int64
				for _, n := range arrays["array/"+name+"/shape"].Floats {
					shape = append(shape, int64(n))
				}
				if diff := cmp.Diff(shape, array.Shape); diff != "" {
					t.Errorf("shape of %s: %s", name, diff)
				}
				if diff := cmp.Diff(values.Floats, array.Floats()); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}

// paramsFile builds a list of one array of which the header may say anything.
func paramsFile(array []byte, names ...string) []byte {
	var b []byte
	u64 := func(n uint64) { b = binary.LittleEndian.AppendUint64(b, n) }
	u64(0x112)
	u64(0)
	u64(1)
	b = append(b, array...)
	u64(uint64(len(names)))
	for _, name := range names {
		u64(uint64(len(name)))
		b = append(b, name...)
	}
	return b
}

func words(numbers ...uint32) []byte {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

func TestBrokenParamsAreRefused(t *testing.T) {
	const v1, v2, v3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
	one := words(1, 1, 1, 0, 0, 0x3f800000) // one axis of length 1, on CPU 0, float32, the value 1
	whole := paramsFile(one, "arg:x")
	if params, err := mxnet.ParseParams(whole); err != nil || !cmp.Equal(params["x"].Floats(), []float32{1}) {
		t.Fatalf("the file to break is not whole: %v", err)
	}
	for _, test := range []struct {
		name    string
		content []byte
		says    string
	}{
		{"empty", nil, "cut short"},
		{"another file", []byte("PK\x03\x04 and so on, and more"), "first bytes"},
		{"more arrays than bytes", append(bytes.Clone(whole[:16]), 255, 255, 255, 255, 255, 255, 255, 127), "cut short"},
		{"a claim of 2^60 elements", paramsFile(words(v1, 2, 1<<30, 0, 1<<30, 0, 1, 0, 0), "arg:x"), "more elements than the file"},
		{"a product that overflows", paramsFile(words(v1, 4, 0, 1<<16, 0, 1<<16, 0, 1<<16, 0, 1<<16, 1, 0, 0), "arg:x"), "more elements than the file"},
		{"a negative axis", paramsFile(words(v1, 1, 0xffffffff, 0xffffffff, 1, 0, 0), "arg:x"), "length -1"},
		{"a million axes", paramsFile(words(v1, 1e6), "arg:x"), "1000000 axes"},
		{"no magic and no shape", paramsFile(words(0x7fffffff), "arg:x"), "2147483647 axes"},
		{"sparse", paramsFile(words(v2, 1, 1, 1), "arg:x"), "sparse"},
		{"an unknown type", paramsFile(words(1, 1, 1, 0, 77, 0), "arg:x"), "type 77"},
		{"no names", paramsFile(one), "1 arrays and 0 names"},
		{"an empty name", paramsFile(one, "arg:"), "empty"},
		{"something behind", append(bytes.Clone(whole), 0), "1 bytes follow"},
		{"an unknown rank", paramsFile(words(v3, 0, 0xfffffffe), "arg:x"), "axes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := mxnet.ParseParams(test.content)
			if !errors.Is(err, mxnet.ErrFormat) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want ErrFormat that says %q", err, test.says)
			}
		})
	}
	t.Run("the same name twice", func(t *testing.T) {
		two := append(words(0x112, 0, 0, 0, 2, 0), append(bytes.Clone(one), one...)...)
		two = append(two, paramsFile(nil, "arg:x", "aux:x")[24:]...)
		if _, err := mxnet.ParseParams(two); !errors.Is(err, mxnet.ErrFormat) || !strings.Contains(err.Error(), "used before") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cut anywhere", func(t *testing.T) {
		for n := range whole {
			if _, err := mxnet.ParseParams(whole[:n]); !errors.Is(err, mxnet.ErrFormat) {
				t.Fatalf("cut to %d of %d bytes: %v", n, len(whole), err)
			}
		}
	})
}

func FuzzParseParams(f *testing.F) {
	for key, array := range formats(f) {
		if strings.HasPrefix(key, "params/") || key == "symbol/params" {
			f.Add(array.Bytes)
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		params, err := mxnet.ParseParams(content)
		runtime.ReadMemStats(&after)
		// Each array of 4 bytes in the file costs an entry in the map and itself.
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+200*uint64(len(content)) {
			t.Errorf("%d bytes of file took %d bytes of memory", len(content), used)
		}
		if err != nil {
			if !errors.Is(err, mxnet.ErrFormat) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		for name, array := range params {
			if n := len(array.Floats()); 1<<20+len(content) < n {
				t.Errorf("array %q has %d values in a file of %d bytes", name, n, len(content))
			}
		}
	})
}
