package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// MinOpset is the oldest version of the operators that Check lets pass; ONNX
// Runtime promises nothing for older ones.
const MinOpset = 7

// maxGraphDepth bounds graphs inside of attributes of nodes (If, Loop).
const maxGraphDepth = 8

// Check checks what a model must have for ONNX Runtime to read it: versions,
// names that are unique and defined before use, tensors that have the values that
// their dimensions need, attributes of one type, and, of the operators that this
// project knows, the number of inputs and outputs. It does not compare shapes:
// ONNX Runtime does when it loads the model.
//
// An error wraps ErrModel.
func Check(model *onnxpb.ModelProto) error {
	if err := check(model); err != nil {
		return fmt.Errorf("%w: %w", ErrModel, err)
	}
	return nil
}

func check(model *onnxpb.ModelProto) error {
	if model.GetIrVersion() < 3 {
		return fmt.Errorf("ir_version is %d and must be 3 or later", model.GetIrVersion())
	}
	domains := make(map[string]bool)
	for _, set := range model.OpsetImport {
		domain := set.GetDomain()
		if isDefaultDomain(domain) {
			domain = ""
		}
		if domains[domain] {
			return fmt.Errorf("opset_import names the domain %q twice", domain)
		}
		domains[domain] = true
	}
	if version := OpsetVersion(model); version < MinOpset {
		return fmt.Errorf("the model uses version %d of the ONNX operators and must use %d or later; export it again with a newer opset", version, MinOpset)
	}
	if model.Graph == nil {
		return errors.New("there is no graph")
	}
	if len(model.Graph.Output) == 0 {
		return errors.New("the graph has no output")
	}
	return (&checker{domains: domains}).graph(model.Graph, make(map[string]bool), 0)
}

type checker struct {
	domains map[string]bool
}

// graph checks a graph. The names in outer are those of the graphs around it.
func (c *checker) graph(graph *onnxpb.GraphProto, outer map[string]bool, depth int) error {
	if depth > maxGraphDepth {
		return fmt.Errorf("graphs are nested deeper than %d", maxGraphDepth)
	}
	if len(graph.SparseInitializer) > 0 {
		return errors.New("sparse initializers are not supported; store them dense")
	}
	defined := maps.Clone(outer)
	own := make(map[string]bool)
	define := func(name, what string) error {
		if own[name] {
			return fmt.Errorf("%s %q: the name is used before", what, name)
		}
		own[name], defined[name] = true, true
		return nil
	}
	for _, in := range graph.Input {
		if in.GetName() == "" {
			return errors.New("an input of the graph has no name")
		}
		if err := define(in.GetName(), "input"); err != nil {
			return err
		}
		if err := checkValueInfo(in, depth); err != nil {
			return fmt.Errorf("input %q: %w", in.GetName(), err)
		}
	}
	initializers := make(map[string]bool)
	for _, t := range graph.Initializer {
		name := t.GetName()
		if name == "" || initializers[name] {
			return fmt.Errorf("initializer %q: the name is empty or used before", name)
		}
		initializers[name] = true
		own[name], defined[name] = true, true // may give an input its default
		if err := checkTensor(t); err != nil {
			return err
		}
	}
	for i, node := range graph.Node {
		if err := c.node(node, defined, depth); err != nil {
			return fmt.Errorf("node %d, %s %q: %w", i, node.GetOpType(), node.GetName(), err)
		}
		for _, out := range node.Output {
			if out == "" {
				continue
			}
			if err := define(out, "output"); err != nil {
				return fmt.Errorf("node %d, %s %q: %w", i, node.GetOpType(), node.GetName(), err)
			}
		}
	}
	outputs := make(map[string]bool)
	for _, out := range graph.Output {
		name := out.GetName()
		switch {
		case !defined[name]:
			return fmt.Errorf("output %q of the graph is made by no node", name)
		case outputs[name]:
			return fmt.Errorf("output %q of the graph is listed twice", name)
		}
		outputs[name] = true
		if err := checkValueInfo(out, depth); err != nil {
			return fmt.Errorf("output %q: %w", name, err)
		}
	}
	return nil
}

// checkValueInfo requires a type of the main graph's inputs and outputs only.
func checkValueInfo(info *onnxpb.ValueInfoProto, depth int) error {
	if depth > 0 {
		return nil
	}
	tensor := info.GetType().GetTensorType()
	if tensor == nil || tensor.GetElemType() == 0 {
		return errors.New("must be a tensor with an element type")
	}
	for _, d := range tensor.GetShape().GetDim() {
		if d.GetDimValue() < 0 {
			return fmt.Errorf("has the dimension %d", d.GetDimValue())
		}
	}
	return nil
}

func (c *checker) node(node *onnxpb.NodeProto, defined map[string]bool, depth int) error {
	domain := node.GetDomain()
	if isDefaultDomain(domain) {
		domain = ""
	}
	if node.GetOpType() == "" {
		return errors.New("has no operator")
	}
	if !c.domains[domain] {
		return fmt.Errorf("the domain %q of its operator is not in opset_import", domain)
	}
	for _, in := range node.Input {
		if in != "" && !defined[in] {
			return fmt.Errorf("input %q is not defined before it", in)
		}
	}
	if domain == "" {
		if err := checkArity(node); err != nil {
			return err
		}
	}
	seen := make(map[string]bool)
	for _, a := range node.Attribute {
		if a.GetName() == "" || seen[a.GetName()] {
			return fmt.Errorf("attribute %q: the name is empty or used before", a.GetName())
		}
		seen[a.GetName()] = true
		if err := c.attribute(a, defined, depth); err != nil {
			return fmt.Errorf("attribute %q: %w", a.GetName(), err)
		}
	}
	return nil
}

func (c *checker) attribute(a *onnxpb.AttributeProto, defined map[string]bool, depth int) error {
	if a.GetType() == onnxpb.AttributeProto_UNDEFINED {
		return errors.New("has no type")
	}
	if a.T != nil {
		if err := checkTensor(a.T); err != nil {
			return err
		}
	}
	for _, t := range a.Tensors {
		if err := checkTensor(t); err != nil {
			return err
		}
	}
	graphs := a.Graphs
	if a.G != nil {
		graphs = append(slices.Clone(graphs), a.G)
	}
	for _, g := range graphs {
		if err := c.graph(g, defined, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func checkArity(node *onnxpb.NodeProto) error {
	want, ok := arities[node.GetOpType()]
	if !ok {
		return nil
	}
	if n := len(node.Input); n < want.minInputs || n > want.maxInputs {
		return fmt.Errorf("has %d inputs and must have %d to %d", n, want.minInputs, want.maxInputs)
	}
	for i := range want.minInputs {
		if node.Input[i] == "" {
			return fmt.Errorf("input %d is left out and must not be", i)
		}
	}
	if n := len(node.Output); n < 1 || n > want.maxOutputs {
		return fmt.Errorf("has %d outputs and must have 1 to %d", n, want.maxOutputs)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
