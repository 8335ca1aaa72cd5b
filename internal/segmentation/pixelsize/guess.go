package pixelsize

import "image"

// Source says who stated the size of a pixel.
type Source string

// The sources, the one that counts most first.
const (
	FromRequest Source = "request"
	InFile      Source = "file"    // the picture file states it
	Guessed     Source = "guessed" // from the size of what the slice shows
	Assumed     Source = "assumed" // the network's own
)

// Find is the size of a slice's pixels from what is known: what a request states,
// then what the file does, both in mm from column to column and from row to row,
// 0 for nothing, then a guess.
func Find(stated, inFile [2]float64, slice *image.Gray) (Size, Source) {
	if stated != [2]float64{} {
		return Size{Across: stated[0], Down: stated[1]}, FromRequest
	}
	if size, ok := FromFile(inFile[0], inFile[1]); ok {
		return size, InFile
	}
	if size, ok := Guess(slice); ok {
		return size, Guessed
	}
	return Of, Assumed
}

// What a slice shows, in pixels of 1 mm: the longer side of a head is 140 to 220
// of them in all but the outermost slices, that of a brain without its skull 60
// to 170. A network sees either well at 0.7 to 1.4 mm. So sizes are guessed where
// what is seen would be larger than any head (pixels are finer than 1 mm), or the
// whole picture smaller than one (they are coarser).
//
// Measured on slices of five people that no network was trained on, mean
// Dice at a true 0.4, 0.5, 1 and 2 mm: whole heads as they are 0.245, 0.657,
// 0.830, 0.632, guessed 0.795, 0.800, 0.830, 0.792; stripped 0.693, 0.796, 0.889,
// 0.517, guessed 0.820, 0.825, 0.889, 0.860.
const (
	longest     = 240 // pixels of what is seen, beyond which pixels are finer
	longLength  = 180 // mm that it is taken to be then
	shortest    = 110 // pixels of what is seen, below which pixels are coarser ...
	smallSide   = 144 // ... if no side of the picture has more pixels
	tiny        = 40  // pixels of what is seen, below which it is no head
	shortLength = 150 // mm that it is taken to be then
	finest      = 0.3 // mm, that are guessed
	coarsest    = 2.0
	darkest     = 0.12 // of the bright end: what is below is air
	leastShare  = 0.04 // of a row or column that is seen: less is noise or a mark
)

// Guess tells the size of a slice's pixels from what it shows. It is false where
// the pixels can be taken for the network's, or where the picture is not of one
// slice. The slice's stride is its width.
func Guess(slice *image.Gray) (Size, bool) {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	side := max(width, height)
	if side > smallSide && side <= longest {
		return Of, false
	}
	length := max(extents(slice))
	mm := 1.0
	switch {
	case length > longest:
		mm = max(longLength/float64(length), finest)
	case length >= tiny && length < shortest && side <= smallSide:
		mm = min(shortLength/float64(length), coarsest)
	default:
		return Of, false
	}
	return Size{Across: mm, Down: mm}, true
}

// A brain or a head is at most so many times longer one way than the other, in all
// but its outermost slices.
const roundest = 1.7

// oblong are the ratios of sides that pixels are tried with.
var oblong = []float64{1.5, 2, 3}

// Oblong returns the sizes that a slice's pixels may have if what it shows is too
// long one way for a head in square ones; mostly there are none. Finer sides have
// the length of the network's. The slice's stride is its width.
func Oblong(slice *image.Gray) []Size {
	across, down := extents(slice)
	if min(across, down) < tiny/4 || max(across, down) < tiny {
		return nil
	}
	var sizes []Size
	for _, ratio := range oblong {
		switch {
		case float64(down) > roundest*float64(across):
			sizes = append(sizes, Size{Across: Of.Across * ratio, Down: Of.Down})
		case float64(across) > roundest*float64(down):
			sizes = append(sizes, Size{Across: Of.Across, Down: Of.Down * ratio})
		}
	}
	return sizes
}

// Usual are the sizes of pixels, in mm, that slices mostly have, each side alike;
// the steps are small enough for a network to see well in between.
var Usual = []float64{0.5, 0.67, 1, 1.33, 2}

// noisy is the noise, of the bright end, from which on finer and coarser pixels only
// seem better: they smooth. Slices without added noise have 0.02 at most, but for a
// few of the head's end.
const noisy = 0.04

// Noisy tells whether the slice is full of noise: the median, over the slice, of how
// far a pixel is from what its eight neighbours say (Immerkaer 1996). The slice's
// stride is its width.
func Noisy(slice *image.Gray) bool {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	pixels := slice.Pix[:width*height]
	var histogram [16*255 + 1]int
	n := 0
	for y := 1; y < height-1; y++ {
		above, row, below := pixels[(y-1)*width:][:width], pixels[y*width:][:width], pixels[(y+1)*width:][:width]
		for x := 1; x < width-1; x++ {
			corners := int(above[x-1]) + int(above[x+1]) + int(below[x-1]) + int(below[x+1])
			sides := int(above[x]) + int(row[x-1]) + int(row[x+1]) + int(below[x])
			histogram[max(4*int(row[x])+corners-2*sides, 2*sides-4*int(row[x])-corners)]++
			n++
		}
	}
	median, seen := 0, 0
	for seen += histogram[0]; 2*seen < n; seen += histogram[median] {
		median++
	}
	// The operator makes six times as much of noise, and a normal distribution has half
	// of itself within 0.6745 of its deviation.
	return float64(median)/(6*0.6745) > noisy/darkest*float64(threshold(pixels))
}

// extents are the sides of what a slice shows, in pixels, across and down; 0 where
// there are gaps between, as between the slices of a sheet, where it cannot be told
// from air, or where there is nothing to be seen.
func extents(slice *image.Gray) (across, down int) {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	pixels := slice.Pix[:width*height]
	if border := edge(pixels, width, height); border > whiteBorder {
		return 0, 0 // an inverted slice, or a white page
	}
	floor := threshold(pixels)
	columns, rows := make([]int32, width), make([]int32, height)
	for y := range height {
		n := int32(0)
		for x, v := range pixels[y*width:][:width] {
			if v > floor {
				columns[x]++
				n++
			}
		}
		rows[y] = n
	}
	down, ok := run(rows, int32(leastShare*float64(width)))
	if !ok {
		return 0, 0
	}
	if across, ok = run(columns, int32(leastShare*float64(height))); !ok {
		return 0, 0
	}
	return across, down
}

// whiteBorder is the mean grey value of a border that is no air.
const whiteBorder = 100

// edge is the mean grey value of the outermost rows.
func edge(pixels []uint8, width, height int) int {
	sum := 0
	for x := range width {
		sum += int(pixels[x]) + int(pixels[(height-1)*width+x])
	}
	return sum / (2 * width)
}

// threshold is the grey value up to which pixels are air.
func threshold(pixels []uint8) uint8 {
	var histogram [256]int
	for _, v := range pixels {
		histogram[v]++
	}
	n := len(pixels) - histogram[0]
	index, seen := int(0.99*float64(n-1)), 0
	for v := 1; v < len(histogram); v++ {
		if seen += histogram[v]; seen > index {
			return max(1, uint8(darkest*float64(v)))
		}
	}
	return 255
}

// run is the length of the one run of counts above least; false for none or many.
func run(counts []int32, least int32) (length int, ok bool) {
	first, last, above := -1, -1, 0
	for i, n := range counts {
		if n > least {
			if first < 0 {
				first = i
			}
			last = i
			above++
		}
	}
	if first < 0 {
		return 0, false
	}
	length = last - first + 1
	return length, length-above <= length/gapShare
}

// gapShare of a length may be missing inside: eyes and jaws have thin places.
const gapShare = 50

// Sizes in mm that a file's own statement is believed. Finer ones are mostly a
// screen's or a printer's 72, 96 or 300 dots an inch, which programs put into
// every picture that they save.
const (
	believedFinest   = 0.4
	believedCoarsest = 4.0
)

// FromFile is the size that a picture file states, in mm. It is false where that
// states none, or one that says nothing of the patient.
func FromFile(across, down float64) (Size, bool) {
	for _, mm := range []float64{across, down} {
		if !(mm >= believedFinest && mm <= believedCoarsest) {
			return Of, false
		}
	}
	return Size{Across: across, Down: down}, true
}
