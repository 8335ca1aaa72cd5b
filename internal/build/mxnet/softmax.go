package mxnet

import "github.com/brainseg/brainseg/internal/build/onnx"

// softmaxAlong is softmax and its relatives along one axis.
func softmaxAlong(operator string, negative bool) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		axis := x.axis(x.integer("axis", -1), len(data.shape))
		if temperature, given := x.get("temperature"); given && temperature != "None" {
			value := x.number("temperature", 1)
			if value <= 0 {
				x.inconsistent("temperature %v is not above 0", value)
			}
			data = x.add("Div", nil, data.shape, data, x.scalar(float32(value)))
		}
		if x.flag("use_length", false) {
			x.unsupported("use_length is not known")
		}
		if kind, given := x.get("dtype"); given && kind != "None" && kind != "float32" && kind != "float16" && kind != "float64" {
			x.unsupported("dtype %q is no type of real numbers", kind)
		}
		if negative {
			data = x.add("Neg", nil, data.shape, data)
		}
		return []tensor{x.add(operator, onnx.Attributes{"axis": axis}, data.shape, data)}
	}
}

// softmaxOutput is softmax at inference; the label, its second input, is of use in
// training only.
func softmaxOutput(x *call) []tensor {
	channels, last := x.flag("multi_output", false), x.flag("preserve_shape", false)
	if channels {
		return x.softmaxMode(1)
	}
	if last {
		return x.softmaxMode(len(x.tensor(0).shape) - 1)
	}
	return x.softmaxMode(0)
}

// softmaxActivation in mode instance works along the last axis, whatever MXNet's
// documentation says.
func softmaxActivation(x *call) []tensor {
	if x.choice("mode", "instance", "channel") == "channel" {
		return x.softmaxMode(1)
	}
	return x.softmaxMode(len(x.tensor(0).shape) - 1)
}

// softmaxMode is softmax along an axis, or, for axis 0, over all elements of an
// image.
func (x *call) softmaxMode(axis int) []tensor {
	data := x.tensor(0)
	if !x.rank(data, max(2, axis+1)) {
		return nil
	}
	if axis == 0 && len(data.shape) > 2 {
		flat := x.flat(data)
		flat = x.add("Softmax", onnx.Attributes{"axis": 1}, flat.shape, flat)
		var axes []int64
		for i := range data.shape {
			axes = append(axes, int64(i))
		}
		return []tensor{x.add("Reshape", nil, data.shape, flat, x.sizesOf(data, axes...))}
	}
	return []tensor{x.add("Softmax", onnx.Attributes{"axis": max(1, axis)}, data.shape, data)}
}

// withoutLabel is an output of which training uses a label.
func withoutLabel(convert func(*call) []tensor) func(*call) []tensor {
	return func(x *call) []tensor {
		x.in = x.in[:1]
		return convert(x)
	}
}
