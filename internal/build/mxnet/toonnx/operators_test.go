package toonnx_test

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

var reference = filepath.Join("..", "testdata", "reference")

// operatorCase is what MXNet computed for a small graph.
type operatorCase struct {
	name    string
	symbol  []byte
	params  []byte
	inputs  map[string]onnxtest.Tensor
	outputs []mxnettest.Array
}

func operatorCases(t testing.TB) []operatorCase {
	arrays := mxnettest.ReadNpz(t, filepath.Join(reference, "operators.npz"))
	var cases []operatorCase
	for _, key := range slices.Sorted(maps.Keys(arrays)) {
		name, ok := strings.CutSuffix(key, "/symbol")
		if !ok {
			continue
		}
		c := operatorCase{name: name, symbol: arrays[key].Bytes, params: arrays[name+"/params"].Bytes, inputs: make(map[string]onnxtest.Tensor)}
		for key, array := range arrays {
			if input, ok := strings.CutPrefix(key, name+"/in/"); ok {
				c.inputs[input] = onnxtest.Tensor{Dims: array.Shape, Float: array.Floats}
			}
		}
		for i := 0; ; i++ {
			array, ok := arrays[fmt.Sprint(name, "/out/", i)]
			if !ok {
				break
			}
			c.outputs = append(c.outputs, array)
		}
		cases = append(cases, c)
	}
	if len(cases) < 150 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

func (c *operatorCase) model(t testing.TB) (*mxnet.Model, toonnx.Options) {
	t.Helper()
	model := new(mxnet.Model)
	var err error
	if model.Symbol, err = mxnet.ParseSymbol(c.symbol); err != nil {
		t.Fatal(err)
	}
	if model.Params, err = mxnet.ParseParams(c.params); err != nil {
		t.Fatal(err)
	}
	model.Shapes = make(map[string][]int64)
	opts := toonnx.Options{Version: "test"}
	for name, in := range c.inputs {
		model.Shapes[name] = in.Dims
		opts.Batch = in.Dims[0]
	}
	return model, opts
}

// The elements differ by the order of summation only.
const operatorTolerance = 2e-6

func TestEveryOperatorComputesWhatMXNetComputes(t *testing.T) {
	for _, c := range operatorCases(t) {
		t.Run(c.name, func(t *testing.T) {
			model, opts := c.model(t)
			converted, _, err := toonnx.Convert(model, opts)
			if err != nil {
				t.Fatal(err)
			}
			got := onnxtest.Open(t, converted).Run(t, c.inputs)
			if len(converted.Graph.Output) != len(c.outputs) {
				t.Fatalf("%d outputs, want %d", len(converted.Graph.Output), len(c.outputs))
			}
			for i, want := range c.outputs {
				out := got[converted.Graph.Output[i].GetName()]
				if diff := cmp.Diff(want.Shape, out.Dims); diff != "" {
					t.Fatalf("output %d has another shape (-MXNet +ONNX):\n%s", i, diff)
				}
				if at, difference := furthest(want.Floats, out.Float); difference > operatorTolerance {
					t.Errorf("output %d: element %d is %v and in MXNet %v", i, at, out.Float[at], want.Floats[at])
				}
			}
		})
	}
}

// furthest returns where a and b differ the most, in relation to the size of what
// is in a.
func furthest(a, b []float32) (at int, difference float64) {
	largest := 1.0
	for _, v := range a {
		if !math.IsInf(float64(v), 0) && !math.IsNaN(float64(v)) {
			largest = max(largest, math.Abs(float64(v)))
		}
	}
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		if x == y || math.IsNaN(x) && math.IsNaN(y) {
			continue
		}
		d := math.Abs(x-y) / largest
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		if d > difference {
			at, difference = i, d
		}
	}
	return at, difference
}
