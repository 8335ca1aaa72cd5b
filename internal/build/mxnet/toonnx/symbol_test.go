package toonnx_test

import (
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

func formats(t testing.TB) map[string]mxnettest.Array {
	t.Helper()
	return mxnettest.ReadNpz(t, filepath.Join(reference, "formats.npz"))
}

func TestSymbolsOfEverySpellingComputeTheSame(t *testing.T) {
	arrays := formats(t)
	in, want := arrays["symbol/in"], arrays["symbol/out"]
	for spelling, version := range map[string]string{"attrs": "1.9.1", "attr": "0.11.0", "long": "0.11.0", "param": "", "bare": ""} {
		t.Run(spelling, func(t *testing.T) {
			symbol, err := mxnet.ParseSymbol(arrays["symbol/"+spelling].Bytes)
			if err != nil {
				t.Fatal(err)
			}
			params, err := mxnet.ParseParams(arrays["symbol/params"].Bytes)
			if err != nil {
				t.Fatal(err)
			}
			model := &mxnet.Model{Symbol: symbol, Params: params, Shapes: map[string][]int64{"data": in.Shape}}
			converted, report, err := toonnx.Convert(model, toonnx.Options{Batch: 2})
			if err != nil {
				t.Fatal(err)
			}
			if report.MXNetVersion != version {
				t.Errorf("version %q, want %q", report.MXNetVersion, version)
			}
			if report.Dynamic || !strings.Contains(report.FixedBecause, `"fc"`) {
				t.Errorf("dynamic is %v, because %q, and fc has a fixed number of features", report.Dynamic, report.FixedBecause)
			}
			out := onnxtest.Open(t, converted).Run(t, map[string]onnxtest.Tensor{"data": {Dims: in.Shape, Float: in.Floats}})["softmax_output"]
			if at, difference := furthest(want.Floats, out.Float); len(out.Float) != len(want.Floats) || difference > operatorTolerance {
				t.Errorf("element %d differs by %g", at, difference)
			}
		})
	}
}

// FuzzConvert parses symbols, and converts those that can be read.
func FuzzConvert(f *testing.F) {
	for _, c := range operatorCases(f) {
		f.Add(c.symbol, c.params)
	}
	arrays := formats(f)
	for _, spelling := range []string{"attr", "param", "bare"} {
		f.Add(arrays["symbol/"+spelling].Bytes, arrays["symbol/params"].Bytes)
	}
	f.Fuzz(func(t *testing.T, content, params []byte) {
		symbol, err := mxnet.ParseSymbol(content)
		if err != nil {
			if !errors.Is(err, mxnet.ErrFormat) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		model := &mxnet.Model{Symbol: symbol, Shapes: map[string][]int64{"data": {2, 4, 8, 6}, "other": {2, 3, 4}}}
		if model.Params, err = mxnet.ParseParams(params); err != nil {
			return
		}
		converted, _, err := toonnx.Convert(model, toonnx.Options{})
		if err != nil {
			if !errors.Is(err, mxnet.ErrUnsupported) && !errors.Is(err, mxnet.ErrModel) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		for _, node := range converted.Graph.Node {
			for _, a := range node.Attribute {
				if math.IsNaN(float64(a.GetF())) {
					t.Errorf("attribute %s of %s is not a number", a.GetName(), node.GetOpType())
				}
			}
		}
		if _, err := json.Marshal(symbol); err != nil {
			t.Fatal(err)
		}
	})
}
