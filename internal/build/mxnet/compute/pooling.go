package compute

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

func pooling(x *conversion.Call) []conversion.Tensor {
	channelsFirst(x)
	data := x.Tensor(0)
	kind := x.Choice("pool_type", "max", "avg", "sum", "lp")
	// The powers of MXNet keep their sign, so that the first norm is the sum.
	if power := x.Integer("p_value", 2); kind == "lp" && power == 1 {
		kind = "sum"
	} else if kind == "lp" && power != 2 {
		x.Unsupported("p_value %d is neither 1 nor 2", power)
	}
	countPad := true
	if include, given := x.Get("count_include_pad"); given && include != "None" {
		countPad = x.Flag("count_include_pad", true)
	}
	convention := x.Choice("pooling_convention", "valid", "full")
	if x.Flag("global_pool", false) {
		x.Get("kernel")
		x.Get("stride")
		x.Get("pad")
		return globalPooling(x, data, kind)
	}
	w := windowOf(x, data)
	if x.Err != nil {
		return nil
	}
	n := len(w.kernel)
	shape := slices.Clone(data.Shape[:2])
	after := slices.Clone(w.pad)
	for i, d := range data.Shape[2:] {
		room := d.Size + 2*w.pad[i] - w.kernel[i]
		if room < 0 {
			x.Inconsistent("its kernel is larger than its input")
			return nil
		}
		out := room/w.stride[i] + 1
		if convention == "full" {
			out = (room+w.stride[i]-1)/w.stride[i] + 1
			after[i] += roundUp(x, d, room, w.kernel[i], w.stride[i], w.pad[i])
		}
		shape = append(shape, d.Scaled(out, 1, w.stride[i]))
	}
	pads := slices.Concat(w.pad, after)
	attributes := onnx.Attributes{"kernel_shape": w.kernel, "strides": w.stride, "pads": pads}
	switch kind {
	case "max":
		return []conversion.Tensor{x.Add("MaxPool", attributes, shape, data)}
	case "lp":
		attributes["p"] = 2
		return []conversion.Tensor{x.Add("LpPool", attributes, shape, data)}
	case "sum":
		delete(attributes, "pads")
		mean := x.Add("AveragePool", attributes, shape, padZeros(x, data, w.pad, after))
		return []conversion.Tensor{x.Add("Mul", nil, shape, mean, x.Scalar(float32(conversion.Product(w.kernel...))))}
	}
	// MXNet counts the padding that was asked for, but not the elements beyond it
	// that a rounded up output reaches.
	switch {
	case !countPad:
	case slices.Equal(w.pad, after):
		attributes["count_include_pad"] = 1
	case slices.Max(w.pad) > 0:
		data = padZeros(x, data, w.pad, w.pad)
		for i := range n {
			pads[i], pads[n+i] = 0, after[i]-w.pad[i]
		}
	}
	return []conversion.Tensor{x.Add("AveragePool", attributes, shape, data)}
}

// roundUp returns by how much more the end of an axis must be padded for an output
// that is rounded up. A stride less one does for every size of input; ONNX
// Runtime wants padding to be smaller than the kernel, so that it cannot always
// be that much.
func roundUp(x *conversion.Call, d conversion.Dim, room, kernel, stride, pad int64) int64 {
	more := stride - 1
	if pad+more < kernel {
		return more
	}
	if d.Dynamic {
		x.NeedFixed("the padding of its rounded up output depends on the image's size")
		return 0
	}
	more = (stride - room%stride) % stride
	if pad+more >= kernel {
		x.Unsupported("pooling_convention full with stride %d over a kernel of %d leaves windows without an element", stride, kernel)
	}
	return more
}

func padZeros(x *conversion.Call, data conversion.Tensor, before, after []int64) conversion.Tensor {
	if slices.Max(before) == 0 && slices.Max(after) == 0 {
		return data
	}
	shape := slices.Clone(data.Shape)
	for i := range before {
		shape[2+i] = shape[2+i].Scaled(shape[2+i].Size+before[i]+after[i], 1, 1)
	}
	none := []int64{0, 0}
	return x.Add("Pad", nil, shape, data, x.Ints(slices.Concat(none, before, none, after)...))
}

func globalPooling(x *conversion.Call, data conversion.Tensor, kind string) []conversion.Tensor {
	if !x.Rank(data, 3) {
		return nil
	}
	shape := slices.Clone(data.Shape)
	var axes []int64
	for i := range data.Shape[2:] {
		shape[2+i] = conversion.Fixed(1)
		axes = append(axes, int64(2+i))
	}
	switch kind {
	case "max":
		return []conversion.Tensor{x.Add("GlobalMaxPool", nil, shape, data)}
	case "avg":
		return []conversion.Tensor{x.Add("GlobalAveragePool", nil, shape, data)}
	case "sum":
		return []conversion.Tensor{x.Reduce("ReduceSum", data, axes, true)}
	}
	return []conversion.Tensor{x.Add("GlobalLpPool", onnx.Attributes{"p": 2}, shape, data)}
}

// adaptiveAvgPooling2D gives means over a grid of windows, one for all unless
// output_size is set.
func adaptiveAvgPooling2D(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	grid := x.Tuple("output_size")
	if x.Err != nil || !x.Rank(data, 4) {
		return nil
	}
	switch len(grid) {
	case 0:
		grid = []int64{1, 1}
	case 1:
		grid = append(grid, grid[0])
	}
	if len(grid) != 2 || min(grid[0], grid[1]) < 1 {
		x.Inconsistent("output_size %v must be two numbers above 0", grid)
		return nil
	}
	if grid[0] == 1 && grid[1] == 1 {
		return globalPooling(x, data, "avg")
	}
	var kernel []int64
	for i, d := range data.Shape[2:] {
		if d.Dynamic {
			x.NeedFixed("the size of its windows depends on the image's")
		}
		if d.Size%grid[i] != 0 {
			x.Unsupported("output_size %v does not divide the shape %v", grid, conversion.Sizes(data.Shape))
		}
		kernel = append(kernel, d.Size/grid[i])
	}
	if x.Err != nil {
		return nil
	}
	shape := append(slices.Clone(data.Shape[:2]), conversion.FixedDims(grid...)...)
	return []conversion.Tensor{x.Add("AveragePool", onnx.Attributes{"kernel_shape": kernel, "strides": kernel}, shape, data)}
}
