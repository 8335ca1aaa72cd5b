// Package resample brings grids of grey values to another spacing, without what
// is finer than the new grid being left to alias, and tells where the elements of
// the old grid lie on the new one, so that labels find back.
//
// It knows axes only: no millimetres, no slices and no labels. Packages
// threeplane (scans) and pixelsize (slices) call it.
package resample

import "math"

// tap is what an output element takes from its input: weights of the elements
// from first on.
type tap struct {
	first   int
	weights []float32
}

// Size is how many elements an axis of n has once it was shrunk by ratio.
func Size(n int, ratio float64) int { return max(1, int(math.Round(float64(n)/ratio))) }

// taps are those of n elements shrunk by ratio (or stretched, below 1): a cubic
// of four neighbours, widened to as many as an output element covers, so that
// nothing finer than the new grid is left to alias. At the ends the outermost
// element goes on.
func taps(n int, ratio float64) []tap {
	to := Size(n, ratio)
	scale := max(ratio, 1)
	list := make([]tap, to)
	for j := range list {
		centre := (float64(j)+0.5)*ratio - 0.5
		from, end := int(math.Ceil(centre-2*scale)), int(math.Floor(centre+2*scale))
		first := min(max(from, 0), n-1)
		last := min(max(end, 0), n-1)
		weights := make([]float64, last-first+1)
		sum := 0.0
		for i := from; i <= end; i++ {
			v := cubic((float64(i) - centre) / scale)
			weights[min(max(i, 0), n-1)-first] += v
			sum += v
		}
		list[j] = tap{first: first, weights: make([]float32, len(weights))}
		for i, v := range weights {
			list[j].weights[i] = float32(v / sum)
		}
	}
	return list
}

// cubic is the interpolating cubic of Keys (1981).
func cubic(x float64) float64 {
	switch x = math.Abs(x); {
	case x < 1:
		return (1.5*x-2.5)*x*x + 1
	case x < 2:
		return ((-0.5*x+2.5)*x-4)*x + 2
	}
	return 0
}

// Axis shrinks one axis of a volume by ratio (or stretches it, below 1), and returns
// the volume and its size. Axis 0 is the one whose elements lie side by side.
func Axis(from []uint8, size [3]int, axis int, ratio float64) ([]uint8, [3]int) {
	list := taps(size[axis], ratio)
	scaled := size
	scaled[axis] = len(list)
	to := make([]uint8, scaled[0]*scaled[1]*scaled[2])
	stride := 1 // of the axis, in both
	for a := range axis {
		stride *= size[a]
	}
	outer := len(from) / (stride * size[axis])
	sums := make([]float32, stride)
	for o := range outer {
		for j, t := range list {
			clear(sums)
			for k, weight := range t.weights {
				row := from[(o*size[axis]+t.first+k)*stride:][:stride]
				for i, v := range row {
					sums[i] += weight * float32(v)
				}
			}
			row := to[(o*scaled[axis]+j)*stride:][:stride]
			for i, v := range sums {
				row[i] = uint8(min(max(v+0.5, 0), 255))
			}
		}
	}
	return to, scaled
}

// Between tells where an element of an axis lies on the axis that was scaled:
// between its elements A and B, Part of the way to B.
type Between struct {
	A, B int32
	Part float32
}

// Betweens are those of n elements of an axis that was scaled by ratio to size.
func Betweens(n, size int, ratio float64) []Between {
	list := make([]Between, n)
	for i := range list {
		at := min(max((float64(i)+0.5)/ratio-0.5, 0), float64(size-1))
		a := int(at)
		list[i] = Between{A: int32(a), B: int32(min(a+1, size-1)), Part: float32(at - float64(a))}
	}
	return list
}
