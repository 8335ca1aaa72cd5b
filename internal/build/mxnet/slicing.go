package mxnet

import (
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

// concat joins tensors along an axis.
func concat(x *call) []tensor {
	return x.concatenate(x.integer("dim", 1), x.all())
}

func (x *call) all() []tensor {
	tensors := make([]tensor, len(x.in))
	for i := range x.in {
		tensors[i] = x.tensor(i)
	}
	return tensors
}

func (x *call) concatenate(along int64, tensors []tensor) []tensor {
	first := tensors[0].shape
	axis := x.axis(along, len(first))
	for _, t := range tensors {
		if len(t.shape) != len(first) {
			x.inconsistent("its inputs have %d and %d axes", len(first), len(t.shape))
		}
	}
	if x.err != nil {
		return nil
	}
	shape := slices.Clone(first)
	for _, t := range tensors[1:] {
		for i, d := range t.shape {
			switch {
			case i == axis:
				shape[i] = dim{size: shape[i].size + d.size, dynamic: shape[i].dynamic || d.dynamic, num: 1, den: 1}
			case d.size != shape[i].size:
				x.inconsistent("the shapes %v and %v differ in axis %d", sizes(first), sizes(t.shape), i)
			case d.dynamic != shape[i].dynamic:
				x.needFixed("it joins axes of a size that depends on the image's with axes of a fixed one")
			}
		}
	}
	if len(tensors) == 1 {
		return tensors
	}
	return []tensor{x.add("Concat", onnx.Attributes{"axis": axis}, shape, tensors...)}
}

// stack joins tensors along a new axis.
func stack(x *call) []tensor {
	tensors := x.all()
	axis := x.axis(x.integer("axis", 0), len(tensors[0].shape)+1)
	if x.err != nil {
		return nil
	}
	for i, t := range tensors {
		if axis > len(t.shape) {
			x.inconsistent("its inputs have different numbers of axes")
			return nil
		}
		shape := slices.Insert(slices.Clone(t.shape), axis, fixed(1))
		tensors[i] = x.add("Unsqueeze", nil, shape, t, x.ints(int64(axis)))
	}
	return x.concatenate(int64(axis), tensors)
}

// split cuts an axis into equal parts.
func split(x *call) []tensor {
	data := x.tensor(0)
	parts, squeezed := x.count("num_outputs"), x.flag("squeeze_axis", false)
	axis := x.axis(x.integer("axis", 1), len(data.shape))
	if x.err != nil {
		return nil
	}
	d := data.shape[axis]
	if d.dynamic {
		x.needFixed("it splits an axis that depends on the image's size")
	}
	if parts > maxEdges || d.size%parts != 0 || squeezed && d.size != parts {
		x.inconsistent("an axis of %d does not make %d parts", d.size, parts)
	}
	if x.err != nil {
		return nil
	}
	shape := slices.Clone(data.shape)
	shape[axis] = fixed(d.size / parts)
	outputs := []tensor{data}
	if parts > 1 {
		lengths := slices.Repeat([]int64{d.size / parts}, int(parts))
		outputs = x.addSeveral("Split", onnx.Attributes{"axis": axis}, slices.Repeat([][]dim{shape}, int(parts)), data, x.ints(lengths...))
	}
	if squeezed {
		for i, out := range outputs {
			outputs[i] = x.add("Squeeze", nil, slices.Delete(slices.Clone(shape), axis, axis+1), out, x.ints(int64(axis)))
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
func (x *call) slice(data tensor, cuts []cut) []tensor {
	shape := slices.Clone(data.shape)
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
		n := rangeLength(begin, end, c.step, d.size)
		if n < 1 {
			x.inconsistent("nothing is left of axis %d, which has %d", c.axis, d.size)
		}
		shape[c.axis] = d.scaled(n, 1, max(c.step, -c.step, 1))
		// With both ends counted from the same side the length is the same for
		// every size.
		if d.dynamic && c.hasBegin && c.hasEnd && (begin < 0) == (end < 0) {
			shape[c.axis] = fixed(n)
		}
	}
	if x.err != nil {
		return nil
	}
	return []tensor{x.add("Slice", nil, shape, data, x.ints(begins...), x.ints(ends...), x.ints(axes...), x.ints(steps...))}
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

func sliceAxis(x *call) []tensor {
	data := x.tensor(0)
	c := cut{axis: x.axis(x.integer("axis", 0), len(data.shape)), step: 1}
	c.begin, c.hasBegin = x.optional("begin")
	c.end, c.hasEnd = x.optional("end")
	if x.err != nil {
		return nil
	}
	return x.slice(data, []cut{c})
}

func slice(x *call) []tensor {
	data := x.tensor(0)
	begins, noBegins := x.optionals("begin")
	ends, noEnds := x.optionals("end")
	steps, noSteps := x.optionals("step")
	if len(begins) == 0 || len(begins) != len(ends) || len(begins) > len(data.shape) || len(steps) > 0 && len(steps) != len(begins) {
		x.inconsistent("begin, end and step have %d, %d and %d numbers for %d axes", len(begins), len(ends), len(steps), len(data.shape))
	}
	if x.err != nil {
		return nil
	}
	var cuts []cut
	for i := range begins {
		c := cut{axis: i, begin: begins[i], end: ends[i], step: 1, hasBegin: !noBegins[i], hasEnd: !noEnds[i]}
		if len(steps) > 0 && !noSteps[i] {
			c.step = steps[i]
		}
		if c.step == 0 {
			x.inconsistent("step %v has a zero", steps)
			return nil
		}
		cuts = append(cuts, c)
	}
	return x.slice(data, cuts)
}

// sliceLike cuts axes to the length that they have in another tensor.
func sliceLike(x *call) []tensor {
	data, like := x.tensor(0), x.tensor(1)
	rank := min(len(data.shape), len(like.shape))
	var axes []int64
	if given := x.tuple("axes"); len(given) > 0 {
		for _, axis := range given {
			axes = append(axes, int64(x.axis(axis, rank)))
		}
	} else {
		for axis := range rank {
			axes = append(axes, int64(axis))
		}
	}
	if x.err != nil || len(axes) == 0 {
		return []tensor{data}
	}
	return x.cropTo(data, like, axes, make([]int64, len(axes)))
}

// cropTo cuts axes to the length of those of like, from offsets on.
func (x *call) cropTo(data, like tensor, axes, offsets []int64) []tensor {
	shape := slices.Clone(data.shape)
	for i, axis := range axes {
		shape[axis] = like.shape[axis]
		if offsets[i] < 0 || offsets[i]+like.shape[axis].size > data.shape[axis].size {
			x.inconsistent("shape %v cannot be cut to %v from %v on", sizes(data.shape), sizes(like.shape), offsets)
			return nil
		}
	}
	begins := x.ints(offsets...)
	ends := x.sizesOf(like, axes...)
	if slices.ContainsFunc(offsets, func(o int64) bool { return o != 0 }) {
		ends = x.add("Add", nil, ends.shape, ends, begins)
	}
	return []tensor{x.add("Slice", nil, shape, data, begins, ends, x.ints(axes...))}
}

// crop cuts height and width to given ones, or to those of a second input.
func crop(x *call) []tensor {
	data := x.tensor(0)
	offset := x.perAxis("offset", 2, 0)
	size := x.perAxis("h_w", 2, 0)
	centre := x.flag("center_crop", false)
	if x.err != nil || !x.rank(data, 4) {
		return nil
	}
	like := tensor{shape: append(slices.Clone(data.shape[:2]), fixedDims(size...)...)}
	if len(x.in) == 2 {
		if like = x.tensor(1); !x.rank(like, 4) {
			return nil
		}
	}
	for i := range offset {
		if !centre {
			break
		}
		if room := data.shape[2+i]; room.dynamic && room != like.shape[2+i] {
			x.needFixed("where the centre is depends on the image's size")
		}
		offset[i] = (data.shape[2+i].size - like.shape[2+i].size) / 2
	}
	if x.err != nil {
		return nil
	}
	return x.cropTo(data, like, []int64{2, 3}, offset)
}

// pad pads with a constant, with the border, or with its mirror image.
func pad(x *call) []tensor {
	data := x.tensor(0)
	mode := x.choice("mode", "", "constant", "edge", "reflect")
	widths, value := x.tuple("pad_width"), x.number("constant_value", 0)
	if len(widths) != 2*len(data.shape) || mode == "" {
		x.inconsistent("mode is %q, and pad_width %v must have two numbers for each of the %d axes", mode, widths, len(data.shape))
	}
	if x.err != nil {
		return nil
	}
	var before, after []int64
	shape := slices.Clone(data.shape)
	for i, d := range data.shape {
		low, high := widths[2*i], widths[2*i+1]
		if low < 0 || high < 0 || mode == "reflect" && max(low, high) >= d.size {
			x.inconsistent("pad_width %v does not fit the shape %v", widths, sizes(data.shape))
			return nil
		}
		before, after = append(before, low), append(after, high)
		if low+high > 0 {
			shape[i] = d.scaled(d.size+low+high, 1, 1)
		}
	}
	inputs := []tensor{data, x.ints(slices.Concat(before, after)...)}
	if mode == "constant" {
		inputs = append(inputs, x.scalar(float32(value)))
	}
	return []tensor{x.add("Pad", onnx.Attributes{"mode": mode}, shape, inputs...)}
}
