// Package conversion is what the conversion of a single node of MXNet works with:
// the node's attributes and inputs, the shapes of tensors of which height and
// width may depend on the image, and the ONNX graph that it adds to.
//
// It knows no operator. Packages compute and arrange convert those with it, and
// package toonnx calls them one by one.
package conversion

import (
	"fmt"
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// Tensor is a value in the graph. Of a parameter, Array is set.
type Tensor struct {
	Name  string
	Shape []Dim
	Array *mxnet.Array
	// Missing: a variable without a parameter and without a shape. Using it is an
	// error; labels are never used.
	Missing bool
}

// Call is the conversion of one node. What goes wrong is kept, the first of it, in
// Err; a conversion may go on with zero values, and its result is not used.
type Call struct {
	*attributes
	graph *Graph
	name  string // of the node
	In    []Tensor
}

// NewCall begins the conversion of a node, which has no inputs yet.
func NewCall(graph *Graph, name string, values map[string]string) *Call {
	return &Call{attributes: newAttributes(values), graph: graph, name: name}
}

// Tensor returns an input.
func (x *Call) Tensor(i int) Tensor {
	if i >= len(x.In) {
		x.Inconsistent("it has %d inputs and needs another", len(x.In))
		return Tensor{}
	}
	t := x.In[i]
	if t.Missing {
		x.fault(&mxnet.ShapeError{Variable: t.Name})
	}
	return t
}

// Parameter returns an input that must be a parameter of n elements, and its
// values.
func (x *Call) Parameter(i int, n int64) []float32 {
	t := x.Tensor(i)
	if x.Err != nil {
		return nil
	}
	if t.Array == nil {
		x.Unsupported("its input %q must be a parameter and is computed", t.Name)
		return nil
	}
	x.graph.Used[t.Name] = true
	if Product(t.Array.Shape...) != n {
		x.Inconsistent("the parameter %q has the shape %v and must have %d values", t.Name, t.Array.Shape, n)
		return nil
	}
	return t.Array.Floats()
}

// Add adds a node with one output.
func (x *Call) Add(operator string, attributes onnx.Attributes, shape []Dim, inputs ...Tensor) Tensor {
	return x.AddSeveral(operator, attributes, [][]Dim{shape}, inputs...)[0]
}

// AddSeveral adds a node with an output for each of the shapes.
func (x *Call) AddSeveral(operator string, attributes onnx.Attributes, shapes [][]Dim, inputs ...Tensor) []Tensor {
	outputs := make([]Tensor, len(shapes))
	if x.Err != nil {
		return outputs
	}
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = x.graph.use(in)
	}
	name := x.graph.Unique(x.name + "/" + operator)
	outputNames := make([]string, len(shapes))
	for i, shape := range shapes {
		outputNames[i] = name
		if len(shapes) > 1 {
			outputNames[i] = fmt.Sprint(name, ":", i)
		}
		outputs[i] = Tensor{Name: outputNames[i], Shape: shape}
	}
	x.graph.Node = append(x.graph.Node, onnx.NewNode(operator, name, names, outputNames, attributes))
	return outputs
}

// Floats adds a constant of this node's.
func (x *Call) Floats(what string, dims []int64, values []float32) Tensor {
	name := x.graph.Unique(x.name + "/" + what)
	if x.Err == nil {
		x.graph.Initializer = append(x.graph.Initializer, onnx.FloatTensor(name, dims, values))
	}
	return Tensor{Name: name, Shape: FixedDims(dims...)}
}

// Scalar returns a constant without axes, shared with other nodes.
func (x *Call) Scalar(value float32) Tensor {
	return x.graph.constant(fmt.Sprint("constant/", value), func(name string) *onnxpb.TensorProto {
		return onnx.FloatTensor(name, nil, []float32{value})
	})
}

// Ints returns a constant vector, shared with other nodes.
func (x *Call) Ints(values ...int64) Tensor {
	return x.graph.constant(fmt.Sprint("constant/", values), func(name string) *onnxpb.TensorProto {
		return onnx.IntTensor(name, []int64{int64(len(values))}, values)
	})
}

// Absent is an input that is left out.
var Absent = Tensor{}

// SizesOf returns the sizes of some axes as a vector, computed when the model
// runs where they depend on the image's.
func (x *Call) SizesOf(t Tensor, axes ...int64) Tensor {
	var constant []int64
	for _, axis := range axes {
		if t.Shape[axis].Dynamic {
			shape := x.Add("Shape", nil, FixedDims(int64(len(t.Shape))), t)
			return x.Add("Gather", onnx.Attributes{"axis": 0}, FixedDims(int64(len(axes))), shape, x.Ints(axes...))
		}
		constant = append(constant, t.Shape[axis].Size)
	}
	return x.Ints(constant...)
}

// Reduce adds a reduction over axes, which stay with size 1 where keep is set.
func (x *Call) Reduce(operator string, t Tensor, axes []int64, keep bool) Tensor {
	var shape []Dim
	for i, d := range t.Shape {
		switch {
		case !slices.Contains(axes, int64(i)):
			shape = append(shape, d)
		case keep:
			shape = append(shape, Fixed(1))
		}
	}
	attributes := onnx.Attributes{"keepdims": 0}
	if keep {
		attributes["keepdims"] = 1
	}
	if operator == "ReduceSum" { // the others take axes as an input from opset 18 on
		return x.Add(operator, attributes, shape, t, x.Ints(axes...))
	}
	attributes["axes"] = axes
	return x.Add(operator, attributes, shape, t)
}

// Operator is how a node of one kind is converted.
type Operator struct {
	// Min and max number of inputs.
	Min, Max int
	// Convert adds to the ONNX graph what computes the node's outputs, and returns
	// those.
	Convert func(*Call) []Tensor
}

// Unlimited is a number of inputs without a bound.
const Unlimited = math.MaxInt

// NewOperator returns the operator that takes least to most inputs.
func NewOperator(least, most int, convert func(*Call) []Tensor) Operator {
	return Operator{Min: least, Max: most, Convert: convert}
}
