package conversion

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

// All returns the inputs.
func (x *Call) All() []Tensor {
	tensors := make([]Tensor, len(x.In))
	for i := range x.In {
		tensors[i] = x.Tensor(i)
	}
	return tensors
}

// Concatenate joins tensors along an axis.
func (x *Call) Concatenate(along int64, tensors []Tensor) []Tensor {
	first := tensors[0].Shape
	axis := x.Axis(along, len(first))
	for _, t := range tensors {
		if len(t.Shape) != len(first) {
			x.Inconsistent("its inputs have %d and %d axes", len(first), len(t.Shape))
		}
	}
	if x.Err != nil {
		return nil
	}
	shape := slices.Clone(first)
	for _, t := range tensors[1:] {
		for i, d := range t.Shape {
			switch {
			case i == axis:
				shape[i] = Dim{Size: shape[i].Size + d.Size, Dynamic: shape[i].Dynamic || d.Dynamic, Num: 1, Den: 1}
			case d.Size != shape[i].Size:
				x.Inconsistent("the shapes %v and %v differ in axis %d", Sizes(first), Sizes(t.Shape), i)
			case d.Dynamic != shape[i].Dynamic:
				x.NeedFixed("it joins axes of a size that depends on the image's with axes of a fixed one")
			}
		}
	}
	if len(tensors) == 1 {
		return tensors
	}
	return []Tensor{x.Add("Concat", onnx.Attributes{"axis": axis}, shape, tensors...)}
}

// Flat makes all axes but the first one.
func (x *Call) Flat(t Tensor) Tensor {
	return x.Add("Flatten", onnx.Attributes{"axis": 1}, []Dim{t.Shape[0], Merged(t.Shape[1:])}, t)
}

// Permute puts the axes of a tensor into another order.
func (x *Call) Permute(t Tensor, order []int64) Tensor {
	shape := make([]Dim, len(order))
	for i, from := range order {
		shape[i] = t.Shape[from]
	}
	return x.Add("Transpose", onnx.Attributes{"perm": order}, shape, t)
}

// Whole gives a tensor without axes the one that it has in MXNet.
func (x *Call) Whole(t Tensor) Tensor {
	if x.Err != nil || len(t.Shape) > 0 {
		return t
	}
	return x.Add("Reshape", nil, FixedDims(1), t, x.Ints(1))
}

// PerAxis reads a tuple of n numbers that is all otherwise where it is left out.
func (x *Call) PerAxis(key string, n int, otherwise int64) []int64 {
	values := x.Tuple(key)
	if len(values) == 0 {
		return slices.Repeat([]int64{otherwise}, n)
	}
	if len(values) != n {
		x.Inconsistent("%s %v must have %d numbers", key, values, n)
		return slices.Repeat([]int64{otherwise}, n)
	}
	return values
}
