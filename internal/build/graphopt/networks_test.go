package graphopt_test

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/brainseg/brainseg/internal/build/graphopt"
	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

var converters = filepath.Join("..", "mxnet")

func convert(t testing.TB, network mxnettest.Network) *onnxpb.ModelProto {
	t.Helper()
	model, _, err := toonnx.Convert(network.Model, toonnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// masks runs a model in any stage of optimisation.
func masks(t testing.TB, model *onnxpb.ModelProto, images []mxnettest.Slice) [][]uint8 {
	t.Helper()
	session := onnxtest.Open(t, model)
	var found [][]uint8
	for _, slice := range images {
		image := slice.Image
		in := onnxtest.Tensor{Dims: append([]int64{1, 1}, image.Shape...)}
		if graphopt.TakesBytes(model) {
			in.Uint8 = image.Bytes
		} else {
			for _, v := range image.Bytes {
				in.Float = append(in.Float, float32(v))
			}
		}
		out := session.Run(t, map[string]onnxtest.Tensor{model.Graph.Input[0].GetName(): in})[model.Graph.Output[0].GetName()]
		if !graphopt.GivesMask(model) {
			found = append(found, classes(out.Float))
			continue
		}
		if !slices.Equal(out.Dims, append([]int64{1}, image.Shape...)) {
			t.Fatalf("the mask has the shape %v, for an image of %v", out.Dims, image.Shape)
		}
		found = append(found, out.Uint8)
	}
	return found
}

// classes returns the class of each pixel from scores of 4 classes.
func classes(scores []float32) []uint8 {
	n := len(scores) / 4
	mask := make([]uint8, n)
	for i := range mask {
		for class := 1; class < 4; class++ {
			if scores[class*n+i] > scores[int(mask[i])*n+i] {
				mask[i] = uint8(class)
			}
		}
	}
	return mask
}

func TestMasksStayTheSameAfterEveryStep(t *testing.T) {
	seen := make(map[string]bool)
	for _, network := range mxnettest.Networks(t, converters) {
		for _, layout := range []bool{false, true} {
			name := network.Name
			if layout {
				name += " for x86-64"
			}
			t.Run(name, func(t *testing.T) {
				model := convert(t, network)
				want := masks(t, model, network.Slices)
				optimised, steps, err := graphopt.Optimise(model, graphopt.Options{Layout: layout, AfterStep: func(step graphopt.Step, before, after *onnxpb.ModelProto) error {
					seen[step.Name] = true
					if network.Name == "unet-random" { // too large to be run after every step
						return nil
					}
					for i, got := range masks(t, after, network.Slices) {
						if differ := countDifferent(want[i], got); float64(differ) > 1e-4*float64(len(got)) {
							t.Errorf("after %s %d of %d pixels differ", step.Name, differ, len(got))
						}
					}
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				if !graphopt.TakesBytes(optimised) || !graphopt.GivesMask(optimised) {
					t.Error("bytes do not go in and out")
				}
				for _, step := range steps {
					t.Logf("%s: %d", step.Name, step.Changed)
				}
				for i, got := range masks(t, optimised, network.Slices) {
					// MXNet's own mask is what all this is about.
					if differ := countDifferent(classes(network.Slices[i].Softmax.Floats), got); float64(differ) > 1e-4*float64(len(want[i])) {
						t.Errorf("%d of %d pixels differ from MXNet's", differ, len(want[i]))
					}
				}
				for _, node := range optimised.Graph.Node {
					switch node.GetOpType() {
					case "PRelu", "Softmax", "Transpose", "Identity", "Dropout":
						t.Errorf("there still is %s %q", node.GetOpType(), node.GetName())
					}
				}
				again, steps, err := graphopt.Optimise(optimised, graphopt.Options{Layout: layout})
				if err != nil || len(steps) > 0 || !bytes.Equal(marshal(t, again), marshal(t, optimised)) {
					t.Errorf("optimising again did %v, %v", steps, err)
				}
			})
		}
	}
	for _, rewrite := range graphopt.Rewrites(graphopt.Options{Layout: true}) {
		if !seen[rewrite.Name] && rewrite.Name != "drop-identities" {
			t.Errorf("no network has anything for %s", rewrite.Name)
		}
	}
}

func countDifferent(a, b []uint8) int {
	if len(a) != len(b) {
		return math.MaxInt
	}
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
