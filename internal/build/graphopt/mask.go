package graphopt

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// MaskName is the name of the output of a graph that decides.
const MaskName = "mask"

// scores returns the graph's output of scores, nil where it gives something else.
func (g *graph) scores() *onnxpb.ValueInfoProto {
	if len(g.Output) != 1 || g.Output[0].GetType().GetTensorType().GetElemType() != onnx.Float || len(onnx.Dims(g.Output[0])) != 4 {
		return nil
	}
	return g.Output[0]
}

// dropSoftmax takes out the softmax over the channels at the end. Where it rounds
// two scores to the same number, the class was not the larger one's but the
// first's; now it is the larger one's.
func dropSoftmax(g *graph) (bool, error) {
	out := g.scores()
	if out == nil {
		return false, nil
	}
	last := g.producers[out.GetName()]
	if !is(last, "Softmax", "LogSoftmax") {
		return false, nil
	}
	if axis := onnx.IntAttribute(last, "axis", -1); axis != 1 && axis != -3 {
		return false, nil
	}
	return g.bypass(last, last.Input[0]), nil
}

// decideClasses lets the graph give the class with the largest score, of equal
// ones the first. Comparing one class after the other takes a tenth of the time
// of ArgMax.
func decideClasses(g *graph) (bool, error) {
	out := g.scores()
	if out == nil {
		return false, nil
	}
	dims := onnx.Dims(out)
	classes := dims[1].Size
	if classes < 2 || classes > 256 {
		return false, fmt.Errorf("the output %q must have 2 to 256 channels, and has %d (0: it does not say)", out.GetName(), classes)
	}
	scores := out.GetName()
	d := &decision{g: g}
	// Blocks of pixels are still channels here: one of each class for each pixel of
	// a block. The mask, which is smaller, is what gets spread.
	blocks := g.producers[scores]
	var blockSize int64
	if is(blocks, "DepthToSpace") && string(onnx.Attribute(blocks, "mode").GetS()) == "CRD" {
		blockSize = onnx.IntAttribute(blocks, "blocksize", 1)
		scores = blocks.Input[0]
	}
	mask := d.decide(scores, classes, max(1, blockSize*blockSize))
	if blockSize > 0 {
		mask = d.add("DepthToSpace", onnx.Attributes{"blocksize": blockSize, "mode": "DCR"}, mask)
	}
	name := g.unique(MaskName)
	axes := g.constant(onnx.IntTensor("mask/axes", []int64{1}, []int64{1}))
	d.nodes = append(d.nodes, onnx.NewNode("Squeeze", name, []string{mask, axes}, []string{name}, nil))
	g.Node = append(g.Node, d.nodes...)
	g.Output[0] = onnx.ValueInfo(name, onnx.Uint8, []onnx.Dim{dims[0], dims[2], dims[3]})
	return true, nil
}

// decision builds the nodes of a class decision.
type decision struct {
	g     *graph
	nodes []*onnxpb.NodeProto
}

func (d *decision) add(operator string, attributes onnx.Attributes, inputs ...string) string {
	name := d.g.unique("mask/" + operator)
	d.nodes = append(d.nodes, onnx.NewNode(operator, name, inputs, []string{name}, attributes))
	return name
}

// decide compares classes of width channels each, and returns the classes' numbers
// in that many channels.
func (d *decision) decide(scores string, classes, width int64) string {
	parts := make([]string, classes)
	widths := make([]int64, classes)
	for i := range parts {
		parts[i], widths[i] = d.g.unique(fmt.Sprint("mask/class", i)), width
	}
	lengths := d.g.constant(onnx.IntTensor("mask/widths", []int64{classes}, widths))
	d.nodes = append(d.nodes, onnx.NewNode("Split", d.g.unique("mask/Split"), []string{scores, lengths}, parts, onnx.Attributes{"axis": 1}))
	best := parts[0]
	var mask string
	for i := int64(1); i < classes; i++ {
		larger := d.add("Greater", nil, parts[i], best)
		if i == 1 {
			mask = d.add("Cast", onnx.Attributes{"to": int64(onnx.Uint8)}, larger)
		} else {
			number := d.g.constant(onnx.ByteTensor(fmt.Sprint("mask/number", i), nil, []uint8{uint8(i)}))
			mask = d.add("Where", nil, larger, number, mask)
		}
		if i+1 < classes {
			best = d.add("Max", nil, best, parts[i])
		}
	}
	return mask
}

// takeBytes lets the graph take bytes: it makes real numbers of them, and of those
// what the network was trained with.
func takeBytes(scale, offset float32) func(*graph) (bool, error) {
	return func(g *graph) (bool, error) {
		if len(g.Input) == 0 || g.Input[0].GetType().GetTensorType().GetElemType() != onnx.Float {
			return false, nil
		}
		in := g.Input[0]
		if dims := onnx.Dims(in); len(dims) != 4 || dims[1].Size != 1 {
			return false, fmt.Errorf("the input %q must have the shape N x 1 x height x width", in.GetName())
		}
		users := g.consumers[in.GetName()]
		value := in.GetName()
		var nodes []*onnxpb.NodeProto
		then := func(operator string, attributes onnx.Attributes, more ...string) {
			name := g.unique(in.GetName() + "/" + operator)
			nodes = append(nodes, onnx.NewNode(operator, name, append([]string{value}, more...), []string{name}, attributes))
			value = name
		}
		then("Cast", onnx.Attributes{"to": int64(onnx.Float)})
		if scale != 0 && scale != 1 {
			then("Mul", nil, g.constant(onnx.FloatTensor("normalisation/scale", nil, []float32{scale})))
		}
		if offset != 0 {
			then("Add", nil, g.constant(onnx.FloatTensor("normalisation/offset", nil, []float32{offset})))
		}
		for _, user := range users {
			for i, name := range user.Input {
				if name == in.GetName() {
					user.Input[i] = value
				}
			}
		}
		in.Type.GetTensorType().ElemType = proto.Int32(onnx.Uint8)
		g.Node = append(nodes, g.Node...)
		return true, nil
	}
}
