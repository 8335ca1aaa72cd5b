package compute

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// window is what convolutions and pooling have in common: a kernel that moves
// over the axes behind batch and channels.
type window struct {
	kernel, stride, dilate, pad []int64
}

// window reads the attributes of a kernel over as many axes as data has behind
// the first two.
func windowOf(x *conversion.Call, data conversion.Tensor) window {
	w := window{kernel: x.Tuple("kernel")}
	n := len(w.kernel)
	if n < 1 || n > 3 || len(data.Shape) != n+2 {
		x.Inconsistent("its kernel %v does not fit an input of %d axes", w.kernel, len(data.Shape))
		return w
	}
	w.stride, w.dilate, w.pad = x.PerAxis("stride", n, 1), x.PerAxis("dilate", n, 1), x.PerAxis("pad", n, 0)
	for i := range n {
		if w.kernel[i] < 1 || w.stride[i] < 1 || w.dilate[i] < 1 || w.pad[i] < 0 {
			x.Inconsistent("kernel %v, stride %v and dilate %v must be above 0, pad %v not below", w.kernel, w.stride, w.dilate, w.pad)
		}
	}
	return w
}

// channelsFirst requires the layout that models have unless they ask for another.
func channelsFirst(x *conversion.Call) {
	x.Choice("layout", "None", "NCHW", "NCW", "NCDHW")
}

// span is how many elements a kernel reaches over on an axis.
func (w window) span(i int) int64 { return w.dilate[i]*(w.kernel[i]-1) + 1 }

// both gives the same padding before and after each axis, in ONNX's order.
func both(pad []int64) []int64 { return slices.Concat(pad, pad) }

// filters checks the weight of a convolution, and returns it with its bias as
// inputs.
func filtersOf(x *conversion.Call, data conversion.Tensor, want []int64, channels int64, noBias bool) []conversion.Tensor {
	weight := x.Tensor(1)
	if x.Err == nil && !slices.Equal(conversion.Sizes(weight.Shape), want) {
		x.Inconsistent("its weight has the shape %v and must have %v", conversion.Sizes(weight.Shape), want)
	}
	inputs := []conversion.Tensor{data, weight}
	if !noBias {
		bias := x.Tensor(2)
		if x.Err == nil && !slices.Equal(conversion.Sizes(bias.Shape), []int64{channels}) {
			x.Inconsistent("its bias has the shape %v and must have %v", conversion.Sizes(bias.Shape), []int64{channels})
		}
		inputs = append(inputs, bias)
	}
	return inputs
}

func convolution(x *conversion.Call) []conversion.Tensor {
	channelsFirst(x)
	data := x.Tensor(0)
	w := windowOf(x, data)
	filters, groups := x.Count("num_filter"), x.Integer("num_group", 1)
	noBias := x.Flag("no_bias", false)
	if x.Err != nil {
		return nil
	}
	channels := data.Shape[1].Size
	if groups < 1 || channels%groups != 0 || filters%groups != 0 {
		x.Inconsistent("%d channels and %d filters do not make %d groups", channels, filters, groups)
		return nil
	}
	inputs := filtersOf(x, data, slices.Concat([]int64{filters, channels / groups}, w.kernel), filters, noBias)
	shape := []conversion.Dim{data.Shape[0], conversion.Fixed(filters)}
	for i, d := range data.Shape[2:] {
		shape = append(shape, d.Scaled((d.Size+2*w.pad[i]-w.span(i))/w.stride[i]+1, 1, w.stride[i]))
		if d.Size+2*w.pad[i] < w.span(i) {
			x.Inconsistent("its kernel is larger than its input")
		}
	}
	return []conversion.Tensor{x.Add("Conv", onnx.Attributes{
		"kernel_shape": w.kernel, "strides": w.stride, "dilations": w.dilate, "pads": both(w.pad), "group": groups,
	}, shape, inputs...)}
}

// deconvolution makes a transposed convolution. Where a target_shape is given it
// takes the place of pad and adj, which follow from it and from the input's size.
func deconvolution(x *conversion.Call) []conversion.Tensor {
	channelsFirst(x)
	data := x.Tensor(0)
	w := windowOf(x, data)
	n := len(w.kernel)
	adjust, target := x.PerAxis("adj", n, 0), x.PerAxis("target_shape", n, 0)
	filters, groups := x.Count("num_filter"), x.Integer("num_group", 1)
	noBias := x.Flag("no_bias", true)
	if x.Err != nil {
		return nil
	}
	channels := data.Shape[1].Size
	if groups < 1 || channels%groups != 0 || filters%groups != 0 {
		x.Inconsistent("%d channels and %d filters do not make %d groups", channels, filters, groups)
		return nil
	}
	inputs := filtersOf(x, data, slices.Concat([]int64{channels, filters / groups}, w.kernel), filters, noBias)
	targeted := slices.ContainsFunc(target, func(t int64) bool { return t != 0 })
	shape := []conversion.Dim{data.Shape[0], conversion.Fixed(filters)}
	for i, d := range data.Shape[2:] {
		whole := w.stride[i]*(d.Size-1) + w.span(i)
		if targeted {
			total := whole - target[i]
			if target[i] < 1 || total < 0 {
				x.Inconsistent("target_shape %v cannot be reached from the shape %v", target, conversion.Sizes(data.Shape))
				return nil
			}
			if d.Dynamic && target[i] != w.stride[i]*d.Size {
				x.NeedFixed("its target_shape is no multiple of its input's shape")
			}
			w.pad[i], adjust[i] = (total+1)/2, total%2
		}
		if adjust[i] < 0 || adjust[i] >= w.stride[i] {
			x.Inconsistent("adj %v must not be negative, and below stride %v", adjust, w.stride)
		}
		shape = append(shape, d.Scaled(whole-2*w.pad[i]+adjust[i], w.stride[i], 1))
	}
	return []conversion.Tensor{x.Add("ConvTranspose", onnx.Attributes{
		"kernel_shape": w.kernel, "strides": w.stride, "dilations": w.dilate, "pads": both(w.pad),
		"output_padding": adjust, "group": groups,
	}, shape, inputs...)}
}

// fullyConnected multiplies by a matrix; all axes but the first count as one,
// unless flatten is off.
func fullyConnected(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	hidden := x.Count("num_hidden")
	flatten, noBias := x.Flag("flatten", true), x.Flag("no_bias", false)
	if x.Err != nil || !x.Rank(data, 1) {
		return nil
	}
	last := len(data.Shape) - 1
	features := data.Shape[last]
	if flatten {
		features = conversion.Merged(data.Shape[1:])
	}
	if features.Dynamic {
		x.NeedFixed("it needs a fixed number of features")
		return nil
	}
	inputs := filtersOf(x, data, []int64{hidden, features.Size}, hidden, noBias)
	if flatten {
		if len(data.Shape) != 2 {
			inputs[0] = x.Add("Flatten", onnx.Attributes{"axis": 1}, []conversion.Dim{data.Shape[0], features}, data)
		}
		return []conversion.Tensor{x.Add("Gemm", onnx.Attributes{"transB": 1}, []conversion.Dim{data.Shape[0], conversion.Fixed(hidden)}, inputs...)}
	}
	shape := append(slices.Clone(data.Shape[:last]), conversion.Fixed(hidden))
	weight := x.Add("Transpose", onnx.Attributes{"perm": []int64{1, 0}}, conversion.FixedDims(features.Size, hidden), inputs[1])
	out := x.Add("MatMul", nil, shape, data, weight)
	if !noBias {
		out = x.Add("Add", nil, shape, out, inputs[2])
	}
	return []conversion.Tensor{out}
}
