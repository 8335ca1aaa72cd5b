package onnx_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxtest"
)

// Models that the onnx package of Python wrote.
var foreign = filepath.Join("..", "..", "segmentation", "testdata", "models")

func foreignModels(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(foreign, "*", "model.onnx"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no models in %s: %v", foreign, err)
	}
	return paths
}

// double returns a model that computes y = 2 x, for tests to break.
func double() *onnxpb.ModelProto {
	dims := []onnx.Dim{{Size: 1}, {Name: "n"}}
	return onnx.NewModel(&onnxpb.GraphProto{
		Name:        proto.String("double"),
		Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", onnx.Float, dims)},
		Output:      []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", onnx.Float, dims)},
		Initializer: []*onnxpb.TensorProto{onnx.FloatTensor("two", []int64{1}, []float32{2})},
		Node:        []*onnxpb.NodeProto{onnx.NewNode("Mul", "double", []string{"x", "two"}, []string{"y"}, nil)},
	}, "test", "")
}

func TestAModelIsWrittenAndReadBackWhole(t *testing.T) {
	for _, path := range foreignModels(t) {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			model, err := onnx.Read(path)
			if err != nil {
				t.Fatal(err)
			}
			written := filepath.Join(t.TempDir(), "model.onnx")
			if err := onnx.Write(written, model); err != nil {
				t.Fatal(err)
			}
			again, err := onnx.Read(written)
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(model, again) {
				t.Error("the model read back is another one")
			}
			first, err := os.ReadFile(written)
			if err != nil {
				t.Fatal(err)
			}
			second, err := onnx.Marshal(again)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first, second) {
				t.Error("equal models gave different bytes")
			}
		})
	}
}

func TestAModelMadeHereRuns(t *testing.T) {
	out := onnxtest.Open(t, double()).Run(t, map[string]onnxtest.Tensor{"x": {Dims: []int64{1, 3}, Float: []float32{1, -2, 0.5}}})
	if diff := cmp.Diff(onnxtest.Tensor{Dims: []int64{1, 3}, Float: []float32{2, -4, 1}}, out["y"]); diff != "" {
		t.Error(diff)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*onnxpb.ModelProto)
		says  string
	}{
		{"no version", func(m *onnxpb.ModelProto) { m.IrVersion = nil }, "ir_version"},
		{"no opset", func(m *onnxpb.ModelProto) { m.OpsetImport = nil }, "version 0 of the ONNX operators"},
		{"an old opset", func(m *onnxpb.ModelProto) { m.OpsetImport[0].Version = proto.Int64(6) }, "version 6"},
		{"an opset twice", func(m *onnxpb.ModelProto) {
			m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx"), Version: proto.Int64(17)})
		}, "twice"},
		{"no graph", func(m *onnxpb.ModelProto) { m.Graph = nil }, "no graph"},
		{"no output", func(m *onnxpb.ModelProto) { m.Graph.Output = nil }, "no output"},
		{"an output that nothing makes", func(m *onnxpb.ModelProto) { m.Graph.Output[0].Name = proto.String("z") }, `output "z" of the graph is made by no node`},
		{"an input without a type", func(m *onnxpb.ModelProto) { m.Graph.Input[0].Type = nil }, "element type"},
		{"an input of no name", func(m *onnxpb.ModelProto) { m.Graph.Input[0].Name = nil }, "has no name"},
		{"an unknown domain", func(m *onnxpb.ModelProto) { m.Graph.Node[0].Domain = proto.String("other") }, `domain "other"`},
		{"no operator", func(m *onnxpb.ModelProto) { m.Graph.Node[0].OpType = nil }, "has no operator"},
		{"an undefined input", func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[1] = "three" }, `input "three" is not defined`},
		{"a cycle", func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[1] = "y" }, `input "y" is not defined before`},
		{"an input too many", func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input = append(m.Graph.Node[0].Input, "x") }, "has 3 inputs"},
		{"an input left out", func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[0] = "" }, "input 0 is left out"},
		{"a name made twice", func(m *onnxpb.ModelProto) { m.Graph.Node[0].Output[0] = "x" }, `output "x": the name is used before`},
		{"an initializer twice", func(m *onnxpb.ModelProto) {
			m.Graph.Initializer = append(m.Graph.Initializer, m.Graph.Initializer[0])
		}, `initializer "two"`},
		{"a tensor too short", func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].RawData = []byte{1, 2} }, "has 2 bytes, and its dimensions [1] need 4"},
		{"a huge tensor", func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{1 << 35, 1 << 35} }, "too many elements"},
		{"values of other length", func(m *onnxpb.ModelProto) {
			m.Graph.Initializer[0].RawData, m.Graph.Initializer[0].FloatData = nil, []float32{1, 2}
		}, "has 2 values"},
		{"a tensor in another file", func(m *onnxpb.ModelProto) {
			m.Graph.Initializer[0].DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		}, "another file"},
		{"an attribute twice", func(m *onnxpb.ModelProto) {
			n := m.Graph.Node[0]
			onnx.SetAttribute(n, "axis", 1)
			n.Attribute = append(n.Attribute, n.Attribute[0])
		}, `attribute "axis"`},
		{"a broken graph inside", func(m *onnxpb.ModelProto) {
			inner := double().Graph
			inner.Output[0].Name = proto.String("nothing")
			m.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("body"), G: inner, Type: onnxpb.AttributeProto_GRAPH.Enum()}}
		}, `attribute "body"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			model := double()
			test.spoil(model)
			err := onnx.Check(model)
			if !errors.Is(err, onnx.ErrModel) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want ErrModel that says %q", err, test.says)
			}
			if path := filepath.Join(t.TempDir(), "model.onnx"); onnx.Write(path, model) == nil {
				t.Error("the model was written")
			}
		})
	}
}

func TestReadRefusesWhatIsNoModel(t *testing.T) {
	whole, err := onnx.Marshal(double())
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"empty": nil, "text": []byte("{}{}{}"), "cut short": whole[:len(whole)/2]} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, content, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := onnx.Read(path); !errors.Is(err, onnx.ErrFormat) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want ErrFormat that names the file", err)
			}
		})
	}
}

func TestModelsThatWouldFillTheMemoryAreRefused(t *testing.T) {
	field := func(number byte, content []byte) []byte {
		return append(protowire.AppendVarint([]byte{number<<3 | 2}, uint64(len(content))), content...)
	}
	const graph, node, input, attribute = 7, 1, 1, 5
	nested := []byte(nil)
	for range 200 { // a graph in an attribute of a node of a graph...
		nested = field(node, field(attribute, field(6, nested)))
	}
	for name, content := range map[string][]byte{
		"empty nodes":       field(graph, bytes.Repeat(field(node, nil), 4<<20)),
		"empty attributes":  field(graph, field(node, bytes.Repeat(field(attribute, nil), 4<<20))),
		"inputs of no name": field(graph, field(node, bytes.Repeat(field(input, nil), 4<<20))),
		"graphs in graphs":  field(graph, nested),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := onnx.Parse(content)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, onnx.ErrFormat) || !strings.Contains(err.Error(), "more than") {
				t.Errorf("error %v", err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("%d bytes of memory were taken", used)
			}
		})
	}
}

func TestTensorsKeepTheirValues(t *testing.T) {
	floats := []float32{0, -1.5, 3e38}
	got, err := onnx.Floats(onnx.FloatTensor("f", []int64{3, 1}, floats))
	if err != nil || !cmp.Equal(floats, got) {
		t.Errorf("%v, %v, want %v", got, err, floats)
	}
	ints := []int64{-1, 1 << 40}
	gotInts, err := onnx.Ints(onnx.IntTensor("i", []int64{2}, ints))
	if err != nil || !cmp.Equal(ints, gotInts) {
		t.Errorf("%v, %v, want %v", gotInts, err, ints)
	}
	if _, err := onnx.Floats(onnx.IntTensor("i", []int64{2}, ints)); err == nil {
		t.Error("Floats of an int64 tensor succeeded")
	}
}

func FuzzParse(f *testing.F) {
	for _, path := range foreignModels(f) {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		model, err := onnx.Parse(content)
		runtime.ReadMemStats(&after)
		// An empty attribute has 2 bytes in the file, and some 300 in memory.
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20+400*uint64(len(content)) {
			t.Errorf("%d bytes of file took %d bytes of memory", len(content), used)
		}
		if err != nil {
			if !errors.Is(err, onnx.ErrFormat) && !errors.Is(err, onnx.ErrModel) {
				t.Fatalf("error of no kind: %v", err)
			}
			return
		}
		if _, err := onnx.Marshal(model); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
