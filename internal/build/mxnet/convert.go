package mxnet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// Options are the settings of ToONNX. The zero value is ready to use.
type Options struct {
	// Shapes of the inputs by name. Default: those in the model's shapes file.
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

// Report says what ToONNX has done.
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

// ToONNX converts the model. An error that wraps ErrUnsupported or ErrModel names
// the operator and the node.
func (m *Model) ToONNX(opts Options) (*onnxpb.ModelProto, *Report, error) {
	if opts.Batch <= 0 {
		opts.Batch = 1
	}
	if opts.Shapes == nil {
		opts.Shapes = m.Shapes
	}
	for name, shape := range opts.Shapes {
		if err := checkInputShape(shape); err != nil {
			return nil, nil, fmt.Errorf("%w: input %q: %w", ErrModel, name, err)
		}
	}
	c, err := m.convert(opts, !opts.FixedSize)
	reason := ""
	if dynamic := new(errFixed); errors.As(err, &dynamic) {
		reason = err.Error()
		c, err = m.convert(opts, false)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("convert the MXNet model: %w", err)
	}
	model := onnx.NewModel(c.graph, "brainseg model-build", opts.Version)
	if err := onnx.Check(model); err != nil {
		return nil, nil, fmt.Errorf("convert the MXNet model: %w", err)
	}
	c.finishReport(reason)
	return model, c.report, nil
}

// converter makes one ONNX graph of a symbol.
type converter struct {
	model   *Model
	opts    Options
	dynamic bool
	report  *Report
	graph   *onnxpb.GraphProto

	names     map[string]bool   // of everything in the graph
	constants map[string]tensor // shared ones
	used      map[string]bool   // parameters that were read
	stored    map[string]bool   // parameters that are in the graph
	image     []int64           // height and width of the first image input
	multiple  int64
}

func (m *Model) convert(opts Options, dynamic bool) (*converter, error) {
	c := &converter{
		model: m, opts: opts, dynamic: dynamic,
		report:    &Report{Operators: make(map[string]int), Dynamic: dynamic},
		graph:     new(onnxpb.GraphProto),
		names:     make(map[string]bool),
		constants: make(map[string]tensor),
		used:      make(map[string]bool),
		stored:    make(map[string]bool),
		multiple:  1,
	}
	name := "mxnet"
	c.graph.Name = &name
	heads, err := c.heads()
	if err != nil {
		return nil, err
	}
	wanted := m.Symbol.reachable(heads)
	// Variables first: what the nodes make must not take their names.
	values := make([][]tensor, len(m.Symbol.Nodes))
	for i, node := range m.Symbol.Nodes {
		if wanted[i] && node.Op == variable {
			value, err := c.variable(&node)
			if err != nil {
				return nil, err
			}
			values[i] = []tensor{value}
		}
	}
	for i := range m.Symbol.Nodes {
		node := m.Symbol.Nodes[i]
		if !wanted[i] || node.Op == variable {
			continue
		}
		if node.Name == "" {
			node.Name = fmt.Sprint(strings.ToLower(node.Op), i)
		}
		if values[i], err = c.node(&node, values); err != nil {
			return nil, fmt.Errorf("operator %s, node %q: %w", node.Op, node.Name, err)
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
func (c *converter) heads() ([]Edge, error) {
	symbol := c.model.Symbol
	var kept []Edge
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
		found := slices.IndexFunc(symbol.Heads, func(head Edge) bool {
			node := symbol.Nodes[head.Node].Name
			return name == node || name == node+"_output" || name == fmt.Sprint(node, "_output", head.Output)
		})
		if found < 0 {
			var names []string
			for _, head := range symbol.Heads {
				names = append(names, symbol.Nodes[head.Node].Name)
			}
			return nil, fmt.Errorf("%w: it has no output %q, but %s", ErrModel, name, strings.Join(names, ", "))
		}
		kept = append(kept, symbol.Heads[found])
	}
	return kept, nil
}

func (c *converter) drop(node *Node) {
	c.report.Dropped = append(c.report.Dropped, fmt.Sprintf("%s (%s)", node.Name, node.Op))
}

// reachable tells which nodes the heads need.
func (s *Symbol) reachable(heads []Edge) []bool {
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
func (c *converter) variable(node *Node) (tensor, error) {
	if c.names[node.Name] || node.Name == "" {
		return tensor{}, fmt.Errorf("%w: two variables are called %q, or one has no name", ErrModel, node.Name)
	}
	c.names[node.Name] = true
	t := tensor{name: node.Name}
	if array := c.model.Params[node.Name]; array != nil {
		if array.data == nil {
			return t, fmt.Errorf("%w: the parameter %q has no values", ErrModel, node.Name)
		}
		t.array, t.shape = array, fixedDims(array.Shape...)
		return t, nil
	}
	shape, ok := c.opts.Shapes[node.Name]
	if !ok {
		t.missing = true
		return t, nil
	}
	t.shape = fixedDims(shape...)
	if len(shape) > 1 {
		t.shape[0] = fixed(c.opts.Batch)
	}
	info := make([]onnx.Dim, len(shape))
	for i, d := range t.shape {
		info[i] = onnx.Dim{Size: d.size}
	}
	if len(shape) == 4 && c.dynamic {
		if c.image == nil {
			c.image = shape[2:]
		}
		if slices.Equal(c.image, shape[2:]) {
			t.shape[2].dynamic, t.shape[3].dynamic = true, true
			info[2], info[3] = onnx.Dim{Name: "height"}, onnx.Dim{Name: "width"}
		}
	}
	c.graph.Input = append(c.graph.Input, onnx.ValueInfo(t.name, onnx.Float, info))
	return t, nil
}

// node converts one node and returns its outputs.
func (c *converter) node(node *Node, values [][]tensor) ([]tensor, error) {
	operator, ok := operators[node.Op]
	if !ok {
		return nil, fmt.Errorf("%w: there is no conversion of this operator", ErrUnsupported)
	}
	x := &call{attributes: newAttributes(node.Attrs), c: c, node: node}
	for _, in := range node.Inputs {
		outputs := values[in.Node]
		if in.Output >= len(outputs) {
			return nil, fmt.Errorf("%w: it uses output %d of node %q, which only training has", ErrUnsupported, in.Output, c.model.Symbol.Nodes[in.Node].Name)
		}
		x.in = append(x.in, outputs[in.Output])
	}
	if n := len(x.in); n < operator.min || n > operator.max {
		return nil, fmt.Errorf("%w: it has %d inputs and must have %d to %d", ErrModel, n, operator.min, operator.max)
	}
	first := len(c.graph.Node)
	outputs := operator.convert(x)
	x.rest()
	if x.err != nil {
		return nil, x.err
	}
	for i, out := range outputs {
		if len(out.shape) > maxAxes || product(sizes(out.shape)...) > 1<<40 {
			return nil, fmt.Errorf("%w: its output of shape %v is too large", ErrModel, sizes(out.shape))
		}
		for _, d := range out.shape {
			if d.size < 1 {
				return nil, fmt.Errorf("%w: its output has the shape %v", ErrModel, sizes(out.shape))
			}
			if d.dynamic {
				c.multiple = d.den / gcd(c.multiple, d.den) * c.multiple
			}
		}
		name := node.Name + "_output"
		if len(outputs) > 1 {
			name = fmt.Sprint(name, i)
		}
		if name = c.unique(name); c.rename(first, out.name, name) {
			outputs[i].name = name
		} else {
			delete(c.names, name)
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
func (c *converter) outputs(heads []Edge, values [][]tensor) error {
	inputs := make(map[string]bool)
	for _, in := range c.graph.Input {
		inputs[in.GetName()] = true
	}
	taken := make(map[string]bool)
	for _, head := range heads {
		node := c.model.Symbol.Nodes[head.Node]
		if head.Output >= len(values[head.Node]) {
			return fmt.Errorf("%w: output %d of node %q is of use in training only", ErrUnsupported, head.Output, node.Name)
		}
		t := values[head.Node][head.Output]
		if t.missing {
			return fmt.Errorf("%w: the output %q is an input without a shape", ErrModel, t.name)
		}
		name := node.Name
		if node.Op != variable {
			name += "_output"
			if len(values[head.Node]) > 1 {
				name = fmt.Sprint(name, head.Output)
			}
		}
		if t.name != name || inputs[name] || t.array != nil || taken[name] {
			name = c.unique(name)
			// A head that is an identity gives its name to what it is of.
			if t.array != nil || inputs[t.name] || taken[t.name] || !c.rename(0, t.name, name) {
				identity := &call{attributes: newAttributes(nil), c: c, node: &Node{Name: name}}
				out := identity.add("Identity", nil, t.shape, t)
				c.rename(len(c.graph.Node)-1, out.name, name)
			} else {
				delete(c.names, t.name)
				for _, outputs := range values {
					for i := range outputs {
						if outputs[i].name == t.name {
							outputs[i].name = name
						}
					}
				}
			}
		}
		taken[name] = true
		info := make([]onnx.Dim, len(t.shape))
		for i, d := range t.shape {
			info[i] = onnx.Dim{Size: d.size}
			if d.dynamic {
				info[i] = onnx.Dim{Name: c.dimName(d, i, len(t.shape), name)}
			}
		}
		c.graph.Output = append(c.graph.Output, onnx.ValueInfo(name, onnx.Float, info))
	}
	return nil
}

// dimName says height and width of axes that are as long as the image's.
func (c *converter) dimName(d dim, axis, axes int, output string) string {
	if axes == 4 && axis >= 2 && d.merged < 2 && d.num == d.den && d.size == c.image[axis-2] {
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
		if c.used[name] {
			r.Parameters += product(c.model.Params[name].Shape...)
		} else {
			r.UnusedParameters = append(r.UnusedParameters, name)
		}
	}
}
