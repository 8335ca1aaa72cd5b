package graphopt

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// dropIdentity takes out one node that passes its input on.
func dropIdentity(g *graph) (bool, error) {
	for _, node := range g.Node {
		if g.passesOn(node) && g.bypass(node, node.Input[0]) {
			return true, nil
		}
	}
	return false, nil
}

func (g *graph) passesOn(node *onnxpb.NodeProto) bool {
	switch {
	case is(node, "Identity"):
		return true
	case is(node, "Dropout"):
		// Without its third input it is not in training; a mask may be asked for.
		return input(node, 2) == "" && (len(node.Output) == 1 || len(g.consumers[node.Output[1]]) == 0 && !g.outputs[node.Output[1]])
	case is(node, "Concat", "Sum", "Max", "Min"):
		return len(node.Input) == 1
	case is(node, "Transpose"):
		order := onnx.Attribute(node, "perm").GetInts()
		return len(order) > 0 && slices.IsSorted(order)
	case is(node, "Pad"):
		pads, ok := g.ints(input(node, 1))
		return ok && !slices.ContainsFunc(pads, func(n int64) bool { return n != 0 })
	}
	return false
}

// joinTransposes finds a transposition and its inverse with nothing or a padding
// between them. Graphs from MXNet have them, where padding works on the last axes
// only.
func joinTransposes(g *graph) (bool, error) {
	for _, last := range g.Node {
		if !is(last, "Transpose") {
			continue
		}
		middle := g.producers[last.Input[0]]
		first := middle
		if is(middle, "Pad") {
			if g.only(middle.Output[0]) != last {
				continue
			}
			first = g.producers[middle.Input[0]]
		}
		if !is(first, "Transpose") {
			continue
		}
		before, after := onnx.Attribute(first, "perm").GetInts(), onnx.Attribute(last, "perm").GetInts()
		if !inverse(before, after) {
			continue
		}
		if first == middle {
			if g.bypass(last, first.Input[0]) {
				return true, nil
			}
			continue
		}
		pads, ok := g.ints(input(middle, 1))
		if !ok || len(pads) != 2*len(before) || input(middle, 3) != "" {
			continue
		}
		moved := make([]int64, len(pads))
		for to, from := range before { // axis from of the image is axis to of the padding's input
			moved[from], moved[len(before)+int(from)] = pads[to], pads[len(before)+to]
		}
		inputs := slices.Clone(middle.Input)
		inputs[0] = first.Input[0]
		inputs[1] = g.constant(onnx.IntTensor(middle.GetName()+"/pads", []int64{int64(len(moved))}, moved))
		pad := onnx.NewNode("Pad", middle.GetName(), inputs, last.Output, nil)
		pad.Attribute = middle.Attribute
		g.replace(last, pad)
		g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return n == middle })
		return true, nil
	}
	return false, nil
}

func inverse(a, b []int64) bool {
	if len(a) == 0 || len(a) != len(b) {
		return false
	}
	for i, to := range b {
		if to < 0 || to >= int64(len(a)) || a[to] != int64(i) {
			return false
		}
	}
	return true
}
