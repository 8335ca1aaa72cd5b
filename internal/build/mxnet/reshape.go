package mxnet

import (
	"slices"

	"github.com/brainseg/brainseg/internal/build/onnx"
)

func flatten(x *call) []tensor {
	data := x.tensor(0)
	if !x.rank(data, 1) {
		return nil
	}
	return []tensor{x.flat(data)}
}

// flat makes all axes but the first one.
func (x *call) flat(t tensor) tensor {
	return x.add("Flatten", onnx.Attributes{"axis": 1}, []dim{t.shape[0], merged(t.shape[1:])}, t)
}

// reshape has numbers for sizes and, below 1, codes: 0 keeps an axis, -1 is what
// is left, -2 keeps all axes that follow, -3 merges two, -4 splits one into the
// two numbers behind it.
func reshape(x *call) []tensor {
	data := x.tensor(0)
	codes, reverse := x.tuple("shape"), x.flag("reverse", false)
	if len(codes) == 0 { // before 0.9
		codes = x.tuple("target_shape")
	} else {
		x.get("target_shape")
	}
	if x.flag("keep_highest", false) {
		x.unsupported("keep_highest is an attribute of versions before 0.9")
	}
	if len(codes) == 0 {
		x.inconsistent("it has no shape")
	}
	if x.err != nil {
		return nil
	}
	from := slices.Clone(data.shape)
	if reverse {
		if slices.Contains(codes, -4) {
			x.unsupported("reverse with code -4")
			return nil
		}
		slices.Reverse(from)
		slices.Reverse(codes)
	}
	r := &reshaping{x: x, from: from}
	r.resolve(codes)
	if x.err != nil {
		return nil
	}
	if reverse {
		slices.Reverse(r.out)
	}
	return []tensor{x.add("Reshape", nil, r.out, data, x.ints(r.spec(data.shape)...))}
}

type reshaping struct {
	x    *call
	from []dim
	at   int // of from, the next axis
	out  []dim
}

// next takes n axes of the input.
func (r *reshaping) next(n int) []dim {
	if r.at+n > len(r.from) {
		r.x.inconsistent("its shape uses more axes than the %d of its input", len(r.from))
		return slices.Repeat([]dim{fixed(1)}, n)
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
				x.inconsistent("its shape %v has more than one -1", codes)
				return
			}
			infer = len(r.out)
			r.out = append(r.out, fixed(1))
			r.at = min(r.at+1, len(r.from))
		case code == -2:
			r.out = append(r.out, r.next(len(r.from)-r.at)...)
		case code == -3:
			r.out = append(r.out, merged(r.next(2)))
		case code == -4:
			if i+2 >= len(codes) {
				x.inconsistent("code -4 of its shape %v needs two numbers behind it", codes)
				return
			}
			r.split(r.next(1)[0], codes[i+1], codes[i+2])
			i += 2
		case code > 0:
			r.out = append(r.out, fixed(code))
			r.at = min(r.at+1, len(r.from))
		default:
			x.inconsistent("its shape has the unknown code %d", code)
			return
		}
	}
	total, given := product(sizes(r.from)...), product(sizes(r.out)...)
	if infer >= 0 && given > 0 && total%given == 0 {
		r.out[infer] = fixed(total / given)
		// What no other axis keeps of the image's size is in this one.
		left := dynamics(r.from) - dynamics(r.out)
		r.out[infer].dynamic, r.out[infer].merged = left > 0, left
		given = total
	}
	switch {
	case given != total:
		x.inconsistent("its shape %v does not fit an input of shape %v", codes, sizes(r.from))
	case dynamics(r.from) > dynamics(r.out):
		x.needFixed("its shape has fixed numbers for axes that depend on the image's size")
	}
}

// dynamics counts axes that depend on the image's size; an axis of two counts as
// two.
func dynamics(dims []dim) int {
	n := 0
	for _, d := range dims {
		if d.dynamic {
			n += max(1, d.merged)
		}
	}
	return n
}

func (r *reshaping) split(d dim, a, b int64) {
	if d.dynamic {
		r.x.needFixed("it splits an axis that depends on the image's size")
	}
	if a == -1 && b > 0 {
		a = d.size / b
	} else if b == -1 && a > 0 {
		b = d.size / a
	}
	if a < 1 || b < 1 || product(a, b) != d.size {
		r.x.inconsistent("an axis of %d cannot be split into %d and %d", d.size, a, b)
	}
	r.out = append(r.out, fixed(a), fixed(b))
}

// spec is the shape in ONNX's form, where 0 keeps an axis and -1 is what is left.
func (r *reshaping) spec(from []dim) []int64 {
	spec := sizes(r.out)
	unknown := 0
	for i, d := range r.out {
		switch {
		case !d.dynamic:
		case i < len(from) && from[i] == d:
			spec[i] = 0
		default:
			spec[i] = -1
			unknown++
		}
	}
	if unknown > 1 {
		r.x.needFixed("more than one axis of its shape depends on the image's size")
	}
	return spec
}

func transpose(x *call) []tensor {
	data := x.tensor(0)
	order := x.tuple("axes")
	if len(order) == 0 {
		for i := range data.shape {
			order = append(order, int64(len(data.shape)-1-i))
		}
	}
	seen := make(map[int]bool)
	for i, axis := range order {
		order[i] = int64(x.axis(axis, len(data.shape)))
		seen[int(order[i])] = true
	}
	if len(seen) != len(data.shape) || len(order) != len(seen) {
		x.inconsistent("axes %v are no order of the %d axes", order, len(data.shape))
	}
	if x.err != nil {
		return nil
	}
	return []tensor{x.permute(data, order)}
}

func swapAxis(x *call) []tensor {
	data := x.tensor(0)
	a, b := x.axis(x.integer("dim1", 0), len(data.shape)), x.axis(x.integer("dim2", 0), len(data.shape))
	if x.err != nil {
		return nil
	}
	order := make([]int64, len(data.shape))
	for i := range order {
		order[i] = int64(i)
	}
	order[a], order[b] = order[b], order[a]
	return []tensor{x.permute(data, order)}
}

func expandDims(x *call) []tensor {
	data := x.tensor(0)
	if _, given := x.get("axis"); !given {
		x.inconsistent("it has no axis")
	}
	axis := x.axis(x.integer("axis", 0), len(data.shape)+1)
	if x.err != nil {
		return nil
	}
	shape := slices.Insert(slices.Clone(data.shape), axis, fixed(1))
	return []tensor{x.add("Unsqueeze", nil, shape, data, x.ints(int64(axis)))}
}

// squeeze drops the axes given, or all of size 1.
func squeeze(x *call) []tensor {
	data := x.tensor(0)
	given := x.tuple("axis")
	drop := make([]bool, len(data.shape))
	for _, a := range given {
		if i := x.axis(a, len(data.shape)); x.err == nil {
			drop[i] = true
		}
	}
	var shape []dim
	var axes []int64
	for i, d := range data.shape {
		switch {
		case len(given) == 0 && d.size == 1 && d.dynamic:
			x.needFixed("whether it drops an axis depends on the image's size")
		case len(given) == 0 && d.size == 1:
			axes = append(axes, int64(i))
		case drop[i]:
			if d.dynamic {
				x.needFixed("it drops an axis that depends on the image's size")
			}
			if d.size != 1 {
				x.inconsistent("axis %d has the size %d, not 1", i, d.size)
			}
			axes = append(axes, int64(i))
		default:
			shape = append(shape, d)
		}
	}
	if x.err != nil || len(axes) == 0 {
		return []tensor{data}
	}
	return []tensor{x.whole(x.add("Squeeze", nil, shape, data, x.ints(axes...)))}
}

// blocks moves squares of elements to channels, or back.
func blocks(operator string) func(*call) []tensor {
	return func(x *call) []tensor {
		data := x.tensor(0)
		size := x.count("block_size")
		if x.err != nil || !x.rank(data, 4) {
			return nil
		}
		n, c, h, w := data.shape[0], data.shape[1].size, data.shape[2], data.shape[3]
		shape := []dim{n, fixed(c / size / size), h.scaled(h.size*size, size, 1), w.scaled(w.size*size, size, 1)}
		divisible := c%(size*size) == 0
		if operator == "SpaceToDepth" {
			shape = []dim{n, fixed(c * size * size), h.scaled(h.size/size, 1, size), w.scaled(w.size/size, 1, size)}
			divisible = h.size%size == 0 && w.size%size == 0
		}
		if !divisible {
			x.inconsistent("the shape %v does not divide into blocks of %d", sizes(data.shape), size)
		}
		return []tensor{x.add(operator, onnx.Attributes{"blocksize": size}, shape, data)}
	}
}
