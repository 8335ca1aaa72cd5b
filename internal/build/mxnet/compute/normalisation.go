package compute

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// batchNorm uses the running statistics, as MXNet does at inference. Unless
// fix_gamma is set to false, gamma counts as 1 whatever the params file has.
func batchNorm(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	epsilon, fixGamma := x.Number("eps", 1e-3), x.Flag("fix_gamma", true)
	axis := x.Axis(x.Integer("axis", 1), len(data.Shape))
	if x.Flag("output_mean_var", false) {
		x.Unsupported("it gives mean and variance as outputs")
	}
	x.Get("min_calib_range")
	x.Get("max_calib_range")
	if x.Err != nil || !x.Rank(data, 2) {
		return nil
	}
	channels := data.Shape[axis].Size
	if data.Shape[axis].Dynamic {
		x.NeedFixed("it needs a fixed number of channels")
		return nil
	}
	beta, mean, variance := x.Parameter(2, channels), x.Parameter(3, channels), x.Parameter(4, channels)
	var gamma []float32
	if fixGamma && x.Err == nil {
		gamma = slices.Repeat([]float32{1}, int(channels))
	} else {
		gamma = x.Parameter(1, channels)
	}
	if x.Err != nil {
		return nil
	}
	statistics := []conversion.Tensor{
		x.Floats("gamma", []int64{channels}, gamma), x.Floats("beta", []int64{channels}, beta),
		x.Floats("mean", []int64{channels}, mean), x.Floats("variance", []int64{channels}, variance),
	}
	return []conversion.Tensor{atAxis1(x, data, axis, func(data conversion.Tensor) conversion.Tensor {
		return x.Add("BatchNormalization", onnx.Attributes{"epsilon": float32(epsilon)}, data.Shape, append([]conversion.Tensor{data}, statistics...)...)
	})}
}

// atAxis1 calls a conversion that works on axis 1 for another axis.
func atAxis1(x *conversion.Call, data conversion.Tensor, axis int, convert func(conversion.Tensor) conversion.Tensor) conversion.Tensor {
	if axis == 1 {
		return convert(data)
	}
	swapped := make([]int64, len(data.Shape))
	for i := range swapped {
		swapped[i] = int64(i)
	}
	swapped[1], swapped[axis] = int64(axis), 1
	return x.Permute(convert(x.Permute(data, swapped)), swapped)
}

func instanceNorm(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	epsilon := x.Number("eps", 1e-3)
	if x.Err != nil || !x.Rank(data, 3) {
		return nil
	}
	if channels := data.Shape[1].Size; conversion.Product(conversion.Sizes(x.Tensor(1).Shape)...) != channels || conversion.Product(conversion.Sizes(x.Tensor(2).Shape)...) != channels {
		x.Inconsistent("gamma and beta must have %d values", channels)
		return nil
	}
	return []conversion.Tensor{x.Add("InstanceNormalization", onnx.Attributes{"epsilon": float32(epsilon)}, data.Shape, data, x.Tensor(1), x.Tensor(2))}
}

func layerNorm(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	epsilon := x.Number("eps", 1e-5)
	axis := x.Axis(x.Integer("axis", -1), len(data.Shape))
	if x.Flag("output_mean_var", false) {
		x.Unsupported("it gives mean and variance as outputs")
	}
	if x.Err != nil {
		return nil
	}
	if axis != len(data.Shape)-1 {
		x.Unsupported("axis %d is not the last", axis)
		return nil
	}
	return []conversion.Tensor{x.Add("LayerNormalization", onnx.Attributes{"axis": axis, "epsilon": float32(epsilon)}, data.Shape, data, x.Tensor(1), x.Tensor(2))}
}

// l2Normalization divides by the square root of a sum of squares, over all axes
// but the first, over the channels, or over the axes behind them.
func l2Normalization(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	epsilon := x.Number("eps", 1e-10)
	mode := x.Choice("mode", "instance", "channel", "spatial")
	if x.Err != nil || !x.Rank(data, 2) {
		return nil
	}
	from, to := 1, len(data.Shape)
	switch mode {
	case "channel":
		to = 2
	case "spatial":
		from = 2
	}
	if mode != "instance" && !x.Rank(data, 3) {
		return nil
	}
	var axes []int64
	for axis := from; axis < to; axis++ {
		axes = append(axes, int64(axis))
	}
	sum := x.Reduce("ReduceSumSquare", data, axes, true)
	sum = x.Add("Add", nil, sum.Shape, sum, x.Scalar(float32(epsilon)))
	root := x.Add("Sqrt", nil, sum.Shape, sum)
	return []conversion.Tensor{x.Add("Div", nil, data.Shape, data, root)}
}

// localResponse divides by a power of the sum of squares of channels nearby.
func localResponse(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	attributes := onnx.Attributes{
		"alpha": float32(x.Number("alpha", 1e-4)), "beta": float32(x.Number("beta", 0.75)), "bias": float32(x.Number("knorm", 2)),
		"size": x.Count("nsize"),
	}
	if x.Err != nil || !x.Rank(data, 3) {
		return nil
	}
	return []conversion.Tensor{x.Add("LRN", attributes, data.Shape, data)}
}
