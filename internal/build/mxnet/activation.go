package mxnet

import (
	"math"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

// unary is an operator that ONNX has too, on each element, without attributes.
func unary(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		return []tensor{x.add(operator, nil, data.shape, data)}
	}
}

func activation(x *call) []tensor {
	data := x.tensor(0)
	kind, given := x.get("act_type")
	operator, ok := map[string]string{
		"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign",
	}[kind]
	switch {
	case ok:
		return []tensor{x.add(operator, nil, data.shape, data)}
	case kind == "log_sigmoid": // -softplus(-x)
		return []tensor{x.add("Neg", nil, data.shape, x.add("Softplus", nil, data.shape, x.add("Neg", nil, data.shape, data)))}
	case kind == "mish": // x tanh(softplus x)
		return []tensor{x.add("Mul", nil, data.shape, data, x.add("Tanh", nil, data.shape, x.add("Softplus", nil, data.shape, data)))}
	case !given:
		x.inconsistent("it has no act_type")
	default:
		x.unsupported("act_type %q is not known", kind)
	}
	return nil
}

func leakyReLU(x *call) []tensor {
	data := x.tensor(0)
	slope := float32(x.number("slope", 0.25))
	lower, upper := x.number("lower_bound", 0.125), x.number("upper_bound", 0.334)
	kind := x.choice("act_type", "leaky", "elu", "prelu", "rrelu", "gelu", "selu")
	if x.err != nil {
		return nil
	}
	one := func(operator string, attributes onnx.Attributes) []tensor {
		return []tensor{x.add(operator, attributes, data.shape, data)}
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
		erf := x.add("Erf", nil, data.shape, x.add("Mul", nil, data.shape, data, x.scalar(float32(1/math.Sqrt2))))
		half := x.add("Mul", nil, data.shape, data, x.scalar(0.5))
		return []tensor{x.add("Mul", nil, data.shape, half, x.add("Add", nil, data.shape, erf, x.scalar(1)))}
	}
	return x.prelu(data)
}

// prelu has a slope for each channel, or one for all.
func (x *call) prelu(data tensor) []tensor {
	if !x.rank(data, 1) {
		return nil
	}
	channels := data.shape[min(1, len(data.shape)-1)].size
	gamma := x.tensor(1)
	n := product(sizes(gamma.shape)...)
	if n != 1 && n != channels {
		x.inconsistent("its gamma has the shape %v and must have 1 or %d values", sizes(gamma.shape), channels)
	}
	slopes := x.parameter(1, n)
	if x.err != nil {
		return nil
	}
	dims := make([]int64, max(1, len(data.shape)-1))
	for i := range dims {
		dims[i] = 1
	}
	dims[0] = n
	return []tensor{x.add("PRelu", nil, data.shape, data, x.floats("slope", dims, slopes))}
}

func hardSigmoid(x *call) []tensor {
	data := x.tensor(0)
	return []tensor{x.add("HardSigmoid", onnx.Attributes{
		"alpha": float32(x.number("alpha", 0.2)), "beta": float32(x.number("beta", 0.5)),
	}, data.shape, data)}
}

func clip(x *call) []tensor {
	data := x.tensor(0)
	for _, key := range []string{"a_min", "a_max"} {
		if _, given := x.get(key); !given {
			x.inconsistent("it has no %s", key)
		}
	}
	low, high := x.scalar(float32(x.number("a_min", 0))), x.scalar(float32(x.number("a_max", 0)))
	return []tensor{x.add("Clip", nil, data.shape, data, low, high)}
}

// identity is what training-only operators are at inference.
func identity(x *call) []tensor { return []tensor{x.tensor(0)} }

func dropout(x *call) []tensor {
	for _, key := range []string{"p", "axes"} {
		x.get(key)
	}
	x.choice("mode", "training") // "always" drops at inference too
	return identity(x)
}

// castFloat is an identity: the converted graph computes in float32 throughout.
func castFloat(x *call) []tensor {
	if kind, given := x.get("dtype"); given && kind != "float32" && kind != "float64" && kind != "float16" && kind != "bfloat16" {
		x.unsupported("dtype %q is no type of real numbers", kind)
	}
	return identity(x)
}

// custom knows the one operator in Python of the system that this project carries
// on: a dropout of whole channels.
func custom(x *call) []tensor {
	kind, _ := x.get("op_type")
	if kind != "spatial_dropout" {
		x.unsupported("op_type %q is a custom operator, whose code is not in the model", kind)
		return nil
	}
	for key := range x.values { // parameters of the dropout
		x.get(key)
	}
	return []tensor{x.tensor(0)}
}
