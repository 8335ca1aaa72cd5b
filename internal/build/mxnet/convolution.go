package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

// window is what convolutions and pooling have in common: a kernel that moves
// over the axes behind batch and channels.
type window struct {
	kernel, stride, dilate, pad []int64
}

// window reads the attributes of a kernel over as many axes as data has behind
// the first two.
func (x *call) window(data tensor) window {
	w := window{kernel: x.tuple("kernel")}
	n := len(w.kernel)
	if n < 1 || n > 3 || len(data.shape) != n+2 {
		x.inconsistent("its kernel %v does not fit an input of %d axes", w.kernel, len(data.shape))
		return w
	}
	w.stride, w.dilate, w.pad = x.perAxis("stride", n, 1), x.perAxis("dilate", n, 1), x.perAxis("pad", n, 0)
	for i := range n {
		if w.kernel[i] < 1 || w.stride[i] < 1 || w.dilate[i] < 1 || w.pad[i] < 0 {
			x.inconsistent("kernel %v, stride %v and dilate %v must be above 0, pad %v not below", w.kernel, w.stride, w.dilate, w.pad)
		}
	}
	return w
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

// channelsFirst requires the layout that models have unless they ask for another.
func (x *call) channelsFirst() {
	x.choice("layout", "None", "NCHW", "NCW", "NCDHW")
}

// span is how many elements a kernel reaches over on an axis.
func (w window) span(i int) int64 { return w.dilate[i]*(w.kernel[i]-1) + 1 }

// both gives the same padding before and after each axis, in ONNX's order.
func both(pad []int64) []int64 { return slices.Concat(pad, pad) }

// filters checks the weight of a convolution, and returns it with its bias as
// inputs.
func (x *call) filters(data tensor, want []int64, channels int64, noBias bool) []tensor {
	weight := x.tensor(1)
	if x.err == nil && !slices.Equal(sizes(weight.shape), want) {
		x.inconsistent("its weight has the shape %v and must have %v", sizes(weight.shape), want)
	}
	inputs := []tensor{data, weight}
	if !noBias {
		bias := x.tensor(2)
		if x.err == nil && !slices.Equal(sizes(bias.shape), []int64{channels}) {
			x.inconsistent("its bias has the shape %v and must have %v", sizes(bias.shape), []int64{channels})
		}
		inputs = append(inputs, bias)
	}
	return inputs
}

func convolution(x *call) []tensor {
	x.channelsFirst()
	data := x.tensor(0)
	w := x.window(data)
	filters, groups := x.count("num_filter"), x.integer("num_group", 1)
	noBias := x.flag("no_bias", false)
	if x.err != nil {
		return nil
	}
	channels := data.shape[1].size
	if groups < 1 || channels%groups != 0 || filters%groups != 0 {
		x.inconsistent("%d channels and %d filters do not make %d groups", channels, filters, groups)
		return nil
	}
	inputs := x.filters(data, slices.Concat([]int64{filters, channels / groups}, w.kernel), filters, noBias)
	shape := []dim{data.shape[0], fixed(filters)}
	for i, d := range data.shape[2:] {
		shape = append(shape, d.scaled((d.size+2*w.pad[i]-w.span(i))/w.stride[i]+1, 1, w.stride[i]))
		if d.size+2*w.pad[i] < w.span(i) {
			x.inconsistent("its kernel is larger than its input")
		}
	}
	return []tensor{x.add("Conv", onnx.Attributes{
		"kernel_shape": w.kernel, "strides": w.stride, "dilations": w.dilate, "pads": both(w.pad), "group": groups,
	}, shape, inputs...)}
}

// deconvolution makes a transposed convolution. Where a target_shape is given it
// takes the place of pad and adj, which follow from it and from the input's size.
func deconvolution(x *call) []tensor {
	x.channelsFirst()
	data := x.tensor(0)
	w := x.window(data)
	n := len(w.kernel)
	adjust, target := x.perAxis("adj", n, 0), x.perAxis("target_shape", n, 0)
	filters, groups := x.count("num_filter"), x.integer("num_group", 1)
	noBias := x.flag("no_bias", true)
	if x.err != nil {
		return nil
	}
	channels := data.shape[1].size
	if groups < 1 || channels%groups != 0 || filters%groups != 0 {
		x.inconsistent("%d channels and %d filters do not make %d groups", channels, filters, groups)
		return nil
	}
	inputs := x.filters(data, slices.Concat([]int64{channels, filters / groups}, w.kernel), filters, noBias)
	targeted := slices.ContainsFunc(target, func(t int64) bool { return t != 0 })
	shape := []dim{data.shape[0], fixed(filters)}
	for i, d := range data.shape[2:] {
		whole := w.stride[i]*(d.size-1) + w.span(i)
		if targeted {
			total := whole - target[i]
			if target[i] < 1 || total < 0 {
				x.inconsistent("target_shape %v cannot be reached from the shape %v", target, sizes(data.shape))
				return nil
			}
			if d.dynamic && target[i] != w.stride[i]*d.size {
				x.needFixed("its target_shape is no multiple of its input's shape")
			}
			w.pad[i], adjust[i] = (total+1)/2, total%2
		}
		if adjust[i] < 0 || adjust[i] >= w.stride[i] {
			x.inconsistent("adj %v must not be negative, and below stride %v", adjust, w.stride)
		}
		shape = append(shape, d.scaled(whole-2*w.pad[i]+adjust[i], w.stride[i], 1))
	}
	return []tensor{x.add("ConvTranspose", onnx.Attributes{
		"kernel_shape": w.kernel, "strides": w.stride, "dilations": w.dilate, "pads": both(w.pad),
		"output_padding": adjust, "group": groups,
	}, shape, inputs...)}
}

// fullyConnected multiplies by a matrix; all axes but the first count as one,
// unless flatten is off.
func fullyConnected(x *call) []tensor {
	data := x.tensor(0)
	hidden := x.count("num_hidden")
	flatten, noBias := x.flag("flatten", true), x.flag("no_bias", false)
	if x.err != nil || !x.rank(data, 1) {
		return nil
	}
	last := len(data.shape) - 1
	features := data.shape[last]
	if flatten {
		features = merged(data.shape[1:])
	}
	if features.dynamic {
		x.needFixed("it needs a fixed number of features")
		return nil
	}
	inputs := x.filters(data, []int64{hidden, features.size}, hidden, noBias)
	if flatten {
		if len(data.shape) != 2 {
			inputs[0] = x.add("Flatten", onnx.Attributes{"axis": 1}, []dim{data.shape[0], features}, data)
		}
		return []tensor{x.add("Gemm", onnx.Attributes{"transB": 1}, []dim{data.shape[0], fixed(hidden)}, inputs...)}
	}
	shape := append(slices.Clone(data.shape[:last]), fixed(hidden))
	weight := x.add("Transpose", onnx.Attributes{"perm": []int64{1, 0}}, fixedDims(features.size, hidden), inputs[1])
	out := x.add("MatMul", nil, shape, data, weight)
	if !noBias {
		out = x.add("Add", nil, shape, out, inputs[2])
	}
	return []tensor{out}
}
