package graphopt

import (
	"fmt"
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// graph is a model with what rewrites look up in it.
type graph struct {
	model *onnxpb.ModelProto
	*onnxpb.GraphProto

	producers map[string]*onnxpb.NodeProto
	consumers map[string][]*onnxpb.NodeProto
	constants map[string]*onnxpb.TensorProto
	outputs   map[string]bool
	names     map[string]bool
	widths    map[string]int64 // what channels has found
}

func newGraph(model *onnxpb.ModelProto) (*graph, error) {
	if opset := onnx.OpsetVersion(model); opset < minOpset {
		return nil, fmt.Errorf("%w: it uses version %d of the ONNX operators, and %d or later is needed; export it again with a newer opset", ErrModel, opset, minOpset)
	}
	g := &graph{model: model, GraphProto: model.Graph}
	g.index()
	return g, nil
}

// minOpset is the version from which on all operators that rewrites add, change
// or look at have the form that they know.
const minOpset = 13

func (g *graph) index() {
	g.producers = make(map[string]*onnxpb.NodeProto)
	g.consumers = make(map[string][]*onnxpb.NodeProto)
	g.constants = make(map[string]*onnxpb.TensorProto)
	g.outputs = make(map[string]bool)
	g.names = make(map[string]bool)
	g.widths = make(map[string]int64)
	for _, in := range g.Input {
		g.names[in.GetName()] = true
	}
	for _, t := range g.Initializer {
		g.names[t.GetName()], g.constants[t.GetName()] = true, t
	}
	for _, in := range g.Input { // an initializer that is an input may be replaced
		delete(g.constants, in.GetName())
	}
	for _, out := range g.Output {
		g.outputs[out.GetName()] = true
	}
	for _, node := range g.Node {
		for _, in := range node.Input {
			g.consumers[in] = append(g.consumers[in], node)
		}
		for _, out := range node.Output {
			g.names[out], g.producers[out] = true, node
		}
		// What graphs inside of a node use is used, but not by a node known here.
		for _, a := range node.Attribute {
			if a.G != nil || len(a.Graphs) > 0 {
				g.hold(a)
			}
		}
		for _, out := range node.Output { // in order, so that none has to look back far
			g.channels(out)
		}
	}
}

// hold marks the names that graphs inside of an attribute use as outputs, which no
// rewrite takes away.
func (g *graph) hold(a *onnxpb.AttributeProto) {
	graphs := a.Graphs
	if a.G != nil {
		graphs = append(slices.Clone(graphs), a.G)
	}
	for _, inner := range graphs {
		for _, out := range inner.Output {
			g.outputs[out.GetName()] = true
		}
		for _, node := range inner.Node {
			for _, in := range node.Input {
				g.outputs[in] = true
			}
			for _, a := range node.Attribute {
				g.hold(a)
			}
		}
	}
}

// only returns the node that alone uses a value, nil where there is none or the
// value is an output of the graph too.
func (g *graph) only(value string) *onnxpb.NodeProto {
	if users := g.consumers[value]; len(users) == 1 && !g.outputs[value] {
		return users[0]
	}
	return nil
}

// is tells whether a node is of one of ONNX's own operators named.
func is(node *onnxpb.NodeProto, operators ...string) bool {
	return node != nil && (node.GetDomain() == "" || node.GetDomain() == "ai.onnx") && slices.Contains(operators, node.GetOpType())
}

// input returns the name of an input, "" where it is left out.
func input(node *onnxpb.NodeProto, i int) string {
	if i < len(node.Input) {
		return node.Input[i]
	}
	return ""
}

// floats returns the values of a constant.
func (g *graph) floats(name string) ([]float32, bool) {
	t := g.constants[name]
	if t == nil {
		return nil, false
	}
	values, err := onnx.Floats(t)
	return values, err == nil
}

// ints returns the values of a constant.
func (g *graph) ints(name string) ([]int64, bool) {
	t := g.constants[name]
	if t == nil {
		return nil, false
	}
	values, err := onnx.Ints(t)
	return values, err == nil
}

// unique returns a name that nothing has, and takes it.
func (g *graph) unique(name string) string {
	candidate := name
	for i := 1; g.names[candidate]; i++ {
		candidate = fmt.Sprint(name, "_", i)
	}
	g.names[candidate] = true
	return candidate
}

// constant adds an initializer under a name like that of t.
func (g *graph) constant(t *onnxpb.TensorProto) string {
	name := g.unique(t.GetName())
	t.Name = &name
	g.Initializer = append(g.Initializer, t)
	return name
}

// replace puts nodes in the place of one.
func (g *graph) replace(old *onnxpb.NodeProto, nodes ...*onnxpb.NodeProto) {
	at := slices.Index(g.Node, old)
	g.Node = slices.Replace(g.Node, at, at+1, nodes...)
}

// bypass takes a node out, and lets those that use its output use value instead.
// It fails where output and value are both visible from outside.
func (g *graph) bypass(node *onnxpb.NodeProto, value string) bool {
	output := node.Output[0]
	from, to := output, value
	if g.outputs[output] {
		producer := g.producers[value]
		if producer == nil || g.outputs[value] {
			return false
		}
		from, to = value, output
		for i, name := range producer.Output {
			if name == value {
				producer.Output[i] = output
			}
		}
	}
	for _, user := range g.consumers[from] {
		for i, name := range user.Input {
			if name == from {
				user.Input[i] = to
			}
		}
	}
	g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return n == node })
	return true
}

// tidy takes out what nothing uses any more, and looks everything up anew.
func (g *graph) tidy() {
	g.index()
	for at := len(g.Node) - 1; at >= 0; at-- {
		node := g.Node[at]
		if slices.ContainsFunc(node.Output, func(out string) bool { return g.outputs[out] || len(g.consumers[out]) > 0 }) {
			continue
		}
		g.Node = slices.Delete(g.Node, at, at+1)
		for _, in := range node.Input {
			g.consumers[in] = slices.DeleteFunc(g.consumers[in], func(n *onnxpb.NodeProto) bool { return n == node })
		}
	}
	g.Initializer = slices.DeleteFunc(g.Initializer, func(t *onnxpb.TensorProto) bool {
		return len(g.consumers[t.GetName()]) == 0 && !g.outputs[t.GetName()]
	})
	g.ValueInfo = nil // shapes of what was inside; ONNX Runtime infers them
	g.index()
}

// channels returns the size of axis 1 of a value, 0 where it cannot be told.
func (g *graph) channels(value string) int64 {
	n, known := g.widths[value]
	if !known {
		n = max(0, g.countChannels(value))
		g.widths[value] = n
	}
	return n
}

func (g *graph) countChannels(value string) int64 {
	node := g.producers[value]
	if node == nil {
		for _, in := range g.Input {
			if dims := onnx.Dims(in); in.GetName() == value && len(dims) > 1 {
				return dims[1].Size
			}
		}
		return 0
	}
	// constant returns an axis of the node's second input.
	constant := func(axis int) int64 {
		if t := g.constants[input(node, 1)]; t != nil && len(t.Dims) > axis {
			return t.Dims[axis]
		}
		return 0
	}
	switch {
	case is(node, "Conv"):
		return constant(0)
	case is(node, "ConvTranspose"):
		return constant(1) * onnx.IntAttribute(node, "group", 1)
	case is(node, "BatchNormalization"):
		return constant(0)
	case is(node, "Concat"):
		return g.joinedChannels(node)
	case is(node, "Pad"):
		pads, ok := g.ints(input(node, 1))
		inner := g.channels(node.Input[0])
		if !ok || len(pads) < 4 || inner == 0 || input(node, 3) != "" {
			return 0
		}
		return inner + pads[1] + pads[len(pads)/2+1]
	case is(node, "Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Elu", "Selu", "Clip", "MaxPool", "AveragePool", "Identity", "Dropout", "Cast",
		"Softmax", "InstanceNormalization", "Resize"): // networks do not resize channels
		return g.channels(node.Input[0])
	case is(node, "Add", "Mul", "Max", "Min", "Sub"):
		// Of a constant that is spread and a tensor the tensor counts.
		most := int64(0)
		for _, in := range node.Input {
			if g.constants[in] == nil {
				most = max(most, g.channels(in))
			}
		}
		return most
	}
	return 0
}

// joinedChannels is channels of what a Concat gives.
func (g *graph) joinedChannels(node *onnxpb.NodeProto) int64 {
	if axis := onnx.IntAttribute(node, "axis", 0); axis != 1 && axis != -3 {
		return 0
	}
	sum := int64(0)
	for _, in := range node.Input {
		n := g.channels(in)
		if n == 0 || n > maxChannels {
			return 0
		}
		sum += n
	}
	return sum
}

// maxChannels is more than any network has.
const maxChannels = 1 << 20
