// Package toonnx converts a model that package mxnet has read to ONNX.
//
//	model, err := mxnet.Load("unpacked")
//	converted, report, err := toonnx.Convert(model, toonnx.Options{})
//
// The result computes what MXNet computes at inference. Operators and attributes
// that nobody knows are named and refused; nothing is guessed. The package walks
// over the nodes and names inputs and outputs; packages compute and arrange know
// the operators. It is called by model-build.
package toonnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/arrange"
	"github.com/brainseg/brainseg/internal/build/mxnet/compute"
	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// Options are the settings of Convert. The zero value is ready to use.
type Options struct {
	// Shapes of inputs by name, which go before those in the model's shapes file.
	Shapes map[string][]int64
	// Batch is the number of images in a run, the first axis of every input.
	// Default 1, whatever the model was trained with.
	Batch int64
	// Outputs are the names of the outputs to keep, as MXNet lists them
	// (softmax_output) or as nodes (softmax). Default: all that are no losses.
	Outputs []string
	// FixedSize keeps height and width as in Shapes. Default: they are dynamic
	// where every operator lets them be.
	FixedSize bool
	// Version of the program, for the model's producer_version. Default none.
	Version string
}

// Report says what Convert has done.
type Report struct {
	// MXNetVersion that saved the model, as in 1.9.1; "" where it does not say.
	MXNetVersion string
	// Operators counts the nodes that were converted, by MXNet's names.
	Operators map[string]int
	// Dropped are the outputs and nodes that only training uses, and the identities
	// of it, as "name (operator)".
	Dropped []string
	// UnusedParameters are in the params file and not in the converted model.
	UnusedParameters []string
	// Parameters is the number of trained numbers in the converted model.
	Parameters int64
	// Dynamic tells that the model takes images of any height and width that
	// SizeMultiple divides. FixedBecause says why not, "" where FixedSize was set.
	Dynamic      bool
	FixedBecause string
	// SizeMultiple is by how much the network divides height and width on its way.
	SizeMultiple int
}

// Convert converts the model. An error that wraps ErrUnsupported or ErrModel names
// the operator and the node.
func Convert(m *mxnet.Model, opts Options) (*onnxpb.ModelProto, *Report, error) {
	if opts.Batch <= 0 {
		opts.Batch = 1
	}
	given := opts.Shapes
	opts.Shapes = make(map[string][]int64)
	maps.Copy(opts.Shapes, m.Shapes)
	maps.Copy(opts.Shapes, given)
	for name, shape := range opts.Shapes {
		if err := mxnet.CheckInputShape(shape); err != nil {
			return nil, nil, fmt.Errorf("%w: input %q: %w", mxnet.ErrModel, name, err)
		}
	}
	c, err := walk(m, opts, !opts.FixedSize)
	reason := ""
	if dynamic := new(conversion.ErrFixed); errors.As(err, &dynamic) {
		reason = err.Error()
		c, err = walk(m, opts, false)
	}
	if err != nil {
		return nil, nil, err
	}
	model := onnx.NewModel(c.graph.GraphProto, "brainseg model-build", opts.Version)
	if err := onnx.Check(model); err != nil {
		return nil, nil, fmt.Errorf("convert the MXNet model: %w", err)
	}
	c.finishReport(reason)
	return model, c.report, nil
}

// converter makes one ONNX graph of a symbol.
type converter struct {
	model   *mxnet.Model
	opts    Options
	dynamic bool
	report  *Report
	graph   *conversion.Graph

	image    []int64 // height and width of the first image input
	multiple int64
}

func walk(m *mxnet.Model, opts Options, dynamic bool) (*converter, error) {
	c := &converter{
		model: m, opts: opts, dynamic: dynamic,
		report:   &Report{Operators: make(map[string]int), Dynamic: dynamic},
		graph:    conversion.NewGraph("mxnet"),
		multiple: 1,
	}
	heads, err := c.heads()
	if err != nil {
		return nil, err
	}
	wanted := reachable(m.Symbol, heads)
	// Variables first: what the nodes make must not take their names.
	values := make([][]conversion.Tensor, len(m.Symbol.Nodes))
	for i, node := range m.Symbol.Nodes {
		if wanted[i] && node.Op == mxnet.Variable {
			value, err := c.variable(&node)
			if err != nil {
				return nil, err
			}
			values[i] = []conversion.Tensor{value}
		}
	}
	for i := range m.Symbol.Nodes {
		node := m.Symbol.Nodes[i]
		if !wanted[i] || node.Op == mxnet.Variable {
			continue
		}
		if node.Name == "" {
			node.Name = fmt.Sprint(strings.ToLower(node.Op), i)
		}
		if values[i], err = c.node(&node, values); err != nil {
			return nil, fmt.Errorf("%w (operator %s, node %q)", err, node.Op, node.Name)
		}
	}
	if err := c.outputs(heads, values); err != nil {
		return nil, err
	}
	c.dropInputs()
	return c, nil
}

// dropInputs takes out the inputs that only training uses: labels.
func (c *converter) dropInputs() {
	used := make(map[string]bool)
	for _, node := range c.graph.Node {
		for _, in := range node.Input {
			used[in] = true
		}
	}
	c.graph.Input = slices.DeleteFunc(c.graph.Input, func(in *onnxpb.ValueInfoProto) bool { return !used[in.GetName()] })
}

// losses are the operators whose output is of use in training only.
var losses = map[string]bool{"MakeLoss": true, "make_loss": true, "softmax_cross_entropy": true}

// heads returns the outputs to convert.
func (c *converter) heads() ([]mxnet.Edge, error) {
	symbol := c.model.Symbol
	var kept []mxnet.Edge
	if len(c.opts.Outputs) == 0 {
		for _, head := range symbol.Heads {
			if !losses[symbol.Nodes[head.Node].Op] {
				kept = append(kept, head)
			}
		}
		if len(kept) == 0 { // a network that gives its loss only
			return symbol.Heads, nil
		}
		for _, head := range symbol.Heads {
			if node := symbol.Nodes[head.Node]; losses[node.Op] {
				c.drop(&node)
			}
		}
		return kept, nil
	}
	for _, name := range c.opts.Outputs {
		found := slices.IndexFunc(symbol.Heads, func(head mxnet.Edge) bool {
			node := symbol.Nodes[head.Node].Name
			return name == node || name == node+"_output" || name == fmt.Sprint(node, "_output", head.Output)
		})
		if found < 0 {
			var names []string
			for _, head := range symbol.Heads {
				names = append(names, symbol.Nodes[head.Node].Name)
			}
			return nil, fmt.Errorf("%w: it has no output %q, but %s", mxnet.ErrModel, name, strings.Join(names, ", "))
		}
		kept = append(kept, symbol.Heads[found])
	}
	return kept, nil
}

func (c *converter) drop(node *mxnet.Node) {
	c.report.Dropped = append(c.report.Dropped, fmt.Sprintf("%s (%s)", node.Name, node.Op))
}

// reachable tells which nodes the heads need.
func reachable(s *mxnet.Symbol, heads []mxnet.Edge) []bool {
	wanted := make([]bool, len(s.Nodes))
	for _, head := range heads {
		wanted[head.Node] = true
	}
	for i := len(s.Nodes) - 1; i >= 0; i-- {
		if wanted[i] {
			for _, in := range s.Nodes[i].Inputs {
				wanted[in.Node] = true
			}
		}
	}
	return wanted
}

// variable makes a parameter or an input of a node without operator.
func (c *converter) variable(node *mxnet.Node) (conversion.Tensor, error) {
	if c.graph.Names[node.Name] || node.Name == "" {
		return conversion.Tensor{}, fmt.Errorf("%w: two variables are called %q, or one has no name", mxnet.ErrModel, node.Name)
	}
	c.graph.Names[node.Name] = true
	t := conversion.Tensor{Name: node.Name}
	if array := c.model.Params[node.Name]; array != nil {
		if array.Empty() {
			return t, fmt.Errorf("%w: the parameter %q has no values", mxnet.ErrModel, node.Name)
		}
		t.Array, t.Shape = array, conversion.FixedDims(array.Shape...)
		return t, nil
	}
	shape, ok := c.opts.Shapes[node.Name]
	if !ok {
		t.Missing = true
		return t, nil
	}
	t.Shape = conversion.FixedDims(shape...)
	if len(shape) > 1 {
		t.Shape[0] = conversion.Fixed(c.opts.Batch)
	}
	info := make([]onnx.Dim, len(shape))
	for i, d := range t.Shape {
		info[i] = onnx.Dim{Size: d.Size}
	}
	if len(shape) == 4 && c.dynamic {
		if c.image == nil {
			c.image = shape[2:]
		}
		if slices.Equal(c.image, shape[2:]) {
			t.Shape[2].Dynamic, t.Shape[3].Dynamic = true, true
			info[2], info[3] = onnx.Dim{Name: "height"}, onnx.Dim{Name: "width"}
		}
	}
	c.graph.Input = append(c.graph.Input, onnx.ValueInfo(t.Name, onnx.Float, info))
	return t, nil
}

// node converts one node and returns its outputs.
func (c *converter) node(node *mxnet.Node, values [][]conversion.Tensor) ([]conversion.Tensor, error) {
	operator, ok := compute.Operators[node.Op]
	if !ok {
		operator, ok = arrange.Operators[node.Op]
	}
	if !ok {
		return nil, fmt.Errorf("%w: there is no conversion of this operator", mxnet.ErrUnsupported)
	}
	x := conversion.NewCall(c.graph, node.Name, node.Attrs)
	for _, in := range node.Inputs {
		outputs := values[in.Node]
		if in.Output >= len(outputs) {
			return nil, fmt.Errorf("%w: it uses output %d of node %q, which only training has", mxnet.ErrUnsupported, in.Output, c.model.Symbol.Nodes[in.Node].Name)
		}
		x.In = append(x.In, outputs[in.Output])
	}
	if n := len(x.In); n < operator.Min || n > operator.Max {
		return nil, fmt.Errorf("%w: it has %d inputs and must have %d to %d", mxnet.ErrModel, n, operator.Min, operator.Max)
	}
	first := len(c.graph.Node)
	outputs := operator.Convert(x)
	x.Rest()
	if x.Err != nil {
		return nil, x.Err
	}
	for i, out := range outputs {
		if len(out.Shape) > mxnet.MaxAxes || conversion.Product(conversion.Sizes(out.Shape)...) > 1<<40 {
			return nil, fmt.Errorf("%w: its output of shape %v is too large", mxnet.ErrModel, conversion.Sizes(out.Shape))
		}
		for _, d := range out.Shape {
			if d.Size < 1 {
				return nil, fmt.Errorf("%w: its output has the shape %v", mxnet.ErrModel, conversion.Sizes(out.Shape))
			}
			if d.Dynamic {
				c.multiple = d.Den / conversion.GCD(c.multiple, d.Den) * c.multiple
			}
		}
		name := node.Name + "_output"
		if len(outputs) > 1 {
			name = fmt.Sprint(name, i)
		}
		if name = c.graph.Unique(name); c.graph.Rename(first, out.Name, name) {
			outputs[i].Name = name
		} else {
			delete(c.graph.Names, name)
		}
	}
	if len(c.graph.Node) == first {
		c.drop(node)
	} else {
		c.report.Operators[node.Op]++
	}
	return outputs, nil
}

// outputs names the outputs of the graph as MXNet does, and describes them.
func (c *converter) outputs(heads []mxnet.Edge, values [][]conversion.Tensor) error {
	inputs := make(map[string]bool)
	for _, in := range c.graph.Input {
		inputs[in.GetName()] = true
	}
	taken := make(map[string]bool)
	for _, head := range heads {
		node := c.model.Symbol.Nodes[head.Node]
		if head.Output >= len(values[head.Node]) {
			return fmt.Errorf("%w: output %d of node %q is of use in training only", mxnet.ErrUnsupported, head.Output, node.Name)
		}
		t := values[head.Node][head.Output]
		if t.Missing {
			return fmt.Errorf("%w: the output %q is an input without a shape", mxnet.ErrModel, t.Name)
		}
		name := node.Name
		if node.Op != mxnet.Variable {
			name += "_output"
			if len(values[head.Node]) > 1 {
				name = fmt.Sprint(name, head.Output)
			}
		}
		if t.Name != name || inputs[name] || t.Array != nil || taken[name] {
			name = c.graph.Unique(name)
			// A head that is an identity gives its name to what it is of.
			if t.Array != nil || inputs[t.Name] || taken[t.Name] || !c.graph.Rename(0, t.Name, name) {
				out := conversion.NewCall(c.graph, name, nil).Add("Identity", nil, t.Shape, t)
				c.graph.Rename(len(c.graph.Node)-1, out.Name, name)
			} else {
				delete(c.graph.Names, t.Name)
				for _, outputs := range values {
					for i := range outputs {
						if outputs[i].Name == t.Name {
							outputs[i].Name = name
						}
					}
				}
			}
		}
		taken[name] = true
		info := make([]onnx.Dim, len(t.Shape))
		for i, d := range t.Shape {
			info[i] = onnx.Dim{Size: d.Size}
			if d.Dynamic {
				info[i] = onnx.Dim{Name: c.dimName(d, i, len(t.Shape), name)}
			}
		}
		c.graph.Output = append(c.graph.Output, onnx.ValueInfo(name, onnx.Float, info))
	}
	return nil
}

// dimName says height and width of axes that are as long as the image's.
func (c *converter) dimName(d conversion.Dim, axis, axes int, output string) string {
	if axes == 4 && axis >= 2 && d.Merged < 2 && d.Num == d.Den && d.Size == c.image[axis-2] {
		return []string{"height", "width"}[axis-2]
	}
	return fmt.Sprintf("%s_axis%d", output, axis)
}

func (c *converter) finishReport(fixedBecause string) {
	r := c.report
	if v := c.model.Symbol.Version; v > 0 {
		r.MXNetVersion = fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)
	}
	r.Dynamic, r.FixedBecause = c.image != nil, fixedBecause
	r.SizeMultiple = int(c.multiple)
	for _, name := range slices.Sorted(maps.Keys(c.model.Params)) {
		if c.graph.Used[name] {
			r.Parameters += conversion.Product(c.model.Params[name].Shape...)
		} else {
			r.UnusedParameters = append(r.UnusedParameters, name)
		}
	}
}
