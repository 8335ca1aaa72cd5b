package graphopt

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// convolvePRelu writes one PRelu with a slope for each channel as convolutions of
// each channel by itself, which take and give the blocked layout; PRelu and maximum
// do not, and getting out of that layout and back costs more than they do.
//
//	no slope is above 1    x + max((a - 1) x, 0)
//	otherwise              x + sign(1 - a) max(-|1 - a| x, 0)
//
// ONNX Runtime joins the maximum with the convolution, and the sum where it can.
// Both are x itself where x >= 0, and else a x but for the last bits.
func convolvePRelu(g *graph) (bool, error) {
	for _, node := range g.Node {
		if !is(node, "PRelu") {
			continue
		}
		slopes, ok := g.floats(node.Input[1])
		channels := g.channels(node.Input[0])
		if !ok || channels == 0 || channels%widestBlock != 0 || int64(len(slopes)) != channels || slices.Min(slopes) == slices.Max(slopes) {
			continue
		}
		if dims := g.constants[node.Input[1]].Dims; len(dims) != 3 || dims[0] != channels {
			continue
		}
		factors, signs := make([]float32, len(slopes)), make([]float32, len(slopes))
		for c, a := range slopes {
			factors[c], signs[c] = a-1, 1
			if a > 1 {
				factors[c], signs[c] = 1-a, -1
			}
		}
		x, name := node.Input[0], node.GetName()
		value := func(what string) string { return g.unique(name + "/" + what) }
		scaled, below := value("scaled"), value("below")
		nodes := []*onnxpb.NodeProto{
			g.byChannel(name+"/factors", x, scaled, factors),
			onnx.NewNode("Relu", below, []string{scaled}, []string{below}, nil),
		}
		if slices.Contains(signs, -1) {
			signed := value("signed")
			nodes = append(nodes, g.byChannel(name+"/signs", below, signed, signs))
			below = signed
		}
		g.replace(node, append(nodes, onnx.NewNode("Add", name, []string{x, below}, node.Output, nil))...)
		return true, nil
	}
	return false, nil
}

// widestBlock is the number of channels in a block on processors with AVX-512; on
// those with AVX2 it is half of it.
const widestBlock = 16

// byChannel makes a convolution that multiplies each channel by a number.
func (g *graph) byChannel(name, in, out string, factors []float32) *onnxpb.NodeProto {
	n := int64(len(factors))
	weight := g.constant(onnx.FloatTensor(name, []int64{n, 1, 1, 1}, factors))
	return onnx.NewNode("Conv", out, []string{in, weight}, []string{out}, onnx.Attributes{"kernel_shape": []int64{1, 1}, "group": n})
}
