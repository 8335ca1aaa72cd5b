package arrange

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/mxnet/conversion"
	"github.com/brainseg/brainseg/internal/build/onnx"
)

func flatten(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	if !x.Rank(data, 1) {
		return nil
	}
	return []conversion.Tensor{x.Flat(data)}
}

// reshape has numbers for sizes and, below 1, codes: 0 keeps an axis, -1 is what
// is left, -2 keeps all axes that follow, -3 merges two, -4 splits one into the
// two numbers behind it.
func reshape(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	codes, reverse := x.Tuple("shape"), x.Flag("reverse", false)
	if len(codes) == 0 { // before 0.9
		codes = x.Tuple("target_shape")
	} else {
		x.Get("target_shape")
	}
	if x.Flag("keep_highest", false) {
		x.Unsupported("keep_highest is an attribute of versions before 0.9")
	}
	if len(codes) == 0 {
		x.Inconsistent("it has no shape")
	}
	if x.Err != nil {
		return nil
	}
	from := slices.Clone(data.Shape)
	if reverse {
		if slices.Contains(codes, -4) {
			x.Unsupported("reverse with code -4")
			return nil
		}
		slices.Reverse(from)
		slices.Reverse(codes)
	}
	r := &reshaping{x: x, from: from}
	r.resolve(codes)
	if x.Err != nil {
		return nil
	}
	if reverse {
		slices.Reverse(r.out)
	}
	return []conversion.Tensor{x.Add("Reshape", nil, r.out, data, x.Ints(r.spec(data.Shape)...))}
}

type reshaping struct {
	x    *conversion.Call
	from []conversion.Dim
	at   int // of from, the next axis
	out  []conversion.Dim
}

// next takes n axes of the input.
func (r *reshaping) next(n int) []conversion.Dim {
	if r.at+n > len(r.from) {
		r.x.Inconsistent("its shape uses more axes than the %d of its input", len(r.from))
		return slices.Repeat([]conversion.Dim{conversion.Fixed(1)}, n)
	}
	dims := r.from[r.at : r.at+n]
	r.at += n
	return dims
}

func (r *reshaping) resolve(codes []int64) {
	x := r.x
	infer := -1
	for i := 0; i < len(codes); i++ {
		switch code := codes[i]; {
		case code == 0:
			r.out = append(r.out, r.next(1)...)
		case code == -1:
			if infer >= 0 {
				x.Inconsistent("its shape %v has more than one -1", codes)
				return
			}
			infer = len(r.out)
			r.out = append(r.out, conversion.Fixed(1))
			r.at = min(r.at+1, len(r.from))
		case code == -2:
			r.out = append(r.out, r.next(len(r.from)-r.at)...)
		case code == -3:
			r.out = append(r.out, conversion.Merged(r.next(2)))
		case code == -4:
			if i+2 >= len(codes) {
				x.Inconsistent("code -4 of its shape %v needs two numbers behind it", codes)
				return
			}
			r.split(r.next(1)[0], codes[i+1], codes[i+2])
			i += 2
		case code > 0:
			r.out = append(r.out, conversion.Fixed(code))
			r.at = min(r.at+1, len(r.from))
		default:
			x.Inconsistent("its shape has the unknown code %d", code)
			return
		}
	}
	total, given := conversion.Product(conversion.Sizes(r.from)...), conversion.Product(conversion.Sizes(r.out)...)
	if infer >= 0 && given > 0 && total%given == 0 {
		r.out[infer] = conversion.Fixed(total / given)
		// What no other axis keeps of the image's size is in this one.
		left := dynamics(r.from) - dynamics(r.out)
		r.out[infer].Dynamic, r.out[infer].Merged = left > 0, left
		given = total
	}
	switch {
	case given != total:
		x.Inconsistent("its shape %v does not fit an input of shape %v", codes, conversion.Sizes(r.from))
	case dynamics(r.from) > dynamics(r.out):
		x.NeedFixed("its shape has fixed numbers for axes that depend on the image's size")
	}
}

// dynamics counts axes that depend on the image's size; an axis of two counts as
// two.
func dynamics(dims []conversion.Dim) int {
	n := 0
	for _, d := range dims {
		if d.Dynamic {
			n += max(1, d.Merged)
		}
	}
	return n
}

func (r *reshaping) split(d conversion.Dim, a, b int64) {
	if d.Dynamic {
		r.x.NeedFixed("it splits an axis that depends on the image's size")
	}
	if a == -1 && b > 0 {
		a = d.Size / b
	} else if b == -1 && a > 0 {
		b = d.Size / a
	}
	if a < 1 || b < 1 || conversion.Product(a, b) != d.Size {
		r.x.Inconsistent("an axis of %d cannot be split into %d and %d", d.Size, a, b)
	}
	r.out = append(r.out, conversion.Fixed(a), conversion.Fixed(b))
}

// spec is the shape in ONNX's form, where 0 keeps an axis and -1 is what is left.
func (r *reshaping) spec(from []conversion.Dim) []int64 {
	spec := conversion.Sizes(r.out)
	unknown := 0
	for i, d := range r.out {
		switch {
		case !d.Dynamic:
		case i < len(from) && from[i] == d:
			spec[i] = 0
		default:
			spec[i] = -1
			unknown++
		}
	}
	if unknown > 1 {
		r.x.NeedFixed("more than one axis of its shape depends on the image's size")
	}
	return spec
}

func transpose(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	order := x.Tuple("axes")
	if len(order) == 0 {
		for i := range data.Shape {
			order = append(order, int64(len(data.Shape)-1-i))
		}
	}
	seen := make(map[int]bool)
	for i, axis := range order {
		order[i] = int64(x.Axis(axis, len(data.Shape)))
		seen[int(order[i])] = true
	}
	if len(seen) != len(data.Shape) || len(order) != len(seen) {
		x.Inconsistent("axes %v are no order of the %d axes", order, len(data.Shape))
	}
	if x.Err != nil {
		return nil
	}
	return []conversion.Tensor{x.Permute(data, order)}
}

func swapAxis(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	a, b := x.Axis(x.Integer("dim1", 0), len(data.Shape)), x.Axis(x.Integer("dim2", 0), len(data.Shape))
	if x.Err != nil {
		return nil
	}
	order := make([]int64, len(data.Shape))
	for i := range order {
		order[i] = int64(i)
	}
	order[a], order[b] = order[b], order[a]
	return []conversion.Tensor{x.Permute(data, order)}
}

func expandDims(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	if _, given := x.Get("axis"); !given {
		x.Inconsistent("it has no axis")
	}
	axis := x.Axis(x.Integer("axis", 0), len(data.Shape)+1)
	if x.Err != nil {
		return nil
	}
	shape := slices.Insert(slices.Clone(data.Shape), axis, conversion.Fixed(1))
	return []conversion.Tensor{x.Add("Unsqueeze", nil, shape, data, x.Ints(int64(axis)))}
}

// squeeze drops the axes given, or all of size 1.
func squeeze(x *conversion.Call) []conversion.Tensor {
	data := x.Tensor(0)
	given := x.Tuple("axis")
	drop := make([]bool, len(data.Shape))
	for _, a := range given {
		if i := x.Axis(a, len(data.Shape)); x.Err == nil {
			drop[i] = true
		}
	}
	var shape []conversion.Dim
	var axes []int64
	for i, d := range data.Shape {
		switch {
		case len(given) == 0 && d.Size == 1 && d.Dynamic:
			x.NeedFixed("whether it drops an axis depends on the image's size")
		case len(given) == 0 && d.Size == 1:
			axes = append(axes, int64(i))
		case drop[i]:
			if d.Dynamic {
				x.NeedFixed("it drops an axis that depends on the image's size")
			}
			if d.Size != 1 {
				x.Inconsistent("axis %d has the size %d, not 1", i, d.Size)
			}
			axes = append(axes, int64(i))
		default:
			shape = append(shape, d)
		}
	}
	if x.Err != nil || len(axes) == 0 {
		return []conversion.Tensor{data}
	}
	return []conversion.Tensor{x.Whole(x.Add("Squeeze", nil, shape, data, x.Ints(axes...)))}
}

// blocks moves squares of elements to channels, or back.
func blocks(operator string) func(*conversion.Call) []conversion.Tensor {
	return func(x *conversion.Call) []conversion.Tensor {
		data := x.Tensor(0)
		size := x.Count("block_size")
		if x.Err != nil || !x.Rank(data, 4) {
			return nil
		}
		n, c, h, w := data.Shape[0], data.Shape[1].Size, data.Shape[2], data.Shape[3]
		shape := []conversion.Dim{n, conversion.Fixed(c / size / size), h.Scaled(h.Size*size, size, 1), w.Scaled(w.Size*size, size, 1)}
		divisible := c%(size*size) == 0
		if operator == "SpaceToDepth" {
			shape = []conversion.Dim{n, conversion.Fixed(c * size * size), h.Scaled(h.Size/size, 1, size), w.Scaled(w.Size/size, 1, size)}
			divisible = h.Size%size == 0 && w.Size%size == 0
		}
		if !divisible {
			x.Inconsistent("the shape %v does not divide into blocks of %d", conversion.Sizes(data.Shape), size)
		}
		return []conversion.Tensor{x.Add(operator, onnx.Attributes{"blocksize": size}, shape, data)}
	}
}
