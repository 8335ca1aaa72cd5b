package compute

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

func upSampling(x *conversion.Call) []conversion.Tensor {
	scale := x.Count("scale")
	filters := x.Integer("num_filter", 0)
	kind := x.Choice("sample_type", "", "nearest", "bilinear")
	mode := x.Choice("multi_input_mode", "concat", "sum")
	if kind == "" {
		x.Inconsistent("it has no sample_type")
	}
	if x.Err != nil {
		return nil
	}
	if kind == "bilinear" {
		return bilinear(x, scale, filters)
	}
	return nearest(x, scale, mode)
}

// nearest repeats elements. Of several inputs, all grow to the size that the
// first one grows to.
func nearest(x *conversion.Call, scale int64, mode string) []conversion.Tensor {
	var grown []conversion.Tensor
	for i, data := range x.All() {
		if !x.Rank(data, 4) {
			return nil
		}
		factors := [2]int64{scale, scale}
		if i > 0 {
			for k := range factors {
				want, have := grown[0].Shape[2+k], data.Shape[2+k]
				factors[k] = want.Size / have.Size
				if want.Dynamic && (!have.Dynamic || want != have.Scaled(want.Size, factors[k], 1)) {
					x.NeedFixed("its inputs do not grow and shrink together")
				}
				if want.Size%have.Size != 0 {
					x.Unsupported("input %d of shape %v does not grow to %v by whole numbers", i, conversion.Sizes(data.Shape), conversion.Sizes(grown[0].Shape))
				}
				if x.Err != nil {
					return nil
				}
			}
		}
		shape := slices.Clone(data.Shape)
		for k, f := range factors {
			shape[2+k] = shape[2+k].Scaled(shape[2+k].Size*f, f, 1)
		}
		scales := x.Floats("scales", []int64{4}, []float32{1, 1, float32(factors[0]), float32(factors[1])})
		grown = append(grown, x.Add("Resize", onnx.Attributes{
			"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
		}, shape, data, conversion.Absent, scales))
	}
	if len(grown) == 1 {
		return grown
	}
	if mode == "concat" {
		return x.Concatenate(1, grown)
	}
	sum := grown[0]
	for _, next := range grown[1:] {
		sum = x.Add("Add", nil, x.Broadcast(sum.Shape, next.Shape), sum, next)
	}
	return []conversion.Tensor{sum}
}

// bilinear is a transposed convolution of each channel by itself; the weights are
// a parameter.
func bilinear(x *conversion.Call, scale, filters int64) []conversion.Tensor {
	data := x.Tensor(0)
	if !x.Rank(data, 4) {
		return nil
	}
	channels := data.Shape[1].Size
	if filters != channels {
		x.Inconsistent("num_filter is %d for %d channels", filters, channels)
	}
	kernel, pad := 2*scale-scale%2, scale/2
	inputs := filtersOf(x, data, []int64{channels, 1, kernel, kernel}, channels, true)
	if x.Err != nil {
		return nil
	}
	shape := slices.Clone(data.Shape)
	for i := 2; i < 4; i++ {
		shape[i] = shape[i].Scaled(shape[i].Size*scale, scale, 1)
	}
	return []conversion.Tensor{x.Add("ConvTranspose", onnx.Attributes{
		"kernel_shape": []int64{kernel, kernel}, "strides": []int64{scale, scale}, "pads": []int64{pad, pad, pad, pad}, "group": channels,
	}, shape, inputs...)}
}

// bilinearResize2D interpolates to a size or by factors. Unless align_corners is
// off, the corners of both images lie on each other.
func bilinearResize2D(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	height, width := x.Integer("height", 1), x.Integer("width", 1)
	scaleHeight, byHeight := x.Get("scale_height")
	scaleWidth, byWidth := x.Get("scale_width")
	x.Choice("mode", "size")
	corners := "align_corners"
	if !x.Flag("align_corners", true) {
		corners = "half_pixel"
	}
	if x.Err != nil || !x.Rank(data, 4) {
		return nil
	}
	attributes := onnx.Attributes{"mode": "linear", "coordinate_transformation_mode": corners}
	if byHeight = byHeight && scaleHeight != "None"; !byHeight {
		size := x.Add("Concat", onnx.Attributes{"axis": 0}, conversion.FixedDims(4), x.SizesOf(data, 0, 1), x.Ints(height, width))
		return []conversion.Tensor{x.Add("Resize", attributes, []conversion.Dim{data.Shape[0], data.Shape[1], conversion.Fixed(height), conversion.Fixed(width)}, data, conversion.Absent, conversion.Absent, size)}
	}
	if !byWidth || scaleWidth == "None" {
		x.Inconsistent("it has a scale_height and no scale_width")
	}
	// Whole factors only: those of others are rounded in more than one way.
	factors := [2]int64{factor(x, "scale_height"), factor(x, "scale_width")}
	if x.Err != nil {
		return nil
	}
	shape := slices.Clone(data.Shape)
	for i, f := range factors {
		shape[2+i] = shape[2+i].Scaled(shape[2+i].Size*f, f, 1)
	}
	scales := x.Floats("scales", []int64{4}, []float32{1, 1, float32(factors[0]), float32(factors[1])})
	return []conversion.Tensor{x.Add("Resize", attributes, shape, data, conversion.Absent, scales)}
}

// factor reads a real number that must be a whole one above 0.
func factor(x *conversion.Call, key string) int64 {
	f := x.Number(key, 1)
	if f < 1 || f > 1<<16 || f != float64(int64(f)) {
		x.Unsupported("%s %v is no whole number above 0", key, f)
		return 1
	}
	return int64(f)
}
