package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

// all returns the inputs.
func (x *call) all() []tensor {
	tensors := make([]tensor, len(x.in))
	for i := range x.in {
		tensors[i] = x.tensor(i)
	}
	return tensors
}

// concatenate joins tensors along an axis.
func (x *call) concatenate(along int64, tensors []tensor) []tensor {
	first := tensors[0].shape
	axis := x.axis(along, len(first))
	for _, t := range tensors {
		if len(t.shape) != len(first) {
			x.inconsistent("its inputs have %d and %d axes", len(first), len(t.shape))
		}
	}
	if x.err != nil {
		return nil
	}
	shape := slices.Clone(first)
	for _, t := range tensors[1:] {
		for i, d := range t.shape {
			switch {
			case i == axis:
				shape[i] = dim{size: shape[i].size + d.size, dynamic: shape[i].dynamic || d.dynamic, num: 1, den: 1}
			case d.size != shape[i].size:
				x.inconsistent("the shapes %v and %v differ in axis %d", sizes(first), sizes(t.shape), i)
			case d.dynamic != shape[i].dynamic:
				x.needFixed("it joins axes of a size that depends on the image's with axes of a fixed one")
			}
		}
	}
	if len(tensors) == 1 {
		return tensors
	}
	return []tensor{x.add("Concat", onnx.Attributes{"axis": axis}, shape, tensors...)}
}

// flat makes all axes but the first one.
func (x *call) flat(t tensor) tensor {
	return x.add("Flatten", onnx.Attributes{"axis": 1}, []dim{t.shape[0], merged(t.shape[1:])}, t)
}

// permute puts the axes of a tensor into another order.
func (x *call) permute(t tensor, order []int64) tensor {
	shape := make([]dim, len(order))
	for i, from := range order {
		shape[i] = t.shape[from]
	}
	return x.add("Transpose", onnx.Attributes{"perm": order}, shape, t)
}

// whole gives a tensor without axes the one that it has in MXNet.
func (x *call) whole(t tensor) tensor {
	if x.err != nil || len(t.shape) > 0 {
		return t
	}
	return x.add("Reshape", nil, fixedDims(1), t, x.ints(1))
}

// perAxis reads a tuple of n numbers that is all otherwise where it is left out.
func (x *call) perAxis(key string, n int, otherwise int64) []int64 {
	values := x.tuple(key)
	if len(values) == 0 {
		return slices.Repeat([]int64{otherwise}, n)
	}
	if len(values) != n {
		x.inconsistent("%s %v must have %d numbers", key, values, n)
		return slices.Repeat([]int64{otherwise}, n)
	}
	return values
}
