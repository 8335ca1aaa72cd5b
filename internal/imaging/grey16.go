package imaging

import (
	"image"
	"math"
)

// The share of the pixels that the window of 16-bit slices leaves out at its
// upper end, as the slices that models are trained with leave them out.
const windowHigh = 0.999

// window16 is the range of 16-bit grey values that becomes 0..255; what is
// outside of it becomes 0 or 255.
type window16 struct {
	low, high int // high is above low, or both are 0
	// negatives: values from 0x8000 on are negative numbers, and become 0.
	negatives bool
	// outliers: there are values far beyond the window.
	outliers bool
}

// findWindow returns the window of an image with the given number of pixels at
// each of the 65,536 values:
//   - Of the n pixels above low, in order of value, high is the value of the one
//     with index ceil(0.999 (n-1)), and at most twice that of the one with index
//     floor(0.99 (n-1)). A spike, an annotation or a wrapped -1 does not take
//     the contrast from the tissue; where there is none, and in any image of
//     less than a thousand pixels, high is the largest value.
//   - low is 0, but where the values, 0 aside, keep further away from 0 than they
//     are apart, as signed numbers do that were moved into the range, it is the
//     value of that with index floor(0.001 (n-1)). Where such a slice is padded
//     with 0, low is half of the window's width lower, so that the padding stays
//     darker than what it surrounds.
//   - Where there are values of less than 0x4000 and of 0xc000 and more, and none
//     between, the upper ones are negative numbers without their sign.
func findWindow(histogram *[1 << 16]uint32) window16 {
	var w window16
	all := count(histogram[:])
	if upper := count(histogram[0xc000:]); upper > 0 && upper+count(histogram[:0x4000]) == all && distinct(histogram[:0x4000]) > 1 {
		w.negatives, w.outliers = true, true
		all -= upper
	}
	values := histogram[:]
	if w.negatives {
		values = histogram[:0x4000]
	}
	positive := all - int(values[0])
	if positive == 0 {
		return w
	}
	low := at(values, 1, int(math.Floor((1-windowHigh)*float64(positive-1))))
	if top := upperEnd(values, low); low > top-low {
		w.low, w.high = low, top
		if float64(values[0]) > (1-windowHigh)*float64(all) {
			w.low -= (top - low) / 2
		}
		return w
	}
	w.high = upperEnd(values, 0)
	w.outliers = w.outliers || 4*w.high < len(values) && count(values[4*w.high:]) > 0
	return w
}

// upperEnd is the upper end of the window that begins at low.
func upperEnd(values []uint32, low int) int {
	n := count(values[low+1:])
	if n == 0 {
		return low
	}
	p99 := at(values, low+1, int(math.Floor(0.99*float64(n-1))))
	return min(at(values, low+1, int(math.Ceil(windowHigh*float64(n-1)))), low+2*(p99-low))
}

// at returns the value of the pixel with the given index among those from first
// on, in order of value.
func at(values []uint32, first, index int) int {
	seen := 0
	for v := first; v < len(values); v++ {
		if seen += int(values[v]); seen > index {
			return v
		}
	}
	return len(values) - 1
}

func count(histogram []uint32) (n int) {
	for _, c := range histogram {
		n += int(c)
	}
	return n
}

func distinct(histogram []uint32) (n int) {
	for _, c := range histogram {
		if c > 0 {
			n++
		}
	}
	return n
}

// table returns what becomes of every value.
func (w window16) table() *[1 << 16]uint8 {
	t := new([1 << 16]uint8)
	if w.high == w.low {
		return t
	}
	for v := range t {
		switch {
		case v <= w.low, w.negatives && v >= 0x8000:
		case v >= w.high:
			t[v] = 0xff
		default:
			t[v] = uint8(divideRounded(uint32(v-w.low)*0xff, uint32(w.high-w.low)))
		}
	}
	return t
}

// from16 brings 16-bit samples, big-endian and packed, channels a pixel, to 8-bit
// grey. Four channels are red, green, blue and straight alpha. The order of the
// bytes in pix may be another afterwards.
func from16(r image.Rectangle, pix []uint8, channels int) (*image.Gray, []Flag) {
	slice, flags := render16(r, pix, channels)
	for i := 0; i+1 < len(pix); i += 2 {
		pix[i], pix[i+1] = pix[i+1], pix[i]
	}
	if swapped, swappedFlags := render16(r, pix, channels); roughness(slice) > swappedSmoother*roughness(swapped) {
		return swapped, append(swappedFlags, FlagBytesSwapped)
	}
	return slice, flags
}

// swappedSmoother is how much smoother a slice must be with its bytes exchanged,
// for these to have been in the wrong order. Of 2,400 slices of heads, of 300 to
// 65,536 values and up to a tenth of noise, none was smoother with them exchanged.
const swappedSmoother = 1.25

// roughness is the mean difference of neighbours as a share of that of pixels
// half a row apart: small where the slice shows something, and about one where
// it is noise, as what is read with its bytes in the wrong order mostly is. Of
// slices too narrow or too even to tell it is 0.
func roughness(slice *image.Gray) float64 {
	const least = 16
	width := slice.Rect.Dx()
	if width < least {
		return 0
	}
	near, far := 0, 0
	for row := slice.Pix; len(row) > 0; row = row[width:] {
		for x, v := range row[:width-1] {
			beside, away := row[x+1], row[(x+width/2)%width]
			near += int(max(v, beside) - min(v, beside))
			far += int(max(v, away) - min(v, away))
		}
	}
	return float64(near) / float64(max(far, 1))
}

// render16 is from16 with the bytes in the order in which they are.
func render16(r image.Rectangle, pix []uint8, channels int) (*image.Gray, []Flag) {
	width, height := r.Dx(), r.Dy()
	var flags []Flag
	sample := func(i int) uint16 { return uint16(pix[2*i])<<8 | uint16(pix[2*i+1]) }
	grey := sample
	if channels == 4 {
		opaque := constantAlpha(pix[6:], 8, 2)
		if opaque && sample(3) != 0xffff {
			flags = append(flags, FlagAlphaIgnored)
		}
		grey = func(i int) uint16 {
			alpha := uint16(0xffff)
			if !opaque {
				alpha = sample(4*i + 3)
			}
			return grey16(sample(4*i), sample(4*i+1), sample(4*i+2), alpha)
		}
	}
	histogram := new([1 << 16]uint32)
	for i := range width * height {
		histogram[grey(i)]++
	}
	w := findWindow(histogram)
	table := w.table()
	out := image.NewGray(image.Rect(0, 0, width, height))
	for i := range out.Pix {
		out.Pix[i] = table[grey(i)]
	}
	return out, append(flags, flagIf(w.outliers, FlagOutlyingValues)...)
}

func grey16(r, g, b, a uint16) uint16 {
	sum := (30*uint64(r) + 59*uint64(g) + 11*uint64(b)) * uint64(a)
	return uint16(divideRounded(sum, 100*0xffff))
}
