package mxnet

import (
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// elementwise is an operator on two tensors that ONNX has too.
func elementwise(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		a, b := x.tensor(0), x.tensor(1)
		return []tensor{x.add(operator, nil, x.broadcast(a.shape, b.shape), a, b)}
	}
}

// comparison gives 1 for true and 0 for false.
func comparison(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		a, b := x.tensor(0), x.tensor(1)
		return x.truth(operator, x.broadcast(a.shape, b.shape), a, b)
	}
}

func (x *call) truth(operator string, shape []dim, inputs ...tensor) []tensor {
	return []tensor{x.asFloat(x.add(operator, nil, shape, inputs...))}
}

func (x *call) asFloat(t tensor) tensor {
	return x.add("Cast", onnx.Attributes{"to": int64(onnx.Float)}, t.shape, t)
}

// notEqual is comparison for the operator that ONNX lacks.
func notEqual(x *call) []tensor {
	a, b := x.tensor(0), x.tensor(1)
	shape := x.broadcast(a.shape, b.shape)
	return x.truth("Not", shape, x.add("Equal", nil, shape, a, b))
}

func (x *call) scalarAttribute() tensor {
	if _, given := x.get("scalar"); !given {
		x.inconsistent("it has no scalar")
	}
	x.get("is_int")
	return x.scalar(float32(x.number("scalar", 0)))
}

// withScalar is an operator on a tensor and a number.
func withScalar(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		return []tensor{x.add(operator, nil, data.shape, data, x.scalarAttribute())}
	}
}

// scalarWith is an operator on a number and a tensor, in that order.
func scalarWith(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		return []tensor{x.add(operator, nil, data.shape, x.scalarAttribute(), data)}
	}
}

func compareScalar(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		return x.truth(operator, data.shape, data, x.scalarAttribute())
	}
}

func notEqualScalar(x *call) []tensor {
	data := x.tensor(0)
	return x.truth("Not", data.shape, x.add("Equal", nil, data.shape, data, x.scalarAttribute()))
}

// sumOfAll adds any number of tensors.
func sumOfAll(x *call) []tensor {
	sum := x.tensor(0)
	if len(x.in) == 1 {
		return []tensor{x.add("Identity", nil, sum.shape, sum)}
	}
	for i := 1; i < len(x.in); i++ {
		next := x.tensor(i)
		sum = x.add("Add", nil, x.broadcast(sum.shape, next.shape), sum, next)
	}
	return []tensor{sum}
}

func square(x *call) []tensor {
	data := x.tensor(0)
	return []tensor{x.add("Mul", nil, data.shape, data, data)}
}

func reciprocalRoot(x *call) []tensor {
	data := x.tensor(0)
	return []tensor{x.add("Reciprocal", nil, data.shape, x.add("Sqrt", nil, data.shape, data))}
}

// reduction works along axes, all where none are given.
func reduction(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		keep := x.flag("keepdims", false)
		axes := x.axes("axis", len(data.shape), x.flag("exclude", false))
		if x.err != nil {
			return nil
		}
		return []tensor{x.whole(x.reduce(operator, data, axes, keep))}
	}
}

// norm is the first or second norm along axes.
func norm(x *call) []tensor {
	data := x.tensor(0)
	operator := map[int64]string{1: "ReduceL1", 2: "ReduceL2"}[x.integer("ord", 2)]
	keep := x.flag("keepdims", false)
	axes := x.axes("axis", len(data.shape), false)
	if operator == "" {
		x.unsupported("ord is neither 1 nor 2")
	}
	if out, given := x.get("out_dtype"); given && out != "None" && out != "float32" {
		x.unsupported("out_dtype %q is not float32", out)
	}
	if x.err != nil {
		return nil
	}
	return []tensor{x.whole(x.reduce(operator, data, axes, keep))}
}

// whole gives a tensor without axes the one that it has in MXNet.
func (x *call) whole(t tensor) tensor {
	if x.err != nil || len(t.shape) > 0 {
		return t
	}
	return x.add("Reshape", nil, fixedDims(1), t, x.ints(1))
}

// axes reads axes to reduce: all where there are none, or with exclude the others.
func (x *call) axes(key string, rank int, exclude bool) []int64 {
	given := x.tuple(key)
	chosen := make([]bool, rank)
	for _, a := range given {
		if i := x.axis(a, rank); i < rank {
			chosen[i] = true
		}
	}
	var axes []int64
	for i, is := range chosen {
		if len(given) == 0 || is != exclude {
			axes = append(axes, int64(i))
		}
	}
	if len(axes) == 0 {
		x.unsupported("there are no axes to reduce")
	}
	return axes
}

// argument gives the index of the largest or smallest element as a real number.
func argument(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		keep := x.flag("keepdims", false)
		number, given := x.optional("axis")
		if !given {
			x.unsupported("it has no axis")
		}
		axis := x.axis(number, len(data.shape))
		return x.argumentOf(operator, data, axis, keep)
	}
}

func argmaxChannel(x *call) []tensor {
	data := x.tensor(0)
	if !x.rank(data, 2) {
		return nil
	}
	return x.argumentOf("ArgMax", data, 1, false)
}

func (x *call) argumentOf(operator string, data tensor, axis int, keep bool) []tensor {
	if x.err != nil {
		return nil
	}
	var shape []dim
	for i, d := range data.shape {
		switch {
		case i != axis:
			shape = append(shape, d)
		case keep:
			shape = append(shape, fixed(1))
		}
	}
	attributes := onnx.Attributes{"axis": axis, "keepdims": 0}
	if keep {
		attributes["keepdims"] = 1
	}
	return []tensor{x.whole(x.asFloat(x.add(operator, attributes, shape, data)))}
}

// matrixProduct multiplies matrices, with axes of a batch before them or not.
func matrixProduct(axes int) func(*call) []tensor {
	return func(x *call) []tensor {
		var sides [2]tensor
		for i, key := range []string{"transpose_a", "transpose_b"} {
			t := x.tensor(i)
			if x.err == nil && len(t.shape) != axes {
				x.unsupported("an input has %d axes, and not %d", len(t.shape), axes)
			}
			turned := x.flag(key, false)
			if x.err != nil {
				return nil
			}
			if turned {
				order := []int64{0, 1, 2}[:axes]
				order[axes-1], order[axes-2] = order[axes-2], order[axes-1]
				t = x.permute(t, order)
			}
			sides[i] = t
		}
		a, b := sides[0].shape, sides[1].shape
		if inner, other := a[axes-1], b[axes-2]; inner.size != other.size || axes == 3 && a[0].size != b[0].size {
			x.inconsistent("matrices of %v and %v cannot be multiplied", sizes(a), sizes(b))
		} else if inner.dynamic != other.dynamic || axes == 3 && a[0].dynamic != b[0].dynamic {
			x.needFixed("it multiplies axes of a size that depends on the image's with axes of a fixed one")
		}
		shape := append(append([]dim{}, a[:axes-1]...), b[axes-1])
		return []tensor{x.add("MatMul", nil, shape, sides[0], sides[1])}
	}
}
