package conversion

import (
	"fmt"
	"math"

	"github.com/brainseg/brainseg/internal/build/mxnet"
)

// Dim is one axis of a tensor. Its size is that at the shape of the input that
// the model was saved with; a dynamic one changes with the height or the width of
// the image, and then is that times num / den, as far as borders let it be.
type Dim struct {
	Size     int64
	Dynamic  bool
	Num, Den int64
	Merged   int // how many dynamic axes this one was made of, 0 for one
}

// Fixed is an axis of the same size for every image.
func Fixed(size int64) Dim { return Dim{Size: size, Num: 1, Den: 1} }

// FixedDims are axes of the same sizes for every image.
func FixedDims(sizes ...int64) []Dim {
	dims := make([]Dim, len(sizes))
	for i, size := range sizes {
		dims[i] = Fixed(size)
	}
	return dims
}

// Scaled is the axis after a layer that makes num of every den elements, and size
// of all.
func (d Dim) Scaled(size, num, den int64) Dim {
	if !d.Dynamic {
		return Fixed(size)
	}
	d.Size, d.Num, d.Den = size, d.Num*num, d.Den*den
	divisor := GCD(d.Num, d.Den)
	d.Num, d.Den = d.Num/divisor, d.Den/divisor
	return d
}

// GCD is the greatest common divisor.
func GCD(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Sizes of axes, at the shape that the model was saved with.
func Sizes(dims []Dim) []int64 {
	out := make([]int64, len(dims))
	for i, d := range dims {
		out[i] = d.Size
	}
	return out
}

// Product multiplies sizes, and gives the largest number rather than overflow.
func Product(sizes ...int64) int64 {
	n := int64(1)
	for _, size := range sizes {
		if size > 0 && n > math.MaxInt64/size {
			return math.MaxInt64
		}
		n *= size
	}
	return n
}

// Merged is one axis made of several.
func Merged(dims []Dim) Dim {
	d := Fixed(Product(Sizes(dims)...))
	for _, part := range dims {
		if part.Dynamic {
			d.Dynamic = true
			d.Merged += max(1, part.Merged)
		}
	}
	return d
}

// Broadcast returns the shape of an elementwise operation, aligned at the last
// axis as in NumPy.
func (x *Call) Broadcast(a, b []Dim) []Dim {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := make([]Dim, len(a))
	copy(out, a)
	for i, d := range b {
		at := len(a) - len(b) + i
		switch other := a[at]; {
		case d.Size == 1 && !d.Dynamic:
		case other.Size == 1 && !other.Dynamic:
			out[at] = d
		case d.Size != other.Size:
			x.Inconsistent("the shapes %v and %v do not fit together", Sizes(a), Sizes(b))
		case d.Dynamic != other.Dynamic:
			x.NeedFixed("it combines axes of a size that depends on the image's with axes of a fixed one")
		}
	}
	return out
}

// Axis returns the index of an axis that may be counted from the end.
func (x *Call) Axis(axis int64, rank int) int {
	n := int64(rank)
	if axis < 0 {
		axis += n
	}
	if axis < 0 || axis >= n {
		x.Inconsistent("it has no axis %d in %d axes", axis, rank)
		return 0
	}
	return int(axis)
}

// Rank requires a tensor of at least that many axes.
func (x *Call) Rank(t Tensor, atLeast int) bool {
	if len(t.Shape) < atLeast {
		x.Inconsistent("its input has %d axes and must have %d", len(t.Shape), atLeast)
		return false
	}
	return true
}

// ErrFixed says that a graph can be converted for one size of image only.
type ErrFixed struct{ reason string }

// Error returns the reason.
func (e *ErrFixed) Error() string { return e.reason }

// NeedFixed says why the graph can take one size of image only.
func (x *Call) NeedFixed(reason string) { x.fault(&ErrFixed{reason}) }

// Inconsistent says how the model contradicts itself.
func (x *Call) Inconsistent(format string, args ...any) {
	x.fault(fmt.Errorf("%w: %s", mxnet.ErrModel, fmt.Sprintf(format, args...)))
}

// Unsupported says what has no conversion.
func (x *Call) Unsupported(format string, args ...any) {
	x.fault(fmt.Errorf("%w: %s", mxnet.ErrUnsupported, fmt.Sprintf(format, args...)))
}

// fault keeps the first error of a call.
func (x *Call) fault(err error) {
	if x.Err == nil {
		x.Err = err
	}
}
