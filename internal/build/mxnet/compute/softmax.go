package compute

import (
	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// softmaxAlong is softmax and its relatives along one axis.
func softmaxAlong(operator string, negative bool) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		axis := x.Axis(x.Integer("axis", -1), len(data.Shape))
		if temperature, given := x.Get("temperature"); given && temperature != "None" {
			value := x.Number("temperature", 1)
			if value <= 0 {
				x.Inconsistent("temperature %v is not above 0", value)
			}
			data = x.Add("Div", nil, data.Shape, data, x.Scalar(float32(value)))
		}
		if x.Flag("use_length", false) {
			x.Unsupported("use_length is not known")
		}
		if kind, given := x.Get("dtype"); given && kind != "None" && kind != "float32" && kind != "float16" && kind != "float64" {
			x.Unsupported("dtype %q is no type of real numbers", kind)
		}
		if negative {
			data = x.Add("Neg", nil, data.Shape, data)
		}
		return []conversion.Tensor{x.Add(operator, onnx.Attributes{"axis": axis}, data.Shape, data)}
	}
}

// softmaxOutput is softmax at inference; the label, its second input, is of use in
// training only.
func softmaxOutput(x *conversion.Call) []conversion.Tensor {
	channels, last := x.Flag("multi_output", false), x.Flag("preserve_shape", false)
	if channels {
		return softmaxMode(x, 1)
	}
	if last {
		return softmaxMode(x, len(x.Tensor(0).Shape)-1)
	}
	return softmaxMode(x, 0)
}

// softmaxActivation in mode instance works along the last axis, whatever MXNet's
// documentation says.
func softmaxActivation(x *conversion.Call) []conversion.Tensor {
	if x.Choice("mode", "instance", "channel") == "channel" {
		return softmaxMode(x, 1)
	}
	return softmaxMode(x, len(x.Tensor(0).Shape)-1)
}

// softmaxMode is softmax along an axis, or, for axis 0, over all elements of an
// image.
func softmaxMode(x *conversion.Call, axis int) []conversion.Tensor {
	data := x.Tensor(0)
	if !x.Rank(data, max(2, axis+1)) {
		return nil
	}
	if axis == 0 && len(data.Shape) > 2 {
		flat := x.Flat(data)
		flat = x.Add("Softmax", onnx.Attributes{"axis": 1}, flat.Shape, flat)
		var axes []int64
		for i := range data.Shape {
			axes = append(axes, int64(i))
		}
		return []conversion.Tensor{x.Add("Reshape", nil, data.Shape, flat, x.SizesOf(data, axes...))}
	}
	return []conversion.Tensor{x.Add("Softmax", onnx.Attributes{"axis": max(1, axis)}, data.Shape, data)}
}

// withoutLabel is an output of which training uses a label.
func withoutLabel(convert func(*conversion.Call) []conversion.Tensor) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		x.In = x.In[:1]
		return convert(x)
	}
}
