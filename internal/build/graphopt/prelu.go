package graphopt

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// rewritePRelu writes one PRelu with constant slopes in another way. ONNX Runtime
// joins a LeakyRelu with the convolution before it; PRelu itself is slow on x86-64
// from version 1.27 on.
//
//	all slopes are a       LeakyRelu(x, a)
//	no slope is above 1    max(x, a x)
//	otherwise              max(x, 0) + a min(x, 0)
//
// All three give the same numbers as PRelu: x itself where x >= 0, else a x. With
// keep set, only the first is done.
func rewritePRelu(keep bool) func(*graph) (bool, error) {
	return func(g *graph) (bool, error) {
		for _, node := range g.Node {
			if !is(node, "PRelu") {
				continue
			}
			slopes, ok := g.floats(node.Input[1])
			if !ok || len(slopes) == 0 {
				continue
			}
			lowest, highest := slices.Min(slopes), slices.Max(slopes)
			if keep && lowest != highest {
				continue
			}
			x, name := node.Input[0], node.GetName()
			value := func(what string) string { return g.unique(name + "/" + what) }
			binary := func(operator string, a, b, out string) *onnxpb.NodeProto {
				return onnx.NewNode(operator, out, []string{a, b}, []string{out}, nil)
			}
			switch {
			case lowest == 0 && highest == 0:
				g.replace(node, onnx.NewNode("Relu", name, []string{x}, node.Output, nil))
			case lowest == highest:
				g.replace(node, onnx.NewNode("LeakyRelu", name, []string{x}, node.Output, onnx.Attributes{"alpha": lowest}))
			case highest <= 1:
				scaled := value("scaled")
				g.replace(node, binary("Mul", x, node.Input[1], scaled), binary("Max", x, scaled, node.Output[0]))
			default:
				zero := g.zero()
				above, below, scaled := value("above"), value("below"), value("scaled")
				g.replace(node,
					onnx.NewNode("Relu", above, []string{x}, []string{above}, nil),
					binary("Min", x, zero, below),
					binary("Mul", below, node.Input[1], scaled),
					binary("Add", above, scaled, node.Output[0]))
			}
			return true, nil
		}
		return false, nil
	}
}

// zero returns the name of a constant 0.
func (g *graph) zero() string {
	const name = "constant/zero"
	if values, ok := g.floats(name); ok && slices.Equal(values, []float32{0}) && len(g.constants[name].Dims) == 0 {
		return name
	}
	return g.constant(onnx.FloatTensor(name, nil, []float32{0}))
}
