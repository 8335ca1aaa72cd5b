package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/onnx"
)

func upSampling(x *call) []tensor {
	scale := x.count("scale")
	filters := x.integer("num_filter", 0)
	kind := x.choice("sample_type", "", "nearest", "bilinear")
	mode := x.choice("multi_input_mode", "concat", "sum")
	if kind == "" {
		x.inconsistent("it has no sample_type")
	}
	if x.err != nil {
		return nil
	}
	if kind == "bilinear" {
		return x.bilinear(scale, filters)
	}
	return x.nearest(scale, mode)
}

// nearest repeats elements. Of several inputs, all grow to the size that the
// first one grows to.
func (x *call) nearest(scale int64, mode string) []tensor {
	var grown []tensor
	for i, data := range x.all() {
		if !x.rank(data, 4) {
			return nil
		}
		factors := [2]int64{scale, scale}
		if i > 0 {
			for k := range factors {
				want, have := grown[0].shape[2+k], data.shape[2+k]
				factors[k] = want.size / have.size
				if want.dynamic && (!have.dynamic || want != have.scaled(want.size, factors[k], 1)) {
					x.needFixed("its inputs do not grow and shrink together")
				}
				if want.size%have.size != 0 {
					x.unsupported("input %d of shape %v does not grow to %v by whole numbers", i, sizes(data.shape), sizes(grown[0].shape))
				}
				if x.err != nil {
					return nil
				}
			}
		}
		shape := slices.Clone(data.shape)
		for k, f := range factors {
			shape[2+k] = shape[2+k].scaled(shape[2+k].size*f, f, 1)
		}
		scales := x.floats("scales", []int64{4}, []float32{1, 1, float32(factors[0]), float32(factors[1])})
		grown = append(grown, x.add("Resize", onnx.Attributes{
			"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
		}, shape, data, absent, scales))
	}
	if len(grown) == 1 {
		return grown
	}
	if mode == "concat" {
		return x.concatenate(1, grown)
	}
	sum := grown[0]
	for _, next := range grown[1:] {
		sum = x.add("Add", nil, x.broadcast(sum.shape, next.shape), sum, next)
	}
	return []tensor{sum}
}

// bilinear is a transposed convolution of each channel by itself; the weights are
// a parameter.
func (x *call) bilinear(scale, filters int64) []tensor {
	data := x.tensor(0)
	if !x.rank(data, 4) {
		return nil
	}
	channels := data.shape[1].size
	if filters != channels {
		x.inconsistent("num_filter is %d for %d channels", filters, channels)
	}
	kernel, pad := 2*scale-scale%2, scale/2
	inputs := x.filters(data, []int64{channels, 1, kernel, kernel}, channels, true)
	if x.err != nil {
		return nil
	}
	shape := slices.Clone(data.shape)
	for i := 2; i < 4; i++ {
		shape[i] = shape[i].scaled(shape[i].size*scale, scale, 1)
	}
	return []tensor{x.add("ConvTranspose", onnx.Attributes{
		"kernel_shape": []int64{kernel, kernel}, "strides": []int64{scale, scale}, "pads": []int64{pad, pad, pad, pad}, "group": channels,
	}, shape, inputs...)}
}
