package toonnx_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

// node is a node for tests, whose inputs are the first outputs of others.
func node(op, name string, attrs map[string]string, inputs ...int) mxnet.Node {
	n := mxnet.Node{Op: op, Name: name, Attrs: attrs}
	for _, in := range inputs {
		n.Inputs = append(n.Inputs, mxnet.Edge{Node: in})
	}
	return n
}

type attrs = map[string]string

// graph is a model whose one input, data, has the shape 1 x 2 x 8 x 6, and whose
// output is the last node.
func graph(nodes ...mxnet.Node) *mxnet.Model {
	nodes = append([]mxnet.Node{node("null", "data", nil)}, nodes...)
	return &mxnet.Model{
		Symbol: &mxnet.Symbol{Nodes: nodes, Heads: []mxnet.Edge{{Node: len(nodes) - 1}}},
		Shapes: map[string][]int64{"data": {1, 2, 8, 6}},
		Params: map[string]*mxnet.Array{
			"w": mxnet.NewArray([]int64{1, 2, 1, 1}, []float32{1, 2}),
			"p": mxnet.NewArray([]int64{1, 2, 8, 6}, make([]float32, 96)),
			"d": mxnet.NewArray([]int64{2, 1, 3, 3}, make([]float32, 18)),
		},
	}
}

func TestWhatCannotBeConvertedIsNamed(t *testing.T) {
	for _, test := range []struct {
		name  string
		model *mxnet.Model
		kind  error
		says  string
	}{
		{"an unknown operator", graph(node("ROIPooling", "roi", nil, 0)), mxnet.ErrUnsupported, `operator ROIPooling, node "roi"`},
		{"an unknown custom operator", graph(node("Custom", "mine", attrs{"op_type": "secret"}, 0)), mxnet.ErrUnsupported, `"secret" is a custom operator`},
		{"an unknown attribute", graph(node("relu", "r", attrs{"surprise": "1"}, 0)), mxnet.ErrUnsupported, `attribute surprise = "1" is not known`},
		{"an unknown activation", graph(node("Activation", "a", attrs{"act_type": "swish"}, 0)), mxnet.ErrUnsupported, `act_type "swish"`},
		{"an unknown kind", graph(node("LeakyReLU", "a", attrs{"act_type": "celu"}, 0)), mxnet.ErrUnsupported, `attribute act_type is "celu"`},
		{"dropout that never ends", graph(node("Dropout", "d", attrs{"mode": "always"}, 0)), mxnet.ErrUnsupported, `attribute mode is "always"`},
		{"another layout", graph(node("null", "w", nil), node("Convolution", "c", attrs{"kernel": "(1, 1)", "num_filter": "1", "no_bias": "True", "layout": "NHWC"}, 0, 1)), mxnet.ErrUnsupported, `attribute layout is "NHWC"`},
		{"a number that is none", graph(node("_mul_scalar", "m", attrs{"scalar": "two"}, 0)), mxnet.ErrUnsupported, `attribute scalar is "two"`},
		{"a scalar that is missing", graph(node("_mul_scalar", "m", nil, 0)), mxnet.ErrModel, "has no scalar"},
		{"a weight of another shape", graph(node("null", "w", nil), node("Convolution", "c", attrs{"kernel": "(3, 3)", "num_filter": "1", "no_bias": "True"}, 0, 1)), mxnet.ErrModel, "its weight has the shape [1 2 1 1] and must have [1 2 3 3]"},
		{"a weight that is missing", graph(node("null", "v", nil), node("Convolution", "c", attrs{"kernel": "(1, 1)", "num_filter": "1", "no_bias": "True"}, 0, 1)), mxnet.ErrModel, `the variable "v" has no shape, and no value`},
		{"an input too few", graph(node("Convolution", "c", attrs{"kernel": "(1, 1)", "num_filter": "1", "no_bias": "True"}, 0)), mxnet.ErrModel, "it has 1 inputs"},
		{"a bias that is missing", graph(node("null", "w", nil), node("Convolution", "c", attrs{"kernel": "(1, 1)", "num_filter": "1"}, 0, 1)), mxnet.ErrModel, "needs another"},
		{"a kernel larger than the image", graph(node("Pooling", "p", attrs{"kernel": "(9, 9)"}, 0)), mxnet.ErrModel, "kernel is larger"},
		{"an axis too many", graph(node("softmax", "s", attrs{"axis": "4"}, 0)), mxnet.ErrModel, "no axis 4"},
		{"shapes that do not fit", graph(node("transpose", "t", nil, 0), node("elemwise_add", "e", nil, 0, 1)), mxnet.ErrModel, "do not fit together"},
		{"an output that only training has", func() *mxnet.Model {
			m := graph(node("Dropout", "d", nil, 0), node("relu", "r", nil, 1))
			m.Symbol.Nodes[2].Inputs[0].Output = 1
			return m
		}(), mxnet.ErrUnsupported, `output 1 of node "d"`},
		{"a shape with nonsense", graph(node("Reshape", "r", attrs{"shape": "(0, -7)"}, 0)), mxnet.ErrModel, "unknown code -7"},
		{"pooling beyond the image", graph(node("Pooling", "p", attrs{"kernel": "(1, 1)", "stride": "(3, 3)", "pooling_convention": "full"}, 0)), mxnet.ErrUnsupported, "windows without an element"},
		{"a target shape that is too large", graph(node("null", "w", nil), node("Deconvolution", "d", attrs{"kernel": "(1, 1)", "num_filter": "1", "target_shape": "(99, 99)"}, 0, 1)), mxnet.ErrModel, "its weight"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := toonnx.Convert(test.model, toonnx.Options{})
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v, want %q that says %q", err, test.kind, test.says)
			}
			last := test.model.Symbol.Nodes[len(test.model.Symbol.Nodes)-1]
			if !strings.Contains(err.Error(), fmt.Sprintf("operator %s, node %q", last.Op, last.Name)) && test.name != "an output that only training has" {
				t.Errorf("error %v does not name operator and node", err)
			}
		})
	}
}

func TestHeightAndWidthAreDynamicWhereTheGraphAllows(t *testing.T) {
	for _, test := range []struct {
		name    string
		model   *mxnet.Model
		because string // "" for dynamic
		output  []onnx.Dim
	}{
		{"elementwise", graph(node("relu", "x", nil, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Name: "height"}, {Name: "width"}}},
		{"smaller", graph(node("Pooling", "x", attrs{"kernel": "(2, 2)", "stride": "(2, 2)"}, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Name: "x_output_axis2"}, {Name: "x_output_axis3"}}},
		{"smaller and larger", graph(node("Pooling", "y", attrs{"kernel": "(2, 2)", "stride": "(2, 2)"}, 0), node("UpSampling", "x", attrs{"scale": "2", "sample_type": "nearest"}, 1)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Name: "height"}, {Name: "width"}}},
		{"kept by a code", graph(node("Reshape", "x", attrs{"shape": "(0, 0, -1)"}, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Name: "x_output_axis2"}}},
		{"pooled away", graph(node("Pooling", "x", attrs{"global_pool": "True"}, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Size: 1}, {Size: 1}}},
		{"fixed by numbers", graph(node("Reshape", "x", attrs{"shape": "(1, 2, 48)"}, 0)), "fixed numbers", []onnx.Dim{{Size: 1}, {Size: 2}, {Size: 48}}},
		{"a number for one of two axes", graph(node("Reshape", "x", attrs{"shape": "(1, 2, -1, 6)"}, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Name: "x_output_axis2"}, {Size: 6}}},
		{"cropped", graph(node("Crop", "x", attrs{"h_w": "(4, 4)", "offset": "(1, 1)"}, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Size: 4}, {Size: 4}}},
		{"cropped in the centre", graph(node("Crop", "x", attrs{"h_w": "(4, 4)", "center_crop": "1"}, 0)), "centre", []onnx.Dim{{Size: 1}, {Size: 2}, {Size: 4}, {Size: 4}}},
		{"with a parameter", graph(node("null", "w", nil), node("broadcast_add", "x", nil, 0, 1)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Name: "height"}, {Name: "width"}}},
		{"with a parameter of the image's size", graph(node("null", "p", nil), node("broadcast_add", "x", nil, 0, 1)), "fixed one", []onnx.Dim{{Size: 1}, {Size: 2}, {Size: 8}, {Size: 6}}},
		{"joined with a parameter", graph(node("null", "p", nil), node("Concat", "x", nil, 0, 1)), "fixed one", []onnx.Dim{{Size: 1}, {Size: 4}, {Size: 8}, {Size: 6}}},
		{"a target of twice the size", graph(node("null", "d", nil), node("Deconvolution", "x", attrs{"kernel": "(3, 3)", "stride": "(2, 2)", "num_filter": "1", "target_shape": "(16, 12)"}, 0, 1)), "", []onnx.Dim{{Size: 1}, {Size: 1}, {Name: "x_output_axis2"}, {Name: "x_output_axis3"}}},
		{"a target one less than that", graph(node("null", "d", nil), node("Deconvolution", "x", attrs{"kernel": "(3, 3)", "stride": "(2, 2)", "num_filter": "1", "target_shape": "(15, 12)"}, 0, 1)), "target_shape", []onnx.Dim{{Size: 1}, {Size: 1}, {Size: 15}, {Size: 12}}},
		{"resized to numbers", graph(node("_contrib_BilinearResize2D", "x", attrs{"height": "5", "width": "7"}, 0)), "", []onnx.Dim{{Size: 1}, {Size: 2}, {Size: 5}, {Size: 7}}},
		{"as channels", graph(node("transpose", "x", attrs{"axes": "(0, 2, 1, 3)"}, 0), node("SliceChannel", "z", attrs{"num_outputs": "2"}, 1)), "depends on the image's size", []onnx.Dim{{Size: 1}, {Size: 4}, {Size: 2}, {Size: 6}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			converted, report, err := toonnx.Convert(test.model, toonnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if report.Dynamic != (test.because == "") || !strings.Contains(report.FixedBecause, test.because) {
				t.Errorf("dynamic is %v because %q, want %q", report.Dynamic, report.FixedBecause, test.because)
			}
			if diff := cmp.Diff(test.output, onnx.Dims(converted.Graph.Output[0])); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			session := onnxtest.Open(t, converted)
			for _, size := range [][2]int64{{8, 6}, {12, 10}} {
				if !report.Dynamic && size[0] != 8 {
					continue
				}
				in := onnxtest.Tensor{Dims: []int64{1, 2, size[0], size[1]}, Float: make([]float32, 2*size[0]*size[1])}
				out := session.Run(t, map[string]onnxtest.Tensor{"data": in})
				got := out[converted.Graph.Output[0].GetName()].Dims
				for i, d := range test.output {
					if d.Name == "height" && got[i] != size[0] || d.Name == "width" && got[i] != size[1] || d.Name == "" && got[i] != d.Size {
						t.Errorf("an image of %v gave the shape %v, want %v", size, got, test.output)
					}
				}
			}
		})
	}
}

func TestOutputsAreChosenByName(t *testing.T) {
	model := graph(node("relu", "a", nil, 0), node("BlockGrad", "b", nil, 1), node("MakeLoss", "loss", nil, 1))
	model.Symbol.Heads = []mxnet.Edge{{Node: 1}, {Node: 2}, {Node: 3}}
	for _, test := range []struct {
		outputs []string
		want    []string
	}{
		{nil, []string{"a_output", "b_output"}},
		{[]string{"b"}, []string{"b_output"}},
		{[]string{"b_output", "a_output"}, []string{"b_output", "a_output"}},
		{[]string{"loss"}, []string{"loss_output"}},
	} {
		converted, _, err := toonnx.Convert(model, toonnx.Options{Outputs: test.outputs})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, out := range converted.Graph.Output {
			got = append(got, out.GetName())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v gave %v, want %v", test.outputs, got, test.want)
		}
		in := onnxtest.Tensor{Dims: []int64{1, 2, 2, 1}, Float: []float32{-1, 1, 2, -3}}
		for name, out := range onnxtest.Open(t, converted).Run(t, map[string]onnxtest.Tensor{"data": in}) {
			if !slices.Equal(out.Float, []float32{0, 1, 2, 0}) {
				t.Errorf("%s is %v", name, out.Float)
			}
		}
	}
	if _, _, err := toonnx.Convert(model, toonnx.Options{Outputs: []string{"c"}}); !errors.Is(err, mxnet.ErrModel) || !strings.Contains(err.Error(), "a, b, loss") {
		t.Errorf("error %v, want one that lists the outputs", err)
	}
}

func TestLabelsAreNoInputs(t *testing.T) {
	model := graph(node("null", "label", nil), node("SoftmaxOutput", "s", attrs{"multi_output": "True"}, 0, 1))
	model.Shapes["label"] = []int64{1, 8, 6}
	converted, _, err := toonnx.Convert(model, toonnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(converted.Graph.Input) != 1 || converted.Graph.Input[0].GetName() != "data" {
		t.Errorf("inputs %v, want data", converted.Graph.Input)
	}
}

// FuzzAttributes converts the cases with one attribute that is anything.
func FuzzAttributes(f *testing.F) {
	cases := operatorCases(f)
	for i, key := range []string{"kernel", "stride", "shape", "axis", "pad_width", "scale", "axes", "num_outputs", "target_shape", "begin"} {
		for k, value := range []string{"(0, 0)", "(-1, 2147483647)", "-2147483648", "None", "()", "(1, 2, 3, 4, 5, 6, 7, 8, 9)", "1e999", "0"} {
			f.Add(uint(17*i+31*k), uint(i+k), key, value)
		}
	}
	f.Fuzz(func(t *testing.T, number, at uint, key, value string) {
		c := &cases[number%uint(len(cases))]
		model, opts := c.model(t)
		n := &model.Symbol.Nodes[at%uint(len(model.Symbol.Nodes))]
		if keys := slices.Sorted(maps.Keys(n.Attrs)); len(keys) > 0 && len(key)%2 == 0 {
			key = keys[len(key)/2%len(keys)]
		}
		n.Attrs[key] = value
		if _, _, err := toonnx.Convert(model, opts); err != nil && !errors.Is(err, mxnet.ErrUnsupported) && !errors.Is(err, mxnet.ErrModel) {
			t.Fatalf("error of no kind: %v", err)
		}
	})
}
