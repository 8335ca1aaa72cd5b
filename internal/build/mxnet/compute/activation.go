package compute

import (
	"math"

	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// unary is an operator that ONNX has too, on each element, without attributes.
func unary(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		return []conversion.Tensor{x.Add(operator, nil, data.Shape, data)}
	}
}

func activation(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	kind, given := x.Get("act_type")
	operator, ok := map[string]string{
		"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign",
	}[kind]
	switch {
	case ok:
		return []conversion.Tensor{x.Add(operator, nil, data.Shape, data)}
	case kind == "log_sigmoid": // -softplus(-x)
		return []conversion.Tensor{x.Add("Neg", nil, data.Shape, x.Add("Softplus", nil, data.Shape, x.Add("Neg", nil, data.Shape, data)))}
	case kind == "mish": // x tanh(softplus x)
		return []conversion.Tensor{x.Add("Mul", nil, data.Shape, data, x.Add("Tanh", nil, data.Shape, x.Add("Softplus", nil, data.Shape, data)))}
	case !given:
		x.Inconsistent("it has no act_type")
	default:
		x.Unsupported("act_type %q is not known", kind)
	}
	return nil
}

func leakyReLU(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	slope := float32(x.Number("slope", 0.25))
	lower, upper := x.Number("lower_bound", 0.125), x.Number("upper_bound", 0.334)
	kind := x.Choice("act_type", "leaky", "elu", "prelu", "rrelu", "gelu", "selu")
	if x.Err != nil {
		return nil
	}
	one := func(operator string, attributes onnx.Attributes) []conversion.Tensor {
		return []conversion.Tensor{x.Add(operator, attributes, data.Shape, data)}
	}
	switch kind {
	case "leaky":
		return one("LeakyRelu", onnx.Attributes{"alpha": slope})
	case "rrelu": // random in training, the middle at inference
		return one("LeakyRelu", onnx.Attributes{"alpha": float32((lower + upper) / 2)})
	case "elu":
		return one("Elu", onnx.Attributes{"alpha": slope})
	case "selu":
		return one("Selu", nil)
	case "gelu": // x (1 + erf(x / sqrt 2)) / 2
		erf := x.Add("Erf", nil, data.Shape, x.Add("Mul", nil, data.Shape, data, x.Scalar(float32(1/math.Sqrt2))))
		half := x.Add("Mul", nil, data.Shape, data, x.Scalar(0.5))
		return []conversion.Tensor{x.Add("Mul", nil, data.Shape, half, x.Add("Add", nil, data.Shape, erf, x.Scalar(1)))}
	}
	return prelu(x, data)
}

// prelu has a slope for each channel, or one for all.
func prelu(x *conversion.Call, data conversion.Tensor) []conversion.Tensor {
	if !x.Rank(data, 1) {
		return nil
	}
	channels := data.Shape[min(1, len(data.Shape)-1)].Size
	gamma := x.Tensor(1)
	n := conversion.Product(conversion.Sizes(gamma.Shape)...)
	if n != 1 && n != channels {
		x.Inconsistent("its gamma has the shape %v and must have 1 or %d values", conversion.Sizes(gamma.Shape), channels)
	}
	slopes := x.Parameter(1, n)
	if x.Err != nil {
		return nil
	}
	dims := make([]int64, max(1, len(data.Shape)-1))
	for i := range dims {
		dims[i] = 1
	}
	dims[0] = n
	return []conversion.Tensor{x.Add("PRelu", nil, data.Shape, data, x.Floats("slope", dims, slopes))}
}

func hardSigmoid(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	return []conversion.Tensor{x.Add("HardSigmoid", onnx.Attributes{
		"alpha": float32(x.Number("alpha", 0.2)), "beta": float32(x.Number("beta", 0.5)),
	}, data.Shape, data)}
}

func clip(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	for _, key := range []string{"a_min", "a_max"} {
		if _, given := x.Get(key); !given {
			x.Inconsistent("it has no %s", key)
		}
	}
	low, high := x.Scalar(float32(x.Number("a_min", 0))), x.Scalar(float32(x.Number("a_max", 0)))
	return []conversion.Tensor{x.Add("Clip", nil, data.Shape, data, low, high)}
}

// identity is what training-only operators are at inference.
func identity(x *conversion.Call) []conversion.Tensor { return []conversion.Tensor{x.Tensor(0)} }

func dropout(x *conversion.Call) []conversion.Tensor {
	for _, key := range []string{"p", "axes"} {
		x.Get(key)
	}
	x.Choice("mode", "training") // "always" drops at inference too
	return identity(x)
}

// castFloat is an identity: the converted graph computes in float32 throughout.
func castFloat(x *conversion.Call) []conversion.Tensor {
	if kind, given := x.Get("dtype"); given && kind != "float32" && kind != "float64" && kind != "float16" && kind != "bfloat16" {
		x.Unsupported("dtype %q is no type of real numbers", kind)
	}
	return identity(x)
}

// custom knows the one operator in Python of the system that this project carries
// on: a dropout of whole channels.
func custom(x *conversion.Call) []conversion.Tensor {
	kind, _ := x.Get("op_type")
	if kind != "spatial_dropout" {
		x.Unsupported("op_type %q is a custom operator, whose code is not in the model", kind)
		return nil
	}
	for key := range x.Values { // parameters of the dropout
		x.Get(key)
	}
	return []conversion.Tensor{x.Tensor(0)}
}
