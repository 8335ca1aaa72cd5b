package segmentation

import (
	"context"
	"image"

	"github.com/brainseg/brainseg/internal/model"
)

// frame is where a slice lies on the canvas that the network is shown, and which
// way it faces. Masks of convolutional networks hang on things that mean nothing:
// where on the grid of the coarsest layer a head lies, how much black there is
// around it, which side is left. In a frame every slice is shown alike, so a slice
// that was shifted, padded or mirrored gets the same mask to the last pixel, and
// black borders cost nothing.
//
// The training code follows the same rule: testdata/frame.json holds cases that
// both must get right.
type frame struct {
	canvas    size
	top, left int  // the canvas' upper left pixel in the slice, mirrored where that is so; may be negative
	mirrored  bool // left for right
}

// findFrame returns the frame of a slice whose window ends at high.
//
// Rows and columns with at least rule.BrightPixels pixels above rule.Bright of high
// are content; where there are none, all are. The canvas has the content in its
// middle, rule.Margin pixels around it, and sides that are multiples of multiple and
// at least rule.Least. Where the content's grey values weigh more to the left of its
// middle than to the right the slice is mirrored.
func findFrame(rule *model.Frame, multiple int, slice *image.Gray, high float32) frame {
	content := findContent(rule, slice, int(rule.Bright*float64(high)))
	f := frame{mirrored: leansLeft(slice, content)}
	left := content.Min.X
	if f.mirrored {
		left = slice.Rect.Dx() - content.Max.X
	}
	side := func(n int) int {
		return (max(n+2*rule.Margin, rule.Least) + multiple - 1) / multiple * multiple
	}
	f.canvas = size{height: side(content.Dy()), width: side(content.Dx())}
	f.top = content.Min.Y - (f.canvas.height-content.Dy())/2
	f.left = left - (f.canvas.width-content.Dx())/2
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
func (f frame) overlap(width, height int) image.Rectangle {
	return image.Rect(f.left, f.top, f.left+f.canvas.width, f.top+f.canvas.height).Intersect(image.Rect(0, 0, width, height))
}

// show returns the canvas with the slice on it, zeros around.
func (f frame) show(slice *image.Gray) *image.Gray {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	canvas := image.NewGray(image.Rect(0, 0, f.canvas.width, f.canvas.height))
	part := f.overlap(width, height)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		f.copyRow(canvas.Pix[(y-f.top)*canvas.Stride+part.Min.X-f.left:][:part.Dx()], slice.Pix[y*slice.Stride:][:width], part.Min.X)
	}
	return canvas
}

// copyRow copies pixels of a slice's row, as many as to has and from the one at
// first on, counted in the direction that the slice is shown in.
func (f frame) copyRow(to, row []uint8, first int) {
	if !f.mirrored {
		copy(to, row[first:])
		return
	}
	last := len(row) - 1 - first
	for i := range to {
		to[i] = row[last-i]
	}
}

// back writes what lies on the canvas, row by row, to the pixels of a slice of that
// width; where the canvas does not reach, fill.
func (f frame) back(to []uint8, width int, canvas []uint8, fill uint8) {
	height := len(to) / width
	part := f.overlap(width, height)
	for i := range to {
		to[i] = fill
	}
	for y := part.Min.Y; y < part.Max.Y; y++ {
		from := canvas[(y-f.top)*f.canvas.width+part.Min.X-f.left:][:part.Dx()]
		row := to[y*width:][:width]
		if !f.mirrored {
			copy(row[part.Min.X:], from)
			continue
		}
		last := width - 1 - part.Min.X
		for i, v := range from {
			row[last-i] = v
		}
	}
}

// segmentFramed has the network see the slice in its frame. What the canvas does not
// reach is background.
func (m *Model) segmentFramed(ctx context.Context, r *run) error {
	f := findFrame(m.manifest.Frame, m.manifest.Input.SizeMultiple, r.slice, r.window.High)
	pixels := f.canvas.pixels()
	shown := run{slice: f.show(r.slice), window: r.window, mask: make([]uint8, pixels)}
	if r.scores != nil {
		shown.scores = make([]uint8, pixels*len(m.manifest.Classes))
	}
	if err := m.segment(ctx, &shown); err != nil {
		return err
	}
	width := r.slice.Rect.Dx()
	f.back(r.mask, width, shown.mask, 0)
	sure := uint8(255)
	for class := range len(m.manifest.Classes) {
		if r.scores != nil {
			f.back(r.scores[class*len(r.mask):][:len(r.mask)], width, shown.scores[class*pixels:][:pixels], sure)
		}
		sure = 0
	}
	r.confidence, r.known, r.pixelsOfJudging = shown.confidence, shown.known, shown.pixelsOfJudging
	return nil
}
