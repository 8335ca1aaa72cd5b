package segmentation

import (
	"image"
	"math"
)

// Window is the range of grey values that a network stretches to its own scale:
// Low and High are grey values from 0 to 256, Low < High.
type Window struct {
	Low, High float32
}

// PercentileWindow returns the window of an image with the given number of
// pixels at each grey value. Pixels of value ignoreBelowOrEqual and less do not
// count; of the n others, in order of value, Low is the value of the one with
// index floor(low (n-1)), and High that of the one with index floor(high (n-1)).
// Where the two are equal, High is one more. Without any pixel that counts the
// window is 0 to 255.
//
// The training code follows the same rule: testdata/window.json holds cases
// that both must get right to the last bit.
func PercentileWindow(histogram *[256]int, low, high float64, ignoreBelowOrEqual int) Window {
	first := min(max(ignoreBelowOrEqual+1, 0), len(histogram))
	n := 0
	for _, count := range histogram[first:] {
		n += count
	}
	if n == 0 {
		return Window{Low: 0, High: 255}
	}
	at := func(share float64) int {
		index := int(math.Floor(share * float64(n-1)))
		seen := 0
		for v := first; v < len(histogram); v++ {
			if seen += histogram[v]; seen > index {
				return v
			}
		}
		return len(histogram) - 1
	}
	l, h := at(low), at(high)
	if h <= l {
		h = l + 1
	}
	return Window{Low: float32(l), High: float32(h)}
}

// histogram counts the pixels of each grey value.
func histogram(slice *image.Gray) [256]int {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if slice.Stride == width {
		return Counts(slice.Pix[:width*height])
	}
	var sum [256]int
	for y := range height {
		row := Counts(slice.Pix[y*slice.Stride:][:width])
		for v, count := range row {
			sum[v] += count
		}
	}
	return sum
}
