package onnx

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// Attributes are the attributes of a node. A value is an int, int64, float32,
// string, []int64 or []float32.
type Attributes map[string]any

// NewNode makes a node of ONNX's own operators. An input "" is one left out.
func NewNode(operator, name string, inputs, outputs []string, attributes Attributes) *onnxpb.NodeProto {
	node := &onnxpb.NodeProto{OpType: proto.String(operator), Name: proto.String(name), Input: inputs, Output: outputs}
	for _, key := range sortedKeys(attributes) {
		SetAttribute(node, key, attributes[key])
	}
	return node
}

// SetAttribute sets or replaces an attribute. A value of a type that Attributes
// does not list is a mistake of the caller's, and panics.
func SetAttribute(node *onnxpb.NodeProto, key string, value any) {
	a := &onnxpb.AttributeProto{Name: proto.String(key)}
	kind := onnxpb.AttributeProto_INT
	switch v := value.(type) {
	case int:
		a.I = proto.Int64(int64(v))
	case int64:
		a.I = proto.Int64(v)
	case float32:
		a.F, kind = proto.Float32(v), onnxpb.AttributeProto_FLOAT
	case string:
		a.S, kind = []byte(v), onnxpb.AttributeProto_STRING
	case []int64:
		a.Ints, kind = v, onnxpb.AttributeProto_INTS
	case []float32:
		a.Floats, kind = v, onnxpb.AttributeProto_FLOATS
	default:
		panic(fmt.Sprintf("attribute %s of type %T", key, value))
	}
	a.Type = kind.Enum()
	for i, old := range node.Attribute {
		if old.GetName() == key {
			node.Attribute[i] = a
			return
		}
	}
	node.Attribute = append(node.Attribute, a)
}

// Attribute returns the node's attribute of that name, nil where it has none. The
// getters of a nil attribute give zero values.
func Attribute(node *onnxpb.NodeProto, key string) *onnxpb.AttributeProto {
	for _, a := range node.Attribute {
		if a.GetName() == key {
			return a
		}
	}
	return nil
}

// IntAttribute returns an integer attribute, or otherwise where the node has none
// of that name.
func IntAttribute(node *onnxpb.NodeProto, key string, otherwise int64) int64 {
	if a := Attribute(node, key); a != nil {
		return a.GetI()
	}
	return otherwise
}

// FloatAttribute is IntAttribute for float32.
func FloatAttribute(node *onnxpb.NodeProto, key string, otherwise float32) float32 {
	if a := Attribute(node, key); a != nil {
		return a.GetF()
	}
	return otherwise
}

// Dim is a dimension of a graph's input or output: a size, or the name of one
// that is known only when the model runs.
type Dim struct {
	Size int64
	Name string // "" where Size counts
}

// ValueInfo describes a tensor of a graph.
func ValueInfo(name string, dataType int32, dims []Dim) *onnxpb.ValueInfoProto {
	shape := new(onnxpb.TensorShapeProto)
	for _, d := range dims {
		dim := new(onnxpb.TensorShapeProto_Dimension)
		if d.Name != "" {
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d.Name}
		} else {
			dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: d.Size}
		}
		shape.Dim = append(shape.Dim, dim)
	}
	return &onnxpb.ValueInfoProto{
		Name: proto.String(name),
		Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{
			TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(dataType), Shape: shape},
		}},
	}
}

// Dims returns what ValueInfo was given. A dimension of which the model says
// nothing has the name "?".
func Dims(info *onnxpb.ValueInfoProto) []Dim {
	var dims []Dim
	for _, d := range info.GetType().GetTensorType().GetShape().GetDim() {
		switch v := d.Value.(type) {
		case *onnxpb.TensorShapeProto_Dimension_DimParam:
			dims = append(dims, Dim{Name: v.DimParam})
		case *onnxpb.TensorShapeProto_Dimension_DimValue:
			dims = append(dims, Dim{Size: v.DimValue})
		default:
			dims = append(dims, Dim{Name: "?"})
		}
	}
	return dims
}
