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
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
)

// Segmenter gives each pixel of a grey slice its class; 0 is background. See
// segmentation.Model.
type Segmenter interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
}

// View is what is known of a slice. Only Network and MaxPixels are required.
type View struct {
	Network Segmenter
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
	return Seen{Size: s.first.size, Source: s.first.source, Flags: flags}, err
}

// sizing has slices segmented, and keeps the sizes that were taken.
type sizing struct {
	View
	first, last taken
}

type taken struct {
	size   pixelsize.Size
	source pixelsize.Source
}

func (s *sizing) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	s.last.size, s.last.source = pixelsize.Find(s.StatedMM, [2]float64{s.Info.AcrossMM, s.Info.DownMM}, slice)
	if s.first == (taken{}) {
		s.first = s.last
	}
	return pixelsize.Segment(ctx, s.Network, slice, mask, s.last.size, s.MaxPixels)
}
