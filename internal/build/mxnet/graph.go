package mxnet

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// graph is the ONNX graph that grows node by node.
type graph struct {
	*onnxpb.GraphProto
	names     map[string]bool   // of everything in it
	constants map[string]tensor // shared ones
	used      map[string]bool   // parameters that were read
	stored    map[string]bool   // parameters that are in it
}

// newGraph returns an empty one.
func newGraph(name string) *graph {
	return &graph{
		GraphProto: &onnxpb.GraphProto{Name: &name}, names: make(map[string]bool),
		constants: make(map[string]tensor), used: make(map[string]bool), stored: make(map[string]bool),
	}
}

// unique returns name, or, where that is taken, name with a number.
func (g *graph) unique(name string) string {
	candidate := name
	for i := 1; g.names[candidate]; i++ {
		candidate = fmt.Sprint(name, "_", i)
	}
	g.names[candidate] = true
	return candidate
}

func (g *graph) constant(key string, build func(name string) *onnxpb.TensorProto) tensor {
	t, ok := g.constants[key]
	if !ok {
		proto := build(g.unique(key))
		g.Initializer = append(g.Initializer, proto)
		t = tensor{name: proto.GetName(), shape: fixedDims(proto.Dims...)}
		g.constants[key] = t
	}
	return t
}

// use returns the name of a tensor in the ONNX graph, and adds a parameter to it
// where this is its first use.
func (g *graph) use(t tensor) string {
	if t.array == nil || g.stored[t.name] {
		return t.name
	}
	g.used[t.name], g.stored[t.name] = true, true
	g.Initializer = append(g.Initializer, onnx.FloatTensor(t.name, t.array.Shape, t.array.Floats()))
	return t.name
}

// rename renames what a node after the first ones made, and its uses there.
func (g *graph) rename(first int, from, to string) (renamed bool) {
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
