package conversion

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// Graph is the ONNX graph that grows node by node.
type Graph struct {
	*onnxpb.GraphProto
	Names     map[string]bool   // of everything in it
	constants map[string]Tensor // shared ones
	Used      map[string]bool   // parameters that were read
	stored    map[string]bool   // parameters that are in it
}

// NewGraph returns an empty one.
func NewGraph(name string) *Graph {
	return &Graph{
		GraphProto: &onnxpb.GraphProto{Name: &name}, Names: make(map[string]bool),
		constants: make(map[string]Tensor), Used: make(map[string]bool), stored: make(map[string]bool),
	}
}

// Unique returns name, or, where that is taken, name with a number.
func (g *Graph) Unique(name string) string {
	candidate := name
	for i := 1; g.Names[candidate]; i++ {
		candidate = fmt.Sprint(name, "_", i)
	}
	g.Names[candidate] = true
	return candidate
}

func (g *Graph) constant(key string, build func(name string) *onnxpb.TensorProto) Tensor {
	t, ok := g.constants[key]
	if !ok {
		proto := build(g.Unique(key))
		g.Initializer = append(g.Initializer, proto)
		t = Tensor{Name: proto.GetName(), Shape: FixedDims(proto.Dims...)}
		g.constants[key] = t
	}
	return t
}

// use returns the name of a tensor in the ONNX graph, and adds a parameter to it
// where this is its first use.
func (g *Graph) use(t Tensor) string {
	if t.Array == nil || g.stored[t.Name] {
		return t.Name
	}
	g.Used[t.Name], g.stored[t.Name] = true, true
	g.Initializer = append(g.Initializer, onnx.FloatTensor(t.Name, t.Array.Shape, t.Array.Floats()))
	return t.Name
}

// Rename renames what a node after the first ones made, and its uses there.
func (g *Graph) Rename(first int, from, to string) (renamed bool) {
	for _, node := range g.Node[first:] {
		for i, name := range node.Output {
			if name == from {
				node.Output[i], renamed = to, true
				if len(node.Output) == 1 {
					node.Name = proto.String(to)
				}
			}
		}
		for i, name := range node.Input {
			if name == from {
				node.Input[i] = to
			}
		}
	}
	return renamed
}
