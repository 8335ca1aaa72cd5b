package graphopt

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// blocksOfPixels rewrites one transposed convolution whose kernel is its stride:
// each element becomes a block of pixels, and no two blocks overlap.
func blocksOfPixels(g *graph) (bool, error) {
	for _, node := range g.Node {
		if !is(node, "ConvTranspose") || onnx.IntAttribute(node, "group", 1) != 1 {
			continue
		}
		weight := g.constants[node.Input[1]]
		values, ok := g.floats(node.Input[1])
		if !ok || len(weight.Dims) != 4 || weight.Dims[2] != weight.Dims[3] || weight.Dims[2] < 2 || !plainBlocks(node, weight.Dims[2]) {
			continue
		}
		channels, filters, block := int(weight.Dims[0]), int(weight.Dims[1]), int(weight.Dims[2])
		pixels := block * block
		turned := make([]float32, len(values))
		for c := range channels {
			for k := range filters * pixels {
				turned[k*channels+c] = values[c*filters*pixels+k]
			}
		}
		inputs := []string{node.Input[0], g.constant(onnx.FloatTensor(node.GetName()+"/weight", []int64{int64(filters * pixels), int64(channels), 1, 1}, turned))}
		if name := input(node, 2); name != "" {
			bias, ok := g.floats(name)
			if !ok || len(bias) != filters {
				continue
			}
			spread := make([]float32, 0, filters*pixels)
			for _, v := range bias {
				spread = append(spread, slices.Repeat([]float32{v}, pixels)...)
			}
			inputs = append(inputs, g.constant(onnx.FloatTensor(node.GetName()+"/bias", []int64{int64(len(spread))}, spread)))
		}
		blocks := g.unique(node.GetName() + "/blocks")
		g.replace(node,
			onnx.NewNode("Conv", blocks, inputs, []string{blocks}, onnx.Attributes{"kernel_shape": []int64{1, 1}}),
			onnx.NewNode("DepthToSpace", node.GetName(), []string{blocks}, node.Output, onnx.Attributes{"blocksize": block, "mode": "CRD"}))
		return true, nil
	}
	return false, nil
}

// plainBlocks tells whether a transposed convolution moves by its kernel, and
// neither pads nor dilates.
func plainBlocks(node *onnxpb.NodeProto, kernel int64) bool {
	if a := onnx.Attribute(node, "auto_pad"); a != nil && string(a.GetS()) != "NOTSET" || onnx.Attribute(node, "output_shape") != nil {
		return false
	}
	for key, want := range map[string]int64{"strides": kernel, "dilations": 1, "pads": 0, "output_padding": 0} {
		numbers := onnx.Attribute(node, key).GetInts()
		if len(numbers) == 0 && key == "strides" || slices.ContainsFunc(numbers, func(n int64) bool { return n != want }) {
			return false
		}
	}
	return true
}

// blockedChannels is the number of channels of which x86-64's blocked layout holds
// multiples; other joins make it go back to the plain one.
const blockedChannels = 8

// maxPaddedChannels bounds the cost of padding by a convolution.
const maxPaddedChannels = 256

// convolvePadding writes one padding of channels with zeros as a convolution, which
// takes and gives the blocked layout.
func convolvePadding(g *graph) (bool, error) {
	for _, node := range g.Node {
		if !is(node, "Pad") || input(node, 3) != "" {
			continue
		}
		if mode := onnx.Attribute(node, "mode"); mode != nil && string(mode.GetS()) != "constant" {
			continue
		}
		if name := input(node, 2); name != "" {
			if value, ok := g.floats(name); !ok || len(value) != 1 || value[0] != 0 {
				continue
			}
		}
		pads, ok := g.ints(input(node, 1))
		channels := g.channels(node.Input[0])
		if !ok || len(pads) != 8 || channels == 0 || min(pads[1], pads[5]) < 0 || max(channels, pads[1], pads[5]) > maxPaddedChannels {
			continue
		}
		rest := slices.Clone(pads)
		rest[1], rest[5] = 0, 0
		if slices.ContainsFunc(rest, func(n int64) bool { return n != 0 }) {
			continue
		}
		g.replace(node, g.place(node.GetName(), node.Input[0], node.Output[0], channels, pads[1], pads[1]+channels+pads[5], nil))
		return true, nil
	}
	return false, nil
}

// place makes a convolution that puts channels at an offset among all, and zeros in
// the others. With an affine it normalises them on the way.
func (g *graph) place(name, in, out string, channels, offset, all int64, a *affine) *onnxpb.NodeProto {
	weight := make([]float32, all*channels)
	for c := range channels {
		scale := float32(1)
		if a != nil {
			scale = float32(a.scale[c])
		}
		weight[(offset+c)*channels+c] = scale
	}
	inputs := []string{in, g.constant(onnx.FloatTensor(name+"/weight", []int64{all, channels, 1, 1}, weight))}
	if a != nil {
		bias := make([]float32, all)
		for c := range channels {
			bias[offset+c] = float32(a.shift[c])
		}
		inputs = append(inputs, g.constant(onnx.FloatTensor(name+"/bias", []int64{all}, bias)))
	}
	return onnx.NewNode("Conv", name, inputs, []string{out}, onnx.Attributes{"kernel_shape": []int64{1, 1}})
}

// maxPlacedChannels bounds the cost of a join by convolutions, which grows with
// the square of the channels.
const maxPlacedChannels = 64

// convolveJoins writes one join of channels that the blocked layout cannot do as a
// sum of convolutions, each of which leaves the other's channels zero.
func convolveJoins(g *graph) (bool, error) {
	for _, node := range g.Node {
		if !is(node, "Concat") || len(node.Input) < 2 || g.outputs[node.Output[0]] {
			continue
		}
		all := g.joinedChannels(node)
		if all == 0 || all > maxPlacedChannels || !slices.ContainsFunc(node.Input, func(in string) bool { return g.channels(in)%blockedChannels != 0 }) {
			continue
		}
		if !slices.ContainsFunc(node.Input, func(in string) bool { return is(g.producers[in], "Conv") }) {
			continue
		}
		var nodes []*onnxpb.NodeProto
		offset := int64(0)
		sum := ""
		for i, in := range node.Input {
			channels := g.channels(in)
			part := g.widen(node, in, offset, all)
			if part == "" {
				a, from := g.normalised(node, in)
				part = g.unique(node.Output[0] + "/part")
				nodes = append(nodes, g.place(part, from, part, channels, offset, all, a))
			}
			offset += channels
			if i == 0 {
				sum = part
				continue
			}
			out := node.Output[0]
			if i+1 < len(node.Input) {
				out = g.unique(out + "/sum")
			}
			nodes = append(nodes, onnx.NewNode("Add", out, []string{sum, part}, []string{out}, nil))
			sum = out
		}
		g.replace(node, nodes...)
		return true, nil
	}
	return false, nil
}

// widen gives the convolution that makes in, for node only, filters of zeros around
// its own, and returns its output; "" where there is none.
func (g *graph) widen(node *onnxpb.NodeProto, in string, offset, all int64) string {
	convolution := g.producers[in]
	if !is(convolution, "Conv") || g.only(in) != node || onnx.IntAttribute(convolution, "group", 1) != 1 {
		return ""
	}
	weight := g.constants[convolution.Input[1]]
	values, ok := g.floats(convolution.Input[1])
	if !ok || len(weight.Dims) != 4 || len(values) == 0 {
		return ""
	}
	filters := weight.Dims[0]
	size := int64(len(values)) / filters
	wide := make([]float32, all*size)
	copy(wide[offset*size:], values)
	inputs := []string{convolution.Input[0], g.constant(onnx.FloatTensor(convolution.GetName()+"/wide", slices.Concat([]int64{all}, weight.Dims[1:]), wide))}
	if name := input(convolution, 2); name != "" {
		bias, ok := g.floats(name)
		if !ok {
			return ""
		}
		wideBias := make([]float32, all)
		copy(wideBias[offset:], bias)
		inputs = append(inputs, g.constant(onnx.FloatTensor(convolution.GetName()+"/wide_bias", []int64{all}, wideBias)))
	}
	convolution.Input = inputs
	return in
}

// normalised returns the normalisation that makes in, for node only, and what goes
// into it; nil and in where there is none.
func (g *graph) normalised(node *onnxpb.NodeProto, in string) (*affine, string) {
	producer := g.producers[in]
	if g.only(in) != node {
		return nil, in
	}
	if a, ok := g.batchNorm(producer); ok {
		return &a, producer.Input[0]
	}
	return nil, in
}
