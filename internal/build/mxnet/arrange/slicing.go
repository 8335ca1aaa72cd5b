package arrange

import (
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

// concat joins tensors along an axis.
func concat(x *conversion.Call) []conversion.Tensor {
	return x.Concatenate(x.Integer("dim", 1), x.All())
}

// stack joins tensors along a new axis.
func stack(x *conversion.Call) []conversion.Tensor {
	tensors := x.All()
	axis := x.Axis(x.Integer("axis", 0), len(tensors[0].Shape)+1)
	if x.Err != nil {
		return nil
	}
	for i, t := range tensors {
		if axis > len(t.Shape) {
			x.Inconsistent("its inputs have different numbers of axes")
			return nil
		}
		shape := slices.Insert(slices.Clone(t.Shape), axis, conversion.Fixed(1))
		tensors[i] = x.Add("Unsqueeze", nil, shape, t, x.Ints(int64(axis)))
	}
	return x.Concatenate(int64(axis), tensors)
}

// split cuts an axis into equal parts.
func split(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	parts, squeezed := x.Count("num_outputs"), x.Flag("squeeze_axis", false)
	axis := x.Axis(x.Integer("axis", 1), len(data.Shape))
	if x.Err != nil {
		return nil
	}
	d := data.Shape[axis]
	if d.Dynamic {
		x.NeedFixed("it splits an axis that depends on the image's size")
	}
	if parts > mxnet.MaxEdges || d.Size%parts != 0 || squeezed && d.Size != parts {
		x.Inconsistent("an axis of %d does not make %d parts", d.Size, parts)
	}
	if x.Err != nil {
		return nil
	}
	shape := slices.Clone(data.Shape)
	shape[axis] = conversion.Fixed(d.Size / parts)
	outputs := []conversion.Tensor{data}
	if parts > 1 {
		lengths := slices.Repeat([]int64{d.Size / parts}, int(parts))
		outputs = x.AddSeveral("Split", onnx.Attributes{"axis": axis}, slices.Repeat([][]conversion.Dim{shape}, int(parts)), data, x.Ints(lengths...))
	}
	if squeezed {
		for i, out := range outputs {
			outputs[i] = x.Add("Squeeze", nil, slices.Delete(slices.Clone(shape), axis, axis+1), out, x.Ints(int64(axis)))
		}
	}
	return outputs
}

// cut is a range of an axis.
type cut struct {
	axis             int
	begin, end, step int64
	hasBegin, hasEnd bool
}

// slice cuts ranges out, with the meaning of Python's begin:end:step.
func sliceRanges(x *conversion.Call, data conversion.Tensor, cuts []cut) []conversion.Tensor {
	shape := slices.Clone(data.Shape)
	var begins, ends, axes, steps []int64
	for _, c := range cuts {
		d := shape[c.axis]
		begin, end := c.begin, c.end
		if !c.hasBegin {
			begin = 0
			if c.step < 0 {
				begin = math.MaxInt64
			}
		}
		if !c.hasEnd {
			end = math.MaxInt64
			if c.step < 0 {
				end = math.MinInt64
			}
		}
		begins, ends, axes, steps = append(begins, begin), append(ends, end), append(axes, int64(c.axis)), append(steps, c.step)
		n := rangeLength(begin, end, c.step, d.Size)
		if n < 1 {
			x.Inconsistent("nothing is left of axis %d, which has %d", c.axis, d.Size)
		}
		shape[c.axis] = d.Scaled(n, 1, max(c.step, -c.step, 1))
		// With both ends counted from the same side the length is the same for
		// every size.
		if d.Dynamic && c.hasBegin && c.hasEnd && (begin < 0) == (end < 0) {
			shape[c.axis] = conversion.Fixed(n)
		}
	}
	if x.Err != nil {
		return nil
	}
	return []conversion.Tensor{x.Add("Slice", nil, shape, data, x.Ints(begins...), x.Ints(ends...), x.Ints(axes...), x.Ints(steps...))}
}

func rangeLength(begin, end, step, size int64) int64 {
	if begin < 0 {
		begin = max(begin+size, -1)
	}
	if end < 0 && end > math.MinInt64 {
		end += size
	}
	switch {
	case step > 0:
		begin, end = min(max(begin, 0), size), min(max(end, 0), size)
		return max(0, (end-begin+step-1)/step)
	case step < 0:
		begin, end = min(begin, size-1), max(end, -1)
		return max(0, (begin-end-step-1)/-step)
	}
	return 0
}

func sliceAxis(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	c := cut{axis: x.Axis(x.Integer("axis", 0), len(data.Shape)), step: 1}
	c.begin, c.hasBegin = x.Optional("begin")
	c.end, c.hasEnd = x.Optional("end")
	if x.Err != nil {
		return nil
	}
	return sliceRanges(x, data, []cut{c})
}

func slice(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	begins, noBegins := x.Optionals("begin")
	ends, noEnds := x.Optionals("end")
	steps, noSteps := x.Optionals("step")
	if len(begins) == 0 || len(begins) != len(ends) || len(begins) > len(data.Shape) || len(steps) > 0 && len(steps) != len(begins) {
		x.Inconsistent("begin, end and step have %d, %d and %d numbers for %d axes", len(begins), len(ends), len(steps), len(data.Shape))
	}
	if x.Err != nil {
		return nil
	}
	var cuts []cut
	for i := range begins {
		c := cut{axis: i, begin: begins[i], end: ends[i], step: 1, hasBegin: !noBegins[i], hasEnd: !noEnds[i]}
		if len(steps) > 0 && !noSteps[i] {
			c.step = steps[i]
		}
		if c.step == 0 {
			x.Inconsistent("step %v has a zero", steps)
			return nil
		}
		cuts = append(cuts, c)
	}
	return sliceRanges(x, data, cuts)
}

// sliceLike cuts axes to the length that they have in another tensor.
func sliceLike(x *conversion.Call) []conversion.Tensor {
	data, like := x.Tensor(0), x.Tensor(1)
	rank := min(len(data.Shape), len(like.Shape))
	var axes []int64
	if given := x.Tuple("axes"); len(given) > 0 {
		for _, axis := range given {
			axes = append(axes, int64(x.Axis(axis, rank)))
		}
	} else {
		for axis := range rank {
			axes = append(axes, int64(axis))
		}
	}
	if x.Err != nil || len(axes) == 0 {
		return []conversion.Tensor{data}
	}
	return cropTo(x, data, like, axes, make([]int64, len(axes)))
}

// cropTo cuts axes to the length of those of like, from offsets on.
func cropTo(x *conversion.Call, data, like conversion.Tensor, axes, offsets []int64) []conversion.Tensor {
	shape := slices.Clone(data.Shape)
	for i, axis := range axes {
		shape[axis] = like.Shape[axis]
		if offsets[i] < 0 || offsets[i]+like.Shape[axis].Size > data.Shape[axis].Size {
			x.Inconsistent("shape %v cannot be cut to %v from %v on", conversion.Sizes(data.Shape), conversion.Sizes(like.Shape), offsets)
			return nil
		}
	}
	begins := x.Ints(offsets...)
	ends := x.SizesOf(like, axes...)
	if slices.ContainsFunc(offsets, func(o int64) bool { return o != 0 }) {
		ends = x.Add("Add", nil, ends.Shape, ends, begins)
	}
	return []conversion.Tensor{x.Add("Slice", nil, shape, data, begins, ends, x.Ints(axes...))}
}

// crop cuts height and width to given ones, or to those of a second input.
func crop(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	offset := x.PerAxis("offset", 2, 0)
	size := x.PerAxis("h_w", 2, 0)
	centre := x.Flag("center_crop", false)
	if x.Err != nil || !x.Rank(data, 4) {
		return nil
	}
	like := conversion.Tensor{Shape: append(slices.Clone(data.Shape[:2]), conversion.FixedDims(size...)...)}
	if len(x.In) == 2 {
		if like = x.Tensor(1); !x.Rank(like, 4) {
			return nil
		}
	}
	for i := range offset {
		if !centre {
			break
		}
		if room := data.Shape[2+i]; room.Dynamic && room != like.Shape[2+i] {
			x.NeedFixed("where the centre is depends on the image's size")
		}
		offset[i] = (data.Shape[2+i].Size - like.Shape[2+i].Size) / 2
	}
	if x.Err != nil {
		return nil
	}
	return cropTo(x, data, like, []int64{2, 3}, offset)
}

// pad pads with a constant, with the border, or with its mirror image.
func pad(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	mode := x.Choice("mode", "", "constant", "edge", "reflect")
	widths, value := x.Tuple("pad_width"), x.Number("constant_value", 0)
	if len(widths) != 2*len(data.Shape) || mode == "" {
		x.Inconsistent("mode is %q, and pad_width %v must have two numbers for each of the %d axes", mode, widths, len(data.Shape))
	}
	if x.Err != nil {
		return nil
	}
	var before, after []int64
	shape := slices.Clone(data.Shape)
	for i, d := range data.Shape {
		low, high := widths[2*i], widths[2*i+1]
		if low < 0 || high < 0 || mode == "reflect" && max(low, high) >= d.Size {
			x.Inconsistent("pad_width %v does not fit the shape %v", widths, conversion.Sizes(data.Shape))
			return nil
		}
		before, after = append(before, low), append(after, high)
		if low+high > 0 {
			shape[i] = d.Scaled(d.Size+low+high, 1, 1)
		}
	}
	inputs := []conversion.Tensor{data, x.Ints(slices.Concat(before, after)...)}
	if mode == "constant" {
		inputs = append(inputs, x.Scalar(float32(value)))
	}
	return []conversion.Tensor{x.Add("Pad", onnx.Attributes{"mode": mode}, shape, inputs...)}
}
