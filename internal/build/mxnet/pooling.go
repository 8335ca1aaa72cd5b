package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

func pooling(x *call) []tensor {
	x.channelsFirst()
	data := x.tensor(0)
	kind := x.choice("pool_type", "max", "avg", "sum", "lp")
	// The powers of MXNet keep their sign, so that the first norm is the sum.
	if power := x.integer("p_value", 2); kind == "lp" && power == 1 {
		kind = "sum"
	} else if kind == "lp" && power != 2 {
		x.unsupported("p_value %d is neither 1 nor 2", power)
	}
	countPad := true
	if include, given := x.get("count_include_pad"); given && include != "None" {
		countPad = x.flag("count_include_pad", true)
	}
	convention := x.choice("pooling_convention", "valid", "full")
	if x.flag("global_pool", false) {
		x.get("kernel")
		x.get("stride")
		x.get("pad")
		return x.globalPooling(data, kind)
	}
	w := x.window(data)
	if x.err != nil {
		return nil
	}
	n := len(w.kernel)
	shape := slices.Clone(data.shape[:2])
	after := slices.Clone(w.pad)
	for i, d := range data.shape[2:] {
		room := d.size + 2*w.pad[i] - w.kernel[i]
		if room < 0 {
			x.inconsistent("its kernel is larger than its input")
			return nil
		}
		out := room/w.stride[i] + 1
		if convention == "full" {
			out = (room+w.stride[i]-1)/w.stride[i] + 1
			after[i] += x.roundUp(d, room, w.kernel[i], w.stride[i], w.pad[i])
		}
		shape = append(shape, d.scaled(out, 1, w.stride[i]))
	}
	pads := slices.Concat(w.pad, after)
	attributes := onnx.Attributes{"kernel_shape": w.kernel, "strides": w.stride, "pads": pads}
	switch kind {
	case "max":
		return []tensor{x.add("MaxPool", attributes, shape, data)}
	case "lp":
		attributes["p"] = 2
		return []tensor{x.add("LpPool", attributes, shape, data)}
	case "sum":
		delete(attributes, "pads")
		mean := x.add("AveragePool", attributes, shape, x.padZeros(data, w.pad, after))
		return []tensor{x.add("Mul", nil, shape, mean, x.scalar(float32(product(w.kernel...))))}
	}
	// MXNet counts the padding that was asked for, but not the elements beyond it
	// that a rounded up output reaches.
	switch {
	case !countPad:
	case slices.Equal(w.pad, after):
		attributes["count_include_pad"] = 1
	case slices.Max(w.pad) > 0:
		data = x.padZeros(data, w.pad, w.pad)
		for i := range n {
			pads[i], pads[n+i] = 0, after[i]-w.pad[i]
		}
	}
	return []tensor{x.add("AveragePool", attributes, shape, data)}
}

// roundUp returns by how much more the end of an axis must be padded for an output
// that is rounded up. A stride less one does for every size of input; ONNX
// Runtime wants padding to be smaller than the kernel, so that it cannot always
// be that much.
func (x *call) roundUp(d dim, room, kernel, stride, pad int64) int64 {
	more := stride - 1
	if pad+more < kernel {
		return more
	}
	if d.dynamic {
		x.needFixed("the padding of its rounded up output depends on the image's size")
		return 0
	}
	more = (stride - room%stride) % stride
	if pad+more >= kernel {
		x.unsupported("pooling_convention full with stride %d over a kernel of %d leaves windows without an element", stride, kernel)
	}
	return more
}

func (x *call) padZeros(data tensor, before, after []int64) tensor {
	if slices.Max(before) == 0 && slices.Max(after) == 0 {
		return data
	}
	shape := slices.Clone(data.shape)
	for i := range before {
		shape[2+i] = shape[2+i].scaled(shape[2+i].size+before[i]+after[i], 1, 1)
	}
	none := []int64{0, 0}
	return x.add("Pad", nil, shape, data, x.ints(slices.Concat(none, before, none, after)...))
}

func (x *call) globalPooling(data tensor, kind string) []tensor {
	if !x.rank(data, 3) {
		return nil
	}
	shape := slices.Clone(data.shape)
	var axes []int64
	for i := range data.shape[2:] {
		shape[2+i] = fixed(1)
		axes = append(axes, int64(2+i))
	}
	switch kind {
	case "max":
		return []tensor{x.add("GlobalMaxPool", nil, shape, data)}
	case "avg":
		return []tensor{x.add("GlobalAveragePool", nil, shape, data)}
	case "sum":
		return []tensor{x.reduce("ReduceSum", data, axes, true)}
	}
	return []tensor{x.add("GlobalLpPool", onnx.Attributes{"p": 2}, shape, data)}
}

// adaptiveAvgPooling2D gives means over a grid of windows, one for all unless
// output_size is set.
func adaptiveAvgPooling2D(x *call) []tensor {
	data := x.tensor(0)
	grid := x.tuple("output_size")
	if x.err != nil || !x.rank(data, 4) {
		return nil
	}
	switch len(grid) {
	case 0:
		grid = []int64{1, 1}
	case 1:
		grid = append(grid, grid[0])
	}
	if len(grid) != 2 || min(grid[0], grid[1]) < 1 {
		x.inconsistent("output_size %v must be two numbers above 0", grid)
		return nil
	}
	if grid[0] == 1 && grid[1] == 1 {
		return x.globalPooling(data, "avg")
	}
	var kernel []int64
	for i, d := range data.shape[2:] {
		if d.dynamic {
			x.needFixed("the size of its windows depends on the image's")
		}
		if d.size%grid[i] != 0 {
			x.unsupported("output_size %v does not divide the shape %v", grid, sizes(data.shape))
		}
		kernel = append(kernel, d.size/grid[i])
	}
	if x.err != nil {
		return nil
	}
	shape := append(slices.Clone(data.shape[:2]), fixedDims(grid...)...)
	return []tensor{x.add("AveragePool", onnx.Attributes{"kernel_shape": kernel, "strides": kernel}, shape, data)}
}
