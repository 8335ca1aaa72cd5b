package graphopt_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/graphopt"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

func marshal(t testing.TB, model *onnxpb.ModelProto) []byte {
	t.Helper()
	content, err := onnx.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// small builds a graph for tests: x, 1 x channels x height x width, becomes y, with
// out channels.
type small struct {
	channels, out int64
	nodes         []*onnxpb.NodeProto
	constants     []*onnxpb.TensorProto
	random        *rand.Rand
}

func newSmall(channels, out int64) *small {
	return &small{channels: channels, out: out, random: rand.New(rand.NewPCG(1, 2))}
}

func (s *small) node(operator string, attributes onnx.Attributes, out string, in ...string) *small {
	s.nodes = append(s.nodes, onnx.NewNode(operator, out, in, []string{out}, attributes))
	return s
}

func (s *small) floats(name string, values []float32, dims ...int64) *small {
	s.constants = append(s.constants, onnx.FloatTensor(name, dims, values))
	return s
}

func (s *small) ints(name string, values ...int64) *small {
	s.constants = append(s.constants, onnx.IntTensor(name, []int64{int64(len(values))}, values))
	return s
}

// draw adds a constant of random values between low and high.
func (s *small) draw(name string, low, high float32, dims ...int64) *small {
	n := int64(1)
	for _, d := range dims {
		n *= d
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = low + (high-low)*s.random.Float32()
	}
	return s.floats(name, values, dims...)
}

func (s *small) batchNorm(out, in string, channels int64) *small {
	s.draw(out+"_scale", 0.5, 2, channels).draw(out+"_bias", -1, 1, channels).draw(out+"_mean", -1, 1, channels).draw(out+"_variance", 0.3, 2, channels)
	return s.node("BatchNormalization", onnx.Attributes{"epsilon": float32(1e-3)}, out, in, out+"_scale", out+"_bias", out+"_mean", out+"_variance")
}

func (s *small) model() *onnxpb.ModelProto {
	image := func(name string, channels int64) *onnxpb.ValueInfoProto {
		return onnx.ValueInfo(name, onnx.Float, []onnx.Dim{{Size: 1}, {Size: channels}, {Name: "height"}, {Name: "width"}})
	}
	return onnx.NewModel(&onnxpb.GraphProto{
		Name:        proto.String("small"),
		Input:       []*onnxpb.ValueInfoProto{image("x", s.channels)},
		Output:      []*onnxpb.ValueInfoProto{image("y", s.out)},
		Initializer: s.constants,
		Node:        s.nodes,
	}, "test", "")
}

// image is a random one, of numbers around zero, with zeros among them.
func (s *small) image(height, width int64) onnxtest.Tensor {
	in := onnxtest.Tensor{Dims: []int64{1, s.channels, height, width}, Float: make([]float32, s.channels*height*width)}
	for i := range in.Float {
		in.Float[i] = float32(s.random.NormFloat64())
		if i%17 == 0 {
			in.Float[i] = 0
		}
	}
	return in
}

// apply applies the rewrite of that name, and requires that it changes that many
// places.
func apply(t *testing.T, model *onnxpb.ModelProto, opts graphopt.Options, name string, places int) *onnxpb.ModelProto {
	t.Helper()
	for _, rewrite := range graphopt.Rewrites(opts) {
		if rewrite.Name != name {
			continue
		}
		before := marshal(t, model)
		after, changed, err := rewrite.Apply(model)
		if err != nil {
			t.Fatal(err)
		}
		if changed != places {
			t.Errorf("%s changed %d places, want %d", name, changed, places)
		}
		if !slices.Equal(before, marshal(t, model)) {
			t.Error("the model itself was changed")
		}
		return after
	}
	t.Fatalf("there is no rewrite %s", name)
	return nil
}

func operators(model *onnxpb.ModelProto) []string {
	var names []string
	for _, node := range model.Graph.Node {
		names = append(names, node.GetOpType())
	}
	return names
}

func TestRewritesKeepWhatIsComputed(t *testing.T) {
	conv := onnx.Attributes{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}
	half := onnx.Attributes{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}
	perm := func(order ...int64) onnx.Attributes { return onnx.Attributes{"perm": order} }
	for _, test := range []struct {
		name, rewrite string
		places        int
		graph         *small
		want          []string // operators after it
		tolerance     float64
	}{
		{"slopes of zero", "rewrite-prelu", 1, newSmall(2, 2).floats("a", []float32{0, 0}, 2, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"Relu"}, 0},
		{"one slope", "rewrite-prelu", 1, newSmall(2, 2).floats("a", []float32{0.3}, 1).node("PRelu", nil, "y", "x", "a"), []string{"LeakyRelu"}, 0},
		{"equal slopes above 1", "rewrite-prelu", 1, newSmall(2, 2).floats("a", []float32{1.7, 1.7}, 2, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"LeakyRelu"}, 0},
		{"slopes up to 1", "rewrite-prelu", 1, newSmall(4, 4).floats("a", []float32{0.1, 1, 0, 0.25}, 4, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"Mul", "Max"}, 0},
		{"negative slopes", "rewrite-prelu", 1, newSmall(3, 3).floats("a", []float32{-0.5, 1, -3}, 3, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"Mul", "Max"}, 0},
		{"slopes on both sides of 1", "rewrite-prelu", 1, newSmall(3, 3).floats("a", []float32{-0.5, 1.5, 1}, 3, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"Relu", "Min", "Mul", "Add"}, 0},
		{"a computed slope", "rewrite-prelu", 0, newSmall(1, 1).node("PRelu", nil, "y", "x", "x"), []string{"PRelu"}, 0},
		{"slopes in blocks", "convolve-prelu", 1, newSmall(16, 16).draw("a", -0.5, 1, 16, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"Conv", "Relu", "Add"}, 1e-6},
		{"slopes in blocks on both sides of 1", "convolve-prelu", 1, newSmall(16, 16).draw("a", -0.5, 2, 16, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"Conv", "Relu", "Conv", "Add"}, 1e-6},
		{"slopes that do not fill blocks", "convolve-prelu", 0, newSmall(4, 4).draw("a", 0, 1, 4, 1, 1).node("PRelu", nil, "y", "x", "a"), []string{"PRelu"}, 0},

		{"an identity at the end", "drop-identities", 1, newSmall(1, 1).node("Relu", nil, "r", "x").node("Identity", nil, "y", "r"), []string{"Relu"}, 0},
		{"an identity inside", "drop-identities", 2, newSmall(1, 1).node("Identity", nil, "i", "x").node("Dropout", nil, "d", "i").node("Relu", nil, "y", "d"), []string{"Relu"}, 0},
		{"nothing but an identity", "drop-identities", 0, newSmall(1, 1).node("Identity", nil, "y", "x"), []string{"Identity"}, 0},
		{"padding by nothing", "drop-identities", 1, newSmall(1, 1).ints("p", 0, 0, 0, 0, 0, 0, 0, 0).node("Pad", nil, "i", "x", "p").node("Relu", nil, "y", "i"), []string{"Relu"}, 0},

		{"padded channels", "join-transposes", 1, newSmall(2, 5).ints("p", 0, 0, 0, 1, 0, 0, 0, 2).
			node("Transpose", perm(0, 2, 3, 1), "a", "x").node("Pad", nil, "b", "a", "p").node("Transpose", perm(0, 3, 1, 2), "y", "b"), []string{"Pad"}, 0},
		{"padded rows", "join-transposes", 1, newSmall(2, 2).ints("p", 0, 1, 0, 0, 0, 2, 3, 0).floats("v", []float32{7}).
			node("Transpose", perm(0, 3, 1, 2), "a", "x").node("Pad", nil, "b", "a", "p", "v").node("Transpose", perm(0, 2, 3, 1), "y", "b"), []string{"Pad"}, 0},
		{"there and back", "join-transposes", 1, newSmall(2, 2).
			node("Transpose", perm(0, 2, 3, 1), "a", "x").node("Transpose", perm(0, 3, 1, 2), "b", "a").node("Relu", nil, "y", "b"), []string{"Relu"}, 0},
		{"not back", "join-transposes", 0, newSmall(2, 2).
			node("Transpose", perm(0, 1, 3, 2), "a", "x").node("Transpose", perm(0, 1, 2, 3), "y", "a"), []string{"Transpose", "Transpose"}, 0},

		{"a convolution", "fold-batch-norm", 1, newSmall(2, 3).draw("w", -1, 1, 3, 2, 3, 3).node("Conv", conv, "c", "x", "w").batchNorm("y", "c", 3), []string{"Conv"}, 1e-5},
		{"a convolution with bias and groups", "fold-batch-norm", 1, newSmall(2, 4).draw("w", -1, 1, 4, 1, 3, 3).draw("b", -1, 1, 4).
			node("Conv", onnx.Attributes{"group": 2, "pads": []int64{1, 1, 1, 1}}, "c", "x", "w", "b").batchNorm("y", "c", 4), []string{"Conv"}, 1e-5},
		{"a transposed convolution", "fold-batch-norm", 1, newSmall(2, 3).draw("w", -1, 1, 2, 3, 3, 3).node("ConvTranspose", nil, "c", "x", "w").batchNorm("y", "c", 3), []string{"ConvTranspose"}, 1e-5},
		{"a transposed convolution with groups", "fold-batch-norm", 1, newSmall(4, 6).draw("w", -1, 1, 4, 3, 2, 2).draw("b", -1, 1, 6).
			node("ConvTranspose", onnx.Attributes{"group": 2}, "c", "x", "w", "b").batchNorm("y", "c", 6), []string{"ConvTranspose"}, 1e-5},
		{"a convolution that others use", "fold-batch-norm", 0, newSmall(2, 2).draw("w", -1, 1, 2, 2, 1, 1).node("Conv", nil, "c", "x", "w").batchNorm("n", "c", 2).node("Add", nil, "y", "n", "c"), []string{"Conv", "BatchNormalization", "Add"}, 0},
		{"weights that others use", "fold-batch-norm", 1, newSmall(2, 2).draw("w", -1, 1, 2, 2, 1, 1).node("Conv", nil, "c", "x", "w").batchNorm("n", "c", 2).node("Conv", nil, "y", "n", "w"), []string{"Conv", "Conv"}, 1e-5},
		{"joined channels", "split-batch-norm", 1, newSmall(1, 4).draw("w", -1, 1, 3, 1, 3, 3).node("Conv", conv, "c", "x", "w").
			node("Concat", onnx.Attributes{"axis": 1}, "j", "c", "x").batchNorm("y", "j", 4), []string{"Conv", "BatchNormalization", "BatchNormalization", "Concat"}, 1e-6},

		{"blocks", "blocks-of-pixels", 1, newSmall(3, 2).draw("w", -1, 1, 3, 2, 2, 2).draw("b", -1, 1, 2).node("ConvTranspose", half, "y", "x", "w", "b"), []string{"Conv", "DepthToSpace"}, 1e-6},
		{"overlapping blocks", "blocks-of-pixels", 0, newSmall(3, 2).draw("w", -1, 1, 3, 2, 3, 3).node("ConvTranspose", onnx.Attributes{"strides": []int64{2, 2}}, "y", "x", "w"), []string{"ConvTranspose"}, 0},
		{"padded blocks", "blocks-of-pixels", 0, newSmall(3, 2).draw("w", -1, 1, 3, 2, 2, 2).node("ConvTranspose", onnx.Attributes{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}, "y", "x", "w"), []string{"ConvTranspose"}, 0},

		{"channels of zeros", "convolve-padding", 1, newSmall(3, 6).ints("p", 0, 1, 0, 0, 0, 2, 0, 0).node("Pad", nil, "y", "x", "p"), []string{"Conv"}, 0},
		{"channels of ones", "convolve-padding", 0, newSmall(3, 6).ints("p", 0, 1, 0, 0, 0, 2, 0, 0).floats("v", []float32{1}).node("Pad", nil, "y", "x", "p", "v"), []string{"Pad"}, 0},
		{"rows of zeros", "convolve-padding", 0, newSmall(3, 3).ints("p", 0, 0, 1, 0, 0, 0, 0, 0).node("Pad", nil, "y", "x", "p"), []string{"Pad"}, 0},
		{"a convolution and its input", "convolve-joins", 1, newSmall(1, 4).draw("w", -1, 1, 3, 1, 3, 3).draw("b", -1, 1, 3).node("Conv", conv, "c", "x", "w", "b").
			batchNorm("n", "x", 1).node("Concat", onnx.Attributes{"axis": 1}, "j", "c", "n").node("Relu", nil, "y", "j"), []string{"Conv", "Conv", "Add", "Relu"}, 1e-6},
		{"a convolution that others use too", "convolve-joins", 1, newSmall(2, 5).draw("w", -1, 1, 3, 2, 3, 3).node("Conv", conv, "c", "x", "w").
			node("Concat", onnx.Attributes{"axis": 1}, "j", "x", "c").node("ReduceMax", onnx.Attributes{"axes": []int64{1}}, "m", "c").node("Add", nil, "y", "j", "m"), []string{"Conv", "Conv", "Conv", "Add", "ReduceMax", "Add"}, 1e-6},
	} {
		t.Run(test.name, func(t *testing.T) {
			model := test.graph.model()
			after := apply(t, model, graphopt.Options{Layout: true}, test.rewrite, test.places)
			if got := operators(after); !slices.Equal(got, test.want) {
				t.Errorf("operators %v, want %v", got, test.want)
			}
			for _, size := range [][2]int64{{4, 6}, {7, 5}} {
				inputs := map[string]onnxtest.Tensor{"x": test.graph.image(size[0], size[1])}
				want := onnxtest.Open(t, model).Run(t, inputs)["y"]
				got := onnxtest.Open(t, after).Run(t, inputs)["y"]
				if !slices.Equal(got.Dims, want.Dims) {
					t.Fatalf("shape %v, want %v", got.Dims, want.Dims)
				}
				for i, v := range want.Float {
					if d := math.Abs(float64(v) - float64(got.Float[i])); !(d <= test.tolerance*max(1, math.Abs(float64(v)))) {
						t.Fatalf("element %d is %v, want %v", i, got.Float[i], v)
					}
				}
			}
		})
	}
}

func TestPReluIsKeptOnDemand(t *testing.T) {
	for slopes, want := range map[[2]float32]string{{0.2, 0.3}: "PRelu", {0.2, 0.2}: "LeakyRelu", {0, 0}: "Relu"} {
		model := newSmall(2, 2).floats("a", slopes[:], 2, 1, 1).node("PRelu", nil, "y", "x", "a").model()
		optimised, _, err := graphopt.Optimise(model, graphopt.Options{KeepScores: true, KeepFloats: true, KeepPRelu: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := operators(optimised); !slices.Equal(got, []string{want}) {
			t.Errorf("slopes %v: operators %v, want %s", slopes, got, want)
		}
	}
}

func TestTheClassIsTheFirstOfTheLargestScores(t *testing.T) {
	for _, blocks := range []bool{false, true} {
		for _, classes := range []int64{2, 3, 4, 7} {
			graph := newSmall(classes, classes).node("Neg", nil, "n", "x").node("Neg", nil, "m", "n").node("Softmax", onnx.Attributes{"axis": 1}, "y", "m")
			if blocks {
				graph = newSmall(2, classes).draw("w", -1, 1, 2, classes, 2, 2).
					node("ConvTranspose", onnx.Attributes{"strides": []int64{2, 2}, "kernel_shape": []int64{2, 2}}, "c", "x", "w").node("Softmax", onnx.Attributes{"axis": 1}, "y", "c")
			}
			model := graph.model()
			optimised, steps, err := graphopt.Optimise(model, graphopt.Options{KeepFloats: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(steps) < 2 || steps[len(steps)-1].Name != "decide-classes" {
				t.Fatalf("steps %v", steps)
			}
			in := graph.image(6, 5)
			for i := range in.Float { // many scores that are equal
				in.Float[i] = float32(math.Round(float64(in.Float[i])))
			}
			inputs := map[string]onnxtest.Tensor{"x": in}
			scores := onnxtest.Open(t, model).Run(t, inputs)["y"]
			got := onnxtest.Open(t, optimised).Run(t, inputs)[graphopt.MaskName]
			plane := scores.Dims[2] * scores.Dims[3]
			if want := []int64{1, scores.Dims[2], scores.Dims[3]}; !slices.Equal(got.Dims, want) {
				t.Fatalf("shape %v, want %v", got.Dims, want)
			}
			for i := range plane {
				best := int64(0)
				for class := range classes {
					if scores.Float[class*plane+i] > scores.Float[best*plane+i] {
						best = class
					}
				}
				if int64(got.Uint8[i]) != best {
					t.Errorf("of %d classes pixel %d is of class %d, want %d", classes, i, got.Uint8[i], best)
				}
			}
		}
	}
}

func TestBytesAreNormalised(t *testing.T) {
	for _, test := range []struct{ scale, offset, want float32 }{{0, 0, 200}, {1, 0, 200}, {0.5, 0, 100}, {1, -128, 72}, {0.25, 1, 51}} {
		model := newSmall(1, 1).node("Relu", nil, "y", "x").model()
		optimised, _, err := graphopt.Optimise(model, graphopt.Options{KeepScores: true, Scale: test.scale, Offset: test.offset})
		if err != nil {
			t.Fatal(err)
		}
		out := onnxtest.Open(t, optimised).Run(t, map[string]onnxtest.Tensor{"x": {Dims: []int64{1, 1, 1, 2}, Uint8: []uint8{200, 200}}})["y"]
		if !slices.Equal(out.Float, []float32{test.want, test.want}) {
			t.Errorf("scale %v and offset %v make %v of 200, want %v", test.scale, test.offset, out.Float, test.want)
		}
	}
}

func TestWhatCannotBeOptimisedIsSaid(t *testing.T) {
	old := newSmall(1, 2).node("Relu", nil, "y", "x").model()
	old.OpsetImport[0].Version = proto.Int64(11)
	for _, test := range []struct {
		name  string
		model *onnxpb.ModelProto
		opts  graphopt.Options
		kind  error
		says  string
	}{
		{"an old opset", old, graphopt.Options{}, graphopt.ErrModel, "version 11"},
		{"one class", newSmall(1, 1).node("Relu", nil, "y", "x").model(), graphopt.Options{}, graphopt.ErrModel, "2 to 256 channels"},
		{"colour", newSmall(3, 3).node("Relu", nil, "y", "x").model(), graphopt.Options{}, graphopt.ErrModel, "N x 1 x height x width"},
		{"a broken model", newSmall(1, 2).node("Relu", nil, "y", "z").model(), graphopt.Options{}, onnx.ErrModel, `"z"`},
		{"a normalisation of other channels", newSmall(1, 3).draw("w", -1, 1, 2, 1, 1, 1).node("Conv", nil, "c", "x", "w").batchNorm("y", "c", 3).model(), graphopt.Options{}, graphopt.ErrModel, "another number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := graphopt.Optimise(test.model, test.opts)
			if !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %q that says %q", err, test.kind, test.says)
			}
		})
	}
	t.Run("masks that differ", func(t *testing.T) {
		differ := errors.New("the masks differ")
		var step string
		_, _, err := graphopt.Optimise(newSmall(1, 2).draw("w", -1, 1, 2, 1, 1, 1).node("Conv", nil, "y", "x", "w").model(), graphopt.Options{
			AfterStep: func(s graphopt.Step, before, after *onnxpb.ModelProto) error {
				step = s.Name
				return differ
			},
		})
		if !errors.Is(err, differ) || !strings.Contains(err.Error(), step) {
			t.Errorf("error %v, want the caller's own, with the step's name", err)
		}
	})
}

func FuzzOptimise(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join("..", "..", "segmentation", "testdata", "models", "*", "model.onnx"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no models: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	conv := onnx.Attributes{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}
	for _, graph := range []*small{
		newSmall(1, 4).draw("w", -1, 1, 3, 1, 3, 3).node("Conv", conv, "c", "x", "w").node("Concat", onnx.Attributes{"axis": 1}, "j", "c", "x").batchNorm("n", "j", 4).
			draw("a", 0, 1, 4, 1, 1).node("PRelu", nil, "r", "n", "a").node("Softmax", onnx.Attributes{"axis": 1}, "y", "r"),
		newSmall(1, 2).draw("w", -1, 1, 1, 2, 2, 2).node("ConvTranspose", onnx.Attributes{"strides": []int64{2, 2}}, "y", "x", "w"),
		newSmall(1, 5).ints("p", 0, 0, 0, 1, 0, 0, 0, 3).node("Transpose", onnx.Attributes{"perm": []int64{0, 2, 3, 1}}, "a", "x").
			node("Pad", nil, "b", "a", "p").node("Transpose", onnx.Attributes{"perm": []int64{0, 3, 1, 2}}, "y", "b"),
	} {
		f.Add(marshal(f, graph.model()))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		model, err := onnx.Parse(content)
		if err != nil {
			return
		}
		optimised, _, err := graphopt.Optimise(model, graphopt.Options{Layout: true})
		if err != nil {
			if !errors.Is(err, graphopt.ErrModel) && !errors.Is(err, onnx.ErrModel) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if _, err := onnx.Marshal(optimised); err != nil {
			t.Fatal(err)
		}
	})
}
