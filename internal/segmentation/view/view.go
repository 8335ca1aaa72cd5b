// Package view shows a network slices as it was trained to see them: upright in
// grey, and in pixels of its size. The mask comes back in the slice's own pixels.
//
// Neither is always known. Inverted slices (MONOCHROME1, exported without a
// thought) package imaging suspects, and a white page around a slice looks alike;
// the size of a pixel is often stated nowhere. So the network is asked: a slice
// that it is not sure of is shown to it in other ways too, and the one that it is
// surest of counts. A slice that it is sure of, as nearly all are, is shown once.
// Of a network that does not judge its masks only the way round is found out, by
// the tissue that it sees.
//
// Pixel sizes are package pixelsize's. Package slicejob calls this one; whole scans,
// which know their voxels and values, do not need it.
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

// Network is what slices are shown to: a segmentation.Model.
type Network interface {
	segmentation.Segmenter
	Manifest() *model.Manifest
}

// View is what is known of a slice. Only Network and MaxPixels are required.
type View struct {
	// Network gives each pixel of a slice its class; 0 is background. What it says
	// of its masks is passed on, where it is a segmentation.Detailed.
	Network Network
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
	s := &search{View: v, slice: slice}
	err := s.begin(ctx, mask)
	suspect := slices.Index(v.Info.Flags, imaging.FlagInvertedLikely)
	if err == nil && suspect >= 0 {
		err = s.turn(ctx)
	}
	if err == nil {
		err = s.resize(ctx)
	}
	if err != nil {
		return Seen{}, err
	}
	seen := Seen{Size: s.best.size, Source: s.best.source, Flags: v.Info.Flags, Judgement: s.best.judgement}
	if s.best.turned {
		seen.Flags = slices.Clone(v.Info.Flags)
		seen.Flags[suspect] = imaging.FlagInverted
	}
	copy(mask, s.best.mask) // onto itself, mostly
	return seen, nil
}
