package segmentation

import (
	"context"
	"fmt"
	"image"
	"math"

	"github.com/brainseg/brainseg/internal/model"
)

// Segmenter gives each pixel of a slice its class; see Model.Segment.
type Segmenter interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
}

// Detailed is a Segmenter that gives more than classes; see Model.SegmentDetailed.
type Detailed interface {
	Segmenter
	SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error)
}

// Detail has a network give all that it can: of one that is not Detailed that is
// the mask, and where scores are asked for it is an error.
func Detail(ctx context.Context, network Segmenter, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	if detailed, ok := network.(Detailed); ok {
		return detailed.SegmentDetailed(ctx, slice, mask, scores)
	}
	if scores != nil {
		return nil, fmt.Errorf("segment: %w", ErrNoScores)
	}
	return nil, network.Segment(ctx, slice, mask)
}

// Scorer shows of a network what package threeplane asks for.
type Scorer struct{ Segmenter }

// Scores is Detail, whose judgement is NaN where there is none.
func (s Scorer) Scores(ctx context.Context, slice *image.Gray, mask, scores []uint8) (confidence, known float64, err error) {
	said, err := Detail(ctx, s.Segmenter, slice, mask, scores)
	if said == nil {
		return math.NaN(), math.NaN(), err
	}
	return said.Confidence, said.Known, err
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

func (r *run) judgement() *model.Judgement {
	if r.pixelsOfJudging == 0 {
		return nil
	}
	share := func(sum float64) float64 { return min(max(sum/r.pixelsOfJudging, 0), 1) }
	return &model.Judgement{Confidence: share(r.confidence), Known: share(r.known)}
}
