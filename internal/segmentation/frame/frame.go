// Package frame lays slices on the canvas that a network is shown. Masks of
// convolutional networks hang on things that mean nothing: where on the grid of the
// coarsest layer a head lies, how much black there is around it, which side is left.
// In a frame every slice is shown alike, so a slice that was shifted, padded or
// mirrored gets the same mask to the last pixel, and black borders cost nothing.
//
// The rule's numbers are the model's (model.Frame); the training code follows the same
// rule, and testdata/frame.json holds cases that both must get right. The package runs
// no network and knows no classes; package segmentation calls it.
package frame

import (
	"image"

	"github.com/brainseg/brainseg/internal/model"
)

// Frame is where a slice lies on the canvas, and which way it faces.
type Frame struct {
	// Width and Height of the canvas, in pixels.
	Width, Height int
	// Top and Left are where the canvas' upper left pixel lies in the slice, mirrored
	// where that is so; they may be negative.
	Top, Left int
	// Mirrored is left for right.
	Mirrored bool
}

// Find returns the frame of a slice whose window ends at high.
//
// Rows and columns with at least rule.BrightPixels pixels above rule.Bright of high
// are content; where there are none, all are. The canvas has the content in its
// middle, rule.Margin pixels around it, and sides that are multiples of multiple and
// at least rule.Least. Where the content's grey values weigh more to the left of its
// middle than to the right the slice is mirrored.
func Find(rule *model.Frame, multiple int, slice *image.Gray, high float32) Frame {
	content := findContent(rule, slice, int(rule.Bright*float64(high)))
	f := Frame{Mirrored: leansLeft(slice, content)}
	left := content.Min.X
	if f.Mirrored {
		left = slice.Rect.Dx() - content.Max.X
	}
	side := func(n int) int {
		return (max(n+2*rule.Margin, rule.Least) + multiple - 1) / multiple * multiple
	}
	f.Width, f.Height = side(content.Dx()), side(content.Dy())
	f.Top = content.Min.Y - (f.Height-content.Dy())/2
	f.Left = left - (f.Width-content.Dx())/2
	return f
}

// findContent returns the rows and columns of a slice that hold something brighter
// than air, from the first to the last.
func findContent(rule *model.Frame, slice *image.Gray, air int) image.Rectangle {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	// holds tells whether enough of n pixels, step apart, are bright.
	holds := func(pixels []uint8, n, step int) bool {
		bright := 0
		for i := range n {
			if int(pixels[i*step]) > air {
				if bright++; bright == rule.BrightPixels {
					return true
				}
			}
		}
		return false
	}
	var r image.Rectangle
	r.Min.Y, r.Max.Y = ends(height, func(y int) bool { return holds(slice.Pix[y*slice.Stride:], width, 1) })
	r.Min.X, r.Max.X = ends(width, func(x int) bool { return holds(slice.Pix[x:], height, slice.Stride) })
	return r
}

// ends returns the first of n lines that holds something and the one after the last;
// where there is none, all of them.
func ends(n int, holds func(int) bool) (first, end int) {
	for first < n && !holds(first) {
		first++
	}
	if first == n {
		return 0, n
	}
	for end = n; !holds(end - 1); end-- {
	}
	return first, end
}

// leansLeft reports whether the grey values in r weigh more to the left of its
// middle than to the right.
func leansLeft(slice *image.Gray, r image.Rectangle) bool {
	sums := make([]int64, r.Dx())
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x, v := range slice.Pix[y*slice.Stride+r.Min.X:][:r.Dx()] {
			sums[x] += int64(v)
		}
	}
	var moment int64
	for x, sum := range sums {
		moment += sum * int64(2*x-(r.Dx()-1))
	}
	return moment < 0
}

// overlap is the part of a slice of that size that lies on the canvas, in the
// slice's pixels, mirrored where that is so.
func (f Frame) overlap(width, height int) image.Rectangle {
	return image.Rect(f.Left, f.Top, f.Left+f.Width, f.Top+f.Height).Intersect(image.Rect(0, 0, width, height))
}

// Show returns the canvas with the slice on it, zeros around.
func (f Frame) Show(slice *image.Gray) *image.Gray {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	canvas := image.NewGray(image.Rect(0, 0, f.Width, f.Height))
	part := f.overlap(width, height)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		f.copyRow(canvas.Pix[(y-f.Top)*canvas.Stride+part.Min.X-f.Left:][:part.Dx()], slice.Pix[y*slice.Stride:][:width], part.Min.X)
	}
	return canvas
}

// copyRow copies pixels of a slice's row, as many as to has and from the one at
// first on, counted in the direction that the slice is shown in.
func (f Frame) copyRow(to, row []uint8, first int) {
	if !f.Mirrored {
		copy(to, row[first:])
		return
	}
	last := len(row) - 1 - first
	for i := range to {
		to[i] = row[last-i]
	}
}

// Back writes what lies on the canvas, row by row, to the pixels of a slice of that
// width; where the canvas does not reach, fill.
func (f Frame) Back(to []uint8, width int, canvas []uint8, fill uint8) {
	height := len(to) / width
	part := f.overlap(width, height)
	for i := range to {
		to[i] = fill
	}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		from := canvas[(y-f.Top)*f.Width+part.Min.X-f.Left:][:part.Dx()]
		row := to[y*width:][:width]
		if !f.Mirrored {
			copy(row[part.Min.X:], from)
			continue
		}
		last := width - 1 - part.Min.X
		for i, v := range from {
			row[last-i] = v
		}
	}
}
