package mxnet

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// tensor is a value in the graph. Of a parameter, array is set.
type tensor struct {
	name  string
	shape []dim
	array *Array
	// missing: a variable without a parameter and without a shape. Using it is an
	// error; labels are never used.
	missing bool
}

// call is the conversion of one node. What goes wrong is kept, the first of it, in
// err; a conversion may go on with zero values, and its result is not used.
type call struct {
	*attributes
	c    *converter
	node *Node
	in   []tensor
}

// tensor returns an input.
func (x *call) tensor(i int) tensor {
	if i >= len(x.in) {
		x.inconsistent("it has %d inputs and needs another", len(x.in))
		return tensor{}
	}
	t := x.in[i]
	if t.missing {
		x.inconsistent("the variable %q has no value in the params file and no shape in %s; are the files those of one model?", t.name, "model"+shapesSuffix)
	}
	return t
}

// parameter returns an input that must be a parameter of n elements, and its
// values.
func (x *call) parameter(i int, n int64) []float32 {
	t := x.tensor(i)
	if x.err != nil {
		return nil
	}
	if t.array == nil {
		x.unsupported("its input %q must be a parameter and is computed", t.name)
		return nil
	}
	x.c.used[t.name] = true
	if product(t.array.Shape...) != n {
		x.inconsistent("the parameter %q has the shape %v and must have %d values", t.name, t.array.Shape, n)
		return nil
	}
	return t.array.Floats()
}

// add adds a node with one output.
func (x *call) add(operator string, attributes onnx.Attributes, shape []dim, inputs ...tensor) tensor {
	return x.addSeveral(operator, attributes, [][]dim{shape}, inputs...)[0]
}

// addSeveral adds a node with an output for each of the shapes.
func (x *call) addSeveral(operator string, attributes onnx.Attributes, shapes [][]dim, inputs ...tensor) []tensor {
	outputs := make([]tensor, len(shapes))
	if x.err != nil {
		return outputs
	}
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = x.c.use(in)
	}
	name := x.c.unique(x.node.Name + "/" + operator)
	outputNames := make([]string, len(shapes))
	for i, shape := range shapes {
		outputNames[i] = name
		if len(shapes) > 1 {
			outputNames[i] = fmt.Sprint(name, ":", i)
		}
		outputs[i] = tensor{name: outputNames[i], shape: shape}
	}
	x.c.graph.Node = append(x.c.graph.Node, onnx.NewNode(operator, name, names, outputNames, attributes))
	return outputs
}

// floats adds a constant of this node's.
func (x *call) floats(what string, dims []int64, values []float32) tensor {
	name := x.c.unique(x.node.Name + "/" + what)
	if x.err == nil {
		x.c.graph.Initializer = append(x.c.graph.Initializer, onnx.FloatTensor(name, dims, values))
	}
	return tensor{name: name, shape: fixedDims(dims...)}
}

// scalar returns a constant without axes, shared with other nodes.
func (x *call) scalar(value float32) tensor {
	return x.c.constant(fmt.Sprint("constant/", value), func(name string) *onnxpb.TensorProto {
		return onnx.FloatTensor(name, nil, []float32{value})
	})
}

// ints returns a constant vector, shared with other nodes.
func (x *call) ints(values ...int64) tensor {
	return x.c.constant(fmt.Sprint("constant/", values), func(name string) *onnxpb.TensorProto {
		return onnx.IntTensor(name, []int64{int64(len(values))}, values)
	})
}

// absent is an input that is left out.
var absent = tensor{}

// sizesOf returns the sizes of some axes as a vector, computed when the model
// runs where they depend on the image's.
func (x *call) sizesOf(t tensor, axes ...int64) tensor {
	var constant []int64
	for _, axis := range axes {
		if t.shape[axis].dynamic {
			shape := x.add("Shape", nil, fixedDims(int64(len(t.shape))), t)
			return x.add("Gather", onnx.Attributes{"axis": 0}, fixedDims(int64(len(axes))), shape, x.ints(axes...))
		}
		constant = append(constant, t.shape[axis].size)
	}
	return x.ints(constant...)
}

// reduce adds a reduction over axes, which stay with size 1 where keep is set.
func (x *call) reduce(operator string, t tensor, axes []int64, keep bool) tensor {
	var shape []dim
	for i, d := range t.shape {
		switch {
		case !slices.Contains(axes, int64(i)):
			shape = append(shape, d)
		case keep:
			shape = append(shape, fixed(1))
		}
	}
	attributes := onnx.Attributes{"keepdims": 0}
	if keep {
		attributes["keepdims"] = 1
	}
	if operator == "ReduceSum" { // the others take axes as an input from opset 18 on
		return x.add(operator, attributes, shape, t, x.ints(axes...))
	}
	attributes["axes"] = axes
	return x.add(operator, attributes, shape, t)
}

// unique returns name, or, where that is taken, name with a number.
func (c *converter) unique(name string) string {
	candidate := name
	for i := 1; c.names[candidate]; i++ {
		candidate = fmt.Sprint(name, "_", i)
	}
	c.names[candidate] = true
	return candidate
}

func (c *converter) constant(key string, build func(name string) *onnxpb.TensorProto) tensor {
	t, ok := c.constants[key]
	if !ok {
		proto := build(c.unique(key))
		c.graph.Initializer = append(c.graph.Initializer, proto)
		t = tensor{name: proto.GetName(), shape: fixedDims(proto.Dims...)}
		c.constants[key] = t
	}
	return t
}

// use returns the name of a tensor in the ONNX graph, and adds a parameter to it
// where this is its first use.
func (c *converter) use(t tensor) string {
	if t.array == nil || c.stored[t.name] {
		return t.name
	}
	c.used[t.name], c.stored[t.name] = true, true
	c.graph.Initializer = append(c.graph.Initializer, onnx.FloatTensor(t.name, t.array.Shape, t.array.Floats()))
	return t.name
}

// rename renames what a node after the first ones made, and its uses there.
func (c *converter) rename(first int, from, to string) (renamed bool) {
	for _, node := range c.graph.Node[first:] {
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
