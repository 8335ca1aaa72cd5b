package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
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

// bilinearResize2D interpolates to a size or by factors. Unless align_corners is
// off, the corners of both images lie on each other.
func bilinearResize2D(x *call) []tensor {
	data := x.tensor(0)
	height, width := x.integer("height", 1), x.integer("width", 1)
	scaleHeight, byHeight := x.get("scale_height")
	scaleWidth, byWidth := x.get("scale_width")
	x.choice("mode", "size")
	corners := "align_corners"
	if !x.flag("align_corners", true) {
		corners = "half_pixel"
	}
	if x.err != nil || !x.rank(data, 4) {
		return nil
	}
	attributes := onnx.Attributes{"mode": "linear", "coordinate_transformation_mode": corners}
	if byHeight = byHeight && scaleHeight != "None"; !byHeight {
		size := x.add("Concat", onnx.Attributes{"axis": 0}, fixedDims(4), x.sizesOf(data, 0, 1), x.ints(height, width))
		return []tensor{x.add("Resize", attributes, []dim{data.shape[0], data.shape[1], fixed(height), fixed(width)}, data, absent, absent, size)}
	}
	if !byWidth || scaleWidth == "None" {
		x.inconsistent("it has a scale_height and no scale_width")
	}
	// Whole factors only: those of others are rounded in more than one way.
	factors := [2]int64{x.factor("scale_height"), x.factor("scale_width")}
	if x.err != nil {
		return nil
	}
	shape := slices.Clone(data.shape)
	for i, f := range factors {
		shape[2+i] = shape[2+i].scaled(shape[2+i].size*f, f, 1)
	}
	scales := x.floats("scales", []int64{4}, []float32{1, 1, float32(factors[0]), float32(factors[1])})
	return []tensor{x.add("Resize", attributes, shape, data, absent, scales)}
}

// factor reads a real number that must be a whole one above 0.
func (x *call) factor(key string) int64 {
	f := x.number(key, 1)
	if f < 1 || f > 1<<16 || f != float64(int64(f)) {
		x.unsupported("%s %v is no whole number above 0", key, f)
		return 1
	}
	return int64(f)
}
