package segmentation

import "image"

// Judgement is what a network says of its own mask. Each is 0 to 1.
type Judgement struct {
	// Confidence is how likely the mask is good.
	Confidence float64
	// Known is how likely the slice is of the kind that the network was trained
	// for.
	Known float64
}

// run is a slice and what comes of it.
type run struct {
	slice  *image.Gray
	window Window
	mask   []uint8
	scores []uint8 // nil where nobody asked

	// What the network says of its tiles, each by its pixels.
	confidence      float64
	known           float64
	pixelsOfJudging float64
}

// judge adds what the network says of a tile of so many pixels.
func (r *run) judge(says []float32, pixels int) {
	if says == nil {
		return
	}
	n := float64(pixels)
	r.confidence += n * float64(says[0])
	r.known += n * float64(says[1])
	r.pixelsOfJudging += n
}

func (r *run) judgement() *Judgement {
	if r.pixelsOfJudging == 0 {
		return nil
	}
	share := func(sum float64) float64 { return min(max(sum/r.pixelsOfJudging, 0), 1) }
	return &Judgement{Confidence: share(r.confidence), Known: share(r.known)}
}
