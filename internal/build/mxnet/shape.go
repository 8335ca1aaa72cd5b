package mxnet

import (
	"fmt"
	"math"
)

// dim is one axis of a tensor. Its size is that at the shape of the input that
// the model was saved with; a dynamic one changes with the height or the width of
// the image, and then is that times num / den, as far as borders let it be.
type dim struct {
	size     int64
	dynamic  bool
	num, den int64
	merged   int // how many dynamic axes this one was made of, 0 for one
}

func fixed(size int64) dim { return dim{size: size, num: 1, den: 1} }

func fixedDims(sizes ...int64) []dim {
	dims := make([]dim, len(sizes))
	for i, size := range sizes {
		dims[i] = fixed(size)
	}
	return dims
}

// scaled is the axis after a layer that makes num of every den elements, and size
// of all.
func (d dim) scaled(size, num, den int64) dim {
	if !d.dynamic {
		return fixed(size)
	}
	d.size, d.num, d.den = size, d.num*num, d.den*den
	divisor := gcd(d.num, d.den)
	d.num, d.den = d.num/divisor, d.den/divisor
	return d
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func sizes(dims []dim) []int64 {
	out := make([]int64, len(dims))
	for i, d := range dims {
		out[i] = d.size
	}
	return out
}

// product multiplies sizes, and gives the largest number rather than overflow.
func product(sizes ...int64) int64 {
	n := int64(1)
	for _, size := range sizes {
		if size > 0 && n > math.MaxInt64/size {
			return math.MaxInt64
		}
		n *= size
	}
	return n
}

// merged is one axis made of several.
func merged(dims []dim) dim {
	d := fixed(product(sizes(dims)...))
	for _, part := range dims {
		if part.dynamic {
			d.dynamic = true
			d.merged += max(1, part.merged)
		}
	}
	return d
}

// broadcast returns the shape of an elementwise operation, aligned at the last
// axis as in NumPy.
func (x *call) broadcast(a, b []dim) []dim {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := make([]dim, len(a))
	copy(out, a)
	for i, d := range b {
		at := len(a) - len(b) + i
		switch other := a[at]; {
		case d.size == 1 && !d.dynamic:
		case other.size == 1 && !other.dynamic:
			out[at] = d
		case d.size != other.size:
			x.inconsistent("the shapes %v and %v do not fit together", sizes(a), sizes(b))
		case d.dynamic != other.dynamic:
			x.needFixed("it combines axes of a size that depends on the image's with axes of a fixed one")
		}
	}
	return out
}

// axis returns the index of an axis that may be counted from the end.
func (x *call) axis(axis int64, rank int) int {
	n := int64(rank)
	if axis < 0 {
		axis += n
	}
	if axis < 0 || axis >= n {
		x.inconsistent("it has no axis %d in %d axes", axis, rank)
		return 0
	}
	return int(axis)
}

// rank requires a tensor of at least that many axes.
func (x *call) rank(t tensor, atLeast int) bool {
	if len(t.shape) < atLeast {
		x.inconsistent("its input has %d axes and must have %d", len(t.shape), atLeast)
		return false
	}
	return true
}

// errFixed says that a graph can be converted for one size of image only.
type errFixed struct{ reason string }

func (e *errFixed) Error() string { return e.reason }

func (x *call) needFixed(reason string) { x.fault(&errFixed{reason}) }

func (x *call) inconsistent(format string, args ...any) {
	x.fault(fmt.Errorf("%w: %s", ErrModel, fmt.Sprintf(format, args...)))
}

func (x *call) unsupported(format string, args ...any) {
	x.fault(fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...)))
}

// fault keeps the first error of a call.
func (x *call) fault(err error) {
	if x.err == nil {
		x.err = err
	}
}
