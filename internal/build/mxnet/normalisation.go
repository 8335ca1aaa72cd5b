package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

// batchNorm uses the running statistics, as MXNet does at inference. Unless
// fix_gamma is set to false, gamma counts as 1 whatever the params file has.
func batchNorm(x *call) []tensor {
	data := x.tensor(0)
	epsilon, fixGamma := x.number("eps", 1e-3), x.flag("fix_gamma", true)
	axis := x.axis(x.integer("axis", 1), len(data.shape))
	if x.flag("output_mean_var", false) {
		x.unsupported("it gives mean and variance as outputs")
	}
	x.get("min_calib_range")
	x.get("max_calib_range")
	if x.err != nil || !x.rank(data, 2) {
		return nil
	}
	channels := data.shape[axis].size
	if data.shape[axis].dynamic {
		x.needFixed("it needs a fixed number of channels")
		return nil
	}
	beta, mean, variance := x.parameter(2, channels), x.parameter(3, channels), x.parameter(4, channels)
	var gamma []float32
	if fixGamma && x.err == nil {
		gamma = slices.Repeat([]float32{1}, int(channels))
	} else {
		gamma = x.parameter(1, channels)
	}
	if x.err != nil {
		return nil
	}
	statistics := []tensor{
		x.floats("gamma", []int64{channels}, gamma), x.floats("beta", []int64{channels}, beta),
		x.floats("mean", []int64{channels}, mean), x.floats("variance", []int64{channels}, variance),
	}
	return []tensor{x.atAxis1(data, axis, func(data tensor) tensor {
		return x.add("BatchNormalization", onnx.Attributes{"epsilon": float32(epsilon)}, data.shape, append([]tensor{data}, statistics...)...)
	})}
}

// atAxis1 calls a conversion that works on axis 1 for another axis.
func (x *call) atAxis1(data tensor, axis int, convert func(tensor) tensor) tensor {
	if axis == 1 {
		return convert(data)
	}
	swapped := make([]int64, len(data.shape))
	for i := range swapped {
		swapped[i] = int64(i)
	}
	swapped[1], swapped[axis] = int64(axis), 1
	return x.permute(convert(x.permute(data, swapped)), swapped)
}

func (x *call) permute(t tensor, order []int64) tensor {
	shape := make([]dim, len(order))
	for i, from := range order {
		shape[i] = t.shape[from]
	}
	return x.add("Transpose", onnx.Attributes{"perm": order}, shape, t)
}

func instanceNorm(x *call) []tensor {
	data := x.tensor(0)
	epsilon := x.number("eps", 1e-3)
	if x.err != nil || !x.rank(data, 3) {
		return nil
	}
	if channels := data.shape[1].size; product(sizes(x.tensor(1).shape)...) != channels || product(sizes(x.tensor(2).shape)...) != channels {
		x.inconsistent("gamma and beta must have %d values", channels)
		return nil
	}
	return []tensor{x.add("InstanceNormalization", onnx.Attributes{"epsilon": float32(epsilon)}, data.shape, data, x.tensor(1), x.tensor(2))}
}

func layerNorm(x *call) []tensor {
	data := x.tensor(0)
	epsilon := x.number("eps", 1e-5)
	axis := x.axis(x.integer("axis", -1), len(data.shape))
	if x.flag("output_mean_var", false) {
		x.unsupported("it gives mean and variance as outputs")
	}
	if x.err != nil {
		return nil
	}
	if axis != len(data.shape)-1 {
		x.unsupported("axis %d is not the last", axis)
		return nil
	}
	return []tensor{x.add("LayerNormalization", onnx.Attributes{"axis": axis, "epsilon": float32(epsilon)}, data.shape, data, x.tensor(1), x.tensor(2))}
}

// l2Normalization divides by the square root of a sum of squares, over all axes
// but the first, over the channels, or over the axes behind them.
func l2Normalization(x *call) []tensor {
	data := x.tensor(0)
	epsilon := x.number("eps", 1e-10)
	mode := x.choice("mode", "instance", "channel", "spatial")
	if x.err != nil || !x.rank(data, 2) {
		return nil
	}
	from, to := 1, len(data.shape)
	switch mode {
	case "channel":
		to = 2
	case "spatial":
		from = 2
	}
	if mode != "instance" && !x.rank(data, 3) {
		return nil
	}
	var axes []int64
	for axis := from; axis < to; axis++ {
		axes = append(axes, int64(axis))
	}
	sum := x.reduce("ReduceSumSquare", data, axes, true)
	sum = x.add("Add", nil, sum.shape, sum, x.scalar(float32(epsilon)))
	root := x.add("Sqrt", nil, sum.shape, sum)
	return []tensor{x.add("Div", nil, data.shape, data, root)}
}

// localResponse divides by a power of the sum of squares of channels nearby.
func localResponse(x *call) []tensor {
	data := x.tensor(0)
	attributes := onnx.Attributes{
		"alpha": float32(x.number("alpha", 1e-4)), "beta": float32(x.number("beta", 0.75)), "bias": float32(x.number("knorm", 2)),
		"size": x.count("nsize"),
	}
	if x.err != nil || !x.rank(data, 3) {
		return nil
	}
	return []tensor{x.add("LRN", attributes, data.shape, data)}
}
