package graphopt

import (
	"fmt"
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// affine is a normalisation at inference: value * scale + shift, by channel.
type affine struct{ scale, shift []float64 }

// batchNorm returns what a normalisation does, where its statistics are constant.
func (g *graph) batchNorm(node *onnxpb.NodeProto) (affine, bool) {
	if !is(node, "BatchNormalization") || len(node.Output) != 1 || onnx.IntAttribute(node, "training_mode", 0) != 0 {
		return affine{}, false
	}
	parameters, ok := g.statistics(node)
	if !ok {
		return affine{}, false
	}
	epsilon := float64(onnx.FloatAttribute(node, "epsilon", 1e-5))
	a := affine{}
	for c := range parameters[0] {
		scale := float64(parameters[0][c]) / math.Sqrt(float64(parameters[3][c])+epsilon)
		a.scale = append(a.scale, scale)
		a.shift = append(a.shift, float64(parameters[1][c])-float64(parameters[2][c])*scale)
	}
	return a, true
}

// statistics returns scale, bias, mean and variance, if all are constant.
func (g *graph) statistics(node *onnxpb.NodeProto) (parameters [4][]float32, ok bool) {
	for i := range parameters {
		parameters[i], ok = g.floats(node.Input[1+i])
		if n := len(parameters[i]); !ok || n == 0 || n != len(parameters[0]) {
			return parameters, false
		}
	}
	return parameters, true
}

// foldBatchNorm puts one normalisation into the convolution before it, where
// nothing else uses what that gives.
func foldBatchNorm(g *graph) (bool, error) {
	for _, node := range g.Node {
		a, ok := g.batchNorm(node)
		if !ok {
			continue
		}
		convolution := g.producers[node.Input[0]]
		if !is(convolution, "Conv", "ConvTranspose") || g.only(convolution.Output[0]) != node {
			continue
		}
		weight := g.constants[convolution.Input[1]]
		values, ok := g.floats(convolution.Input[1])
		if !ok || len(weight.Dims) < 3 {
			continue
		}
		bias := make([]float32, len(a.scale))
		if name := input(convolution, 2); name != "" {
			if bias, ok = g.floats(name); !ok {
				continue
			}
		}
		if !scaleFilters(convolution, weight.Dims, values, a.scale) || len(bias) != len(a.scale) {
			return false, fmt.Errorf("node %q has %d channels, and the convolution before it another number", node.GetName(), len(a.scale))
		}
		for c := range bias {
			bias[c] = float32(float64(bias[c])*a.scale[c] + a.shift[c])
		}
		convolution.Input = []string{
			convolution.Input[0],
			g.constant(onnx.FloatTensor(convolution.GetName()+"/weight", weight.Dims, values)),
			g.constant(onnx.FloatTensor(convolution.GetName()+"/bias", []int64{int64(len(bias))}, bias)),
		}
		convolution.Output = node.Output
		g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return n == node })
		return true, nil
	}
	return false, nil
}

// scaleFilters multiplies the weights of each filter. Those of a convolution are
// filters x channels x kernel, of a transposed one channels x filters x kernel, by
// groups.
func scaleFilters(node *onnxpb.NodeProto, dims []int64, values []float32, scale []float64) bool {
	kernel := 1
	for _, n := range dims[2:] {
		kernel *= int(n)
	}
	rows, columns := int(dims[0]), int(dims[1])
	groups := int(onnx.IntAttribute(node, "group", 1))
	transposed := is(node, "ConvTranspose")
	filters := rows
	if transposed {
		filters = columns * groups
	}
	if filters != len(scale) || groups < 1 || rows%groups != 0 {
		return false
	}
	for i := range values {
		row, column := i/(columns*kernel), i/kernel%columns
		filter := row
		if transposed {
			filter = row/(rows/groups)*columns + column
		}
		values[i] = float32(float64(values[i]) * scale[filter])
	}
	return true
}

// splitBatchNorm moves one normalisation of joined channels before the join, where
// that lets a convolution take it up.
func splitBatchNorm(g *graph) (bool, error) {
	for _, node := range g.Node {
		if !is(node, "BatchNormalization") || len(node.Output) != 1 {
			continue
		}
		join := g.producers[node.Input[0]]
		if !is(join, "Concat") || g.only(join.Output[0]) != node || g.joinedChannels(join) == 0 {
			continue
		}
		if !slices.ContainsFunc(join.Input, func(in string) bool { return is(g.producers[in], "Conv", "ConvTranspose") && g.only(in) == join }) {
			continue
		}
		parameters, ok := g.statistics(node)
		if !ok || int64(len(parameters[0])) != g.joinedChannels(join) {
			continue
		}
		var nodes []*onnxpb.NodeProto
		var joined []string
		at := int64(0)
		for i, in := range join.Input {
			n := g.channels(in)
			inputs := []string{in}
			for k, what := range []string{"scale", "bias", "mean", "variance"} {
				inputs = append(inputs, g.constant(onnx.FloatTensor(fmt.Sprint(node.GetName(), "/", what, i), []int64{n}, parameters[k][at:at+n])))
			}
			at += n
			part := onnx.NewNode("BatchNormalization", fmt.Sprint(node.GetName(), "/", i), inputs, []string{g.unique(fmt.Sprint(node.Output[0], "/", i))}, nil)
			part.Attribute = node.Attribute
			nodes, joined = append(nodes, part), append(joined, part.Output[0])
		}
		concat := onnx.NewNode("Concat", join.GetName(), joined, node.Output, onnx.Attributes{"axis": 1})
		g.replace(node, append(nodes, concat)...)
		g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return n == join })
		return true, nil
	}
	return false, nil
}
