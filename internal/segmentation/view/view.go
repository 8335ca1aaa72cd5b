// Package view shows a network slices as it was trained to see them: upright in
// grey, and in pixels of its size. The mask comes back in the slice's own pixels.
//
// Inverted slices (MONOCHROME1, exported without a thought) package imaging
// suspects; a white page around a slice looks alike. So the network is asked: it
// sees a brain in the one of the two pictures that is upright. Pixel sizes are
// package pixelsize's. Package slicejob calls this one; whole scans, which know
// their voxels and values, do not need it.
package view

import (
	"context"
	"image"
	"slices"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
)

// View is what is known of a slice. Only Network and MaxPixels are required.
type View struct {
	// Network gives each pixel of a slice its class; 0 is background. What it says
	// of its masks is passed on, where it is a segmentation.Detailed.
	Network segmentation.Segmenter
	// MaxPixels bounds the pixels that the network is shown.
	MaxPixels int64
	// StatedMM is the size of a pixel, from column to column and from row to row,
	// by whoever sent the slice; 0 for none.
	StatedMM [2]float64
	// Info is what its file says.
	Info imaging.Info
}

// Seen tells how a slice was shown.
type Seen struct {
	Size   pixelsize.Size
	Source pixelsize.Source
	// Flags are those of Info, with what became of an inverted slice.
	Flags []imaging.Flag
	// Judgement is what the network says of the mask, nil where it says nothing.
	Judgement *model.Judgement
}

// Segment writes the classes of a slice to mask, one for each pixel. The slice's
// stride is its width; it stays as it is.
func (v View) Segment(ctx context.Context, slice *image.Gray, mask []uint8) (Seen, error) {
	s := sizing{View: v}
	at := slices.Index(v.Info.Flags, imaging.FlagInvertedLikely)
	flags := v.Info.Flags
	var err error
	if at < 0 {
		err = s.Segment(ctx, slice, mask)
	} else {
		var turned bool
		if turned, err = eitherWay(ctx, &s, slice, mask); turned {
			flags = slices.Clone(flags)
			flags[at] = imaging.FlagInverted
			s.first = s.last
		}
	}
	return Seen{Size: s.first.size, Source: s.first.source, Flags: flags, Judgement: s.first.judgement}, err
}

// sizing has slices segmented, and keeps the sizes that were taken, and what the
// network said.
type sizing struct {
	View
	first, last taken
}

type taken struct {
	size      pixelsize.Size
	source    pixelsize.Source
	judgement *model.Judgement
}

func (s *sizing) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	s.last = taken{}
	s.last.size, s.last.source = pixelsize.Find(s.StatedMM, [2]float64{s.Info.AcrossMM, s.Info.DownMM}, slice)
	err := pixelsize.Segment(ctx, listening{s.Network, &s.last.judgement}, slice, mask, s.last.size, s.MaxPixels)
	if s.first == (taken{}) {
		s.first = s.last
	}
	return err
}

// listening keeps what a network says of its mask.
type listening struct {
	network segmentation.Segmenter
	said    **model.Judgement
}

func (l listening) Segment(ctx context.Context, slice *image.Gray, mask []uint8) (err error) {
	*l.said, err = segmentation.Detail(ctx, l.network, slice, mask, nil)
	return err
}
