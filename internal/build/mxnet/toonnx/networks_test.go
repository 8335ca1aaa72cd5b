package toonnx_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

// What the conversion of whole networks promises.
const (
	softmaxTolerance = 1e-4
	sameClass        = 0.9999
)

func input(image mxnettest.Array) onnxtest.Tensor {
	in := onnxtest.Tensor{Dims: append([]int64{1, 1}, image.Shape...)}
	for _, v := range image.Bytes {
		in.Float = append(in.Float, float32(v))
	}
	return in
}

// The symbols were saved with target shapes for slices of 176 x 208, and the slices
// here have other sizes.
func TestTheNetworksOf2018ComputeWhatMXNetComputes(t *testing.T) {
	for _, network := range mxnettest.Networks(t, "..") {
		t.Run(network.Name, func(t *testing.T) {
			converted, report, err := toonnx.Convert(network.Model, toonnx.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !report.Dynamic || report.FixedBecause != "" {
				t.Errorf("it takes one size only: %s", report.FixedBecause)
			}
			if len(report.Dropped) == 0 || !slices.Contains(report.Dropped, "loss (MakeLoss)") {
				t.Errorf("dropped %v, want the loss", report.Dropped)
			}
			for _, name := range report.UnusedParameters { // fix_gamma is on
				if !strings.HasSuffix(name, "_gamma") || strings.HasSuffix(name, "_prelu_gamma") {
					t.Errorf("the parameter %q is unused", name)
				}
			}
			t.Logf("MXNet %s, %d parameters, sizes in multiples of %d, operators %v", report.MXNetVersion, report.Parameters, report.SizeMultiple, report.Operators)
			session := onnxtest.Open(t, converted)
			for _, slice := range network.Slices {
				in := input(slice.Image)
				out := session.Run(t, map[string]onnxtest.Tensor{"data": in})["softmax_out_output"]
				if !slices.Equal(out.Dims, slice.Softmax.Shape) {
					t.Fatalf("the scores have the shape %v, want %v", out.Dims, slice.Softmax.Shape)
				}
				furthest, same := compareScores(slice.Softmax.Floats, out.Float)
				t.Logf("%v: largest difference %.2g, same class in %.4f %%", slice.Image.Shape, furthest, 100*same)
				if furthest > softmaxTolerance || same < sameClass {
					t.Errorf("%v: the largest difference is %.2g, the same class in %.4f %% of the pixels", slice.Image.Shape, furthest, 100*same)
				}
			}
		})
	}
}

// compareScores returns the largest difference of scores and the share of pixels
// with the same class.
func compareScores(a, b []float32) (furthest, same float64) {
	for i := range a {
		furthest = max(furthest, math.Abs(float64(a[i])-float64(b[i])))
	}
	left, right := classes(a), classes(b)
	equal := 0
	for i := range left {
		if left[i] == right[i] {
			equal++
		}
	}
	return furthest, float64(equal) / float64(len(left))
}

// classes returns the class of each pixel from scores of 4 classes.
func classes(scores []float32) []uint8 {
	n := len(scores) / 4
	out := make([]uint8, n)
	for i := range out {
		for class := 1; class < 4; class++ {
			if scores[class*n+i] > scores[int(out[i])*n+i] {
				out[i] = uint8(class)
			}
		}
	}
	return out
}

func TestTheNetworksOf2018SayWhatTheyTake(t *testing.T) {
	for _, test := range []struct {
		name       string
		multiple   int
		parameters int64
	}{{"enet-trained", 8, 363152 + 8348 - 8348/2}, {"unet-random", 16, 0}} {
		network := find(t, test.name)
		for _, fixed := range []bool{false, true} {
			converted, report, err := toonnx.Convert(network.Model, toonnx.Options{FixedSize: fixed})
			if err != nil {
				t.Fatal(err)
			}
			if report.Dynamic == fixed {
				t.Errorf("%s: dynamic is %v", test.name, report.Dynamic)
			}
			want := []onnx.Dim{{Size: 1}, {Size: 1}, {Name: "height"}, {Name: "width"}}
			if fixed {
				want = []onnx.Dim{{Size: 1}, {Size: 1}, {Size: 176}, {Size: 208}}
			} else if report.SizeMultiple != test.multiple {
				t.Errorf("%s: sizes in multiples of %d, want %d", test.name, report.SizeMultiple, test.multiple)
			}
			if got := onnx.Dims(converted.Graph.Input[0]); !slices.Equal(got, want) {
				t.Errorf("%s: input %v, want %v", test.name, got, want)
			}
			want[1] = onnx.Dim{Size: 4}
			if got := onnx.Dims(converted.Graph.Output[0]); !slices.Equal(got, want) {
				t.Errorf("%s: output %v, want %v", test.name, got, want)
			}
			if len(converted.Graph.Input) != 1 || len(converted.Graph.Output) != 1 {
				t.Errorf("%s: %d inputs and %d outputs", test.name, len(converted.Graph.Input), len(converted.Graph.Output))
			}
		}
	}
}

func find(t testing.TB, name string) mxnettest.Network {
	t.Helper()
	for _, network := range mxnettest.Networks(t, "..") {
		if network.Name == name {
			return network
		}
	}
	t.Fatalf("there is no network %s", name)
	return mxnettest.Network{}
}
