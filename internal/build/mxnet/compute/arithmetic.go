package compute

import (
	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// elementwise is an operator on two tensors that ONNX has too.
func elementwise(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		a, b := x.Tensor(0), x.Tensor(1)
		return []conversion.Tensor{x.Add(operator, nil, x.Broadcast(a.Shape, b.Shape), a, b)}
	}
}

// comparison gives 1 for true and 0 for false.
func comparison(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		a, b := x.Tensor(0), x.Tensor(1)
		return truth(x, operator, x.Broadcast(a.Shape, b.Shape), a, b)
	}
}

func truth(x *conversion.Call, operator string, shape []conversion.Dim, inputs ...conversion.Tensor) []conversion.Tensor {
	return []conversion.Tensor{asFloat(x, x.Add(operator, nil, shape, inputs...))}
}

func asFloat(x *conversion.Call, t conversion.Tensor) conversion.Tensor {
	return x.Add("Cast", onnx.Attributes{"to": int64(onnx.Float)}, t.Shape, t)
}

// notEqual is comparison for the operator that ONNX lacks.
func notEqual(x *conversion.Call) []conversion.Tensor {
	a, b := x.Tensor(0), x.Tensor(1)
	shape := x.Broadcast(a.Shape, b.Shape)
	return truth(x, "Not", shape, x.Add("Equal", nil, shape, a, b))
}

func scalarAttribute(x *conversion.Call) conversion.Tensor {
	if _, given := x.Get("scalar"); !given {
		x.Inconsistent("it has no scalar")
	}
	x.Get("is_int")
	return x.Scalar(float32(x.Number("scalar", 0)))
}

// withScalar is an operator on a tensor and a number.
func withScalar(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		return []conversion.Tensor{x.Add(operator, nil, data.Shape, data, scalarAttribute(x))}
	}
}

// scalarWith is an operator on a number and a tensor, in that order.
func scalarWith(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		return []conversion.Tensor{x.Add(operator, nil, data.Shape, scalarAttribute(x), data)}
	}
}

func compareScalar(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		return truth(x, operator, data.Shape, data, scalarAttribute(x))
	}
}

func notEqualScalar(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	return truth(x, "Not", data.Shape, x.Add("Equal", nil, data.Shape, data, scalarAttribute(x)))
}

// sumOfAll adds any number of tensors.
func sumOfAll(x *conversion.Call) []conversion.Tensor {
	sum := x.Tensor(0)
	if len(x.In) == 1 {
		return []conversion.Tensor{x.Add("Identity", nil, sum.Shape, sum)}
	}
	for i := 1; i < len(x.In); i++ {
		next := x.Tensor(i)
		sum = x.Add("Add", nil, x.Broadcast(sum.Shape, next.Shape), sum, next)
	}
	return []conversion.Tensor{sum}
}

func square(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	return []conversion.Tensor{x.Add("Mul", nil, data.Shape, data, data)}
}

func reciprocalRoot(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	return []conversion.Tensor{x.Add("Reciprocal", nil, data.Shape, x.Add("Sqrt", nil, data.Shape, data))}
}

// reduction works along axes, all where none are given.
func reduction(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		keep := x.Flag("keepdims", false)
		axes := axesOf(x, "axis", len(data.Shape), x.Flag("exclude", false))
		if x.Err != nil {
			return nil
		}
		return []conversion.Tensor{x.Whole(x.Reduce(operator, data, axes, keep))}
	}
}

// norm is the first or second norm along axes.
func norm(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	operator := map[int64]string{1: "ReduceL1", 2: "ReduceL2"}[x.Integer("ord", 2)]
	keep := x.Flag("keepdims", false)
	axes := axesOf(x, "axis", len(data.Shape), false)
	if operator == "" {
		x.Unsupported("ord is neither 1 nor 2")
	}
	if out, given := x.Get("out_dtype"); given && out != "None" && out != "float32" {
		x.Unsupported("out_dtype %q is not float32", out)
	}
	if x.Err != nil {
		return nil
	}
	return []conversion.Tensor{x.Whole(x.Reduce(operator, data, axes, keep))}
}

// axes reads axes to reduce: all where there are none, or with exclude the others.
func axesOf(x *conversion.Call, key string, rank int, exclude bool) []int64 {
	given := x.Tuple(key)
	chosen := make([]bool, rank)
	for _, a := range given {
		if i := x.Axis(a, rank); i < rank {
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
		x.Unsupported("there are no axes to reduce")
	}
	return axes
}

// argument gives the index of the largest or smallest element as a real number.
func argument(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		keep := x.Flag("keepdims", false)
		number, given := x.Optional("axis")
		if !given {
			x.Unsupported("it has no axis")
		}
		axis := x.Axis(number, len(data.Shape))
		return argumentOf(x, operator, data, axis, keep)
	}
}

func argmaxChannel(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	if !x.Rank(data, 2) {
		return nil
	}
	return argumentOf(x, "ArgMax", data, 1, false)
}

func argumentOf(x *conversion.Call, operator string, data conversion.Tensor, axis int, keep bool) []conversion.Tensor {
	if x.Err != nil {
		return nil
	}
	var shape []conversion.Dim
	for i, d := range data.Shape {
		switch {
		case i != axis:
			shape = append(shape, d)
		case keep:
			shape = append(shape, conversion.Fixed(1))
		}
	}
	attributes := onnx.Attributes{"axis": axis, "keepdims": 0}
	if keep {
		attributes["keepdims"] = 1
	}
	return []conversion.Tensor{x.Whole(asFloat(x, x.Add(operator, attributes, shape, data)))}
}

// matrixProduct multiplies matrices, with axes of a batch before them or not.
func matrixProduct(axes int) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		var sides [2]conversion.Tensor
		for i, key := range []string{"transpose_a", "transpose_b"} {
			t := x.Tensor(i)
			if x.Err == nil && len(t.Shape) != axes {
				x.Unsupported("an input has %d axes, and not %d", len(t.Shape), axes)
			}
			turned := x.Flag(key, false)
			if x.Err != nil {
				return nil
			}
			if turned {
				order := []int64{0, 1, 2}[:axes]
				order[axes-1], order[axes-2] = order[axes-2], order[axes-1]
				t = x.Permute(t, order)
			}
			sides[i] = t
		}
		a, b := sides[0].Shape, sides[1].Shape
		if inner, other := a[axes-1], b[axes-2]; inner.Size != other.Size || axes == 3 && a[0].Size != b[0].Size {
			x.Inconsistent("matrices of %v and %v cannot be multiplied", conversion.Sizes(a), conversion.Sizes(b))
		} else if inner.Dynamic != other.Dynamic || axes == 3 && a[0].Dynamic != b[0].Dynamic {
			x.NeedFixed("it multiplies axes of a size that depends on the image's with axes of a fixed one")
		}
		shape := append(append([]conversion.Dim{}, a[:axes-1]...), b[axes-1])
		return []conversion.Tensor{x.Add("MatMul", nil, shape, sides[0], sides[1])}
	}
}
