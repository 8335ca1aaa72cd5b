package view

import (
	"context"
	"image"
	"math"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
)

const (
	// sure is the confidence from which on a slice is shown in no other way.
	sure = 0.9
	// gain is what another size of pixels must have more of it than the first.
	gain = 0.05
	// leastTissue is the tissue, in pixels, below which usual sizes are not tried:
	// most slices with so little are of the head's end.
	leastTissue = 200
	// mostShown bounds the pixels of a picture that is shown for trial.
	mostShown = 512 * 512
	// asItIsWins: of a network that does not judge, the slice is taken as it is where
	// the other way round shows less tissue than this share of what it shows itself.
	// Below one, for in inverted heads networks sometimes see tissue that is none.
	asItIsWins = 0.4
)

// look is a way to show a slice.
type look struct {
	size   pixelsize.Size
	source pixelsize.Source
	turned bool // black for white
}

// sight is what the network saw.
type sight struct {
	look
	mask      []uint8
	judgement *model.Judgement // nil: the network does not judge
}

func (s sight) confidence() float64 {
	if s.judgement == nil {
		return 0
	}
	return s.judgement.Confidence
}

// tissue is how many pixels are no background.
func (s sight) tissue() (pixels int) {
	for _, class := range s.mask {
		if class != 0 {
			pixels++
		}
	}
	return pixels
}

// search looks at one slice in several ways, and keeps the best.
type search struct {
	View
	slice   *image.Gray
	inverse *image.Gray // black for white; nil until it is shown
	best    sight
}

// begin looks for the first time, and writes to mask what is seen.
func (s *search) begin(ctx context.Context, mask []uint8) (err error) {
	s.best, err = s.look(ctx, s.usual(false), mask)
	return err
}

// usual is how a slice is shown first, black for white or not.
func (s *search) usual(turned bool) look {
	l := look{turned: turned}
	l.size, l.source = pixelsize.Find(s.StatedMM, [2]float64{s.Info.AcrossMM, s.Info.DownMM}, s.shown(turned))
	return l
}

// turn looks at the slice the other way round, if the network is not sure of it as
// it is, and decides between the two.
func (s *search) turn(ctx context.Context) error {
	judges := s.best.judgement != nil
	if judges && s.best.confidence() >= sure {
		return nil
	}
	other, err := s.look(ctx, s.usual(true), make([]uint8, len(s.best.mask)))
	if err != nil {
		return err
	}
	if judges {
		s.keep(other)
		return nil
	}
	if n := other.tissue(); n > 0 && float64(n) >= asItIsWins*float64(s.best.tissue()) {
		s.best = other
	}
	return nil
}

// resize looks at the slice in pixels of other sizes, if nobody states theirs and the
// network is not sure of it: in oblong ones, where what it shows is too long one way, and in finer and
// coarser ones, as long as its confidence rises; not where noise is why.
func (s *search) resize(ctx context.Context) error {
	first := s.best
	stated := first.source == pixelsize.FromRequest || first.source == pixelsize.InFile
	if stated || first.judgement == nil || first.confidence() >= sure {
		return nil
	}
	oblong := pixelsize.Oblong(s.shown(first.turned))
	for _, size := range oblong {
		if _, err := s.try(ctx, size); err != nil {
			return err
		}
	}
	if len(oblong) == 0 && first.tissue() >= leastTissue && !pixelsize.Noisy(s.shown(first.turned)) {
		if err := s.climb(ctx); err != nil {
			return err
		}
	}
	if s.best.confidence() < first.confidence()+gain {
		s.best = first
	}
	return nil
}

// climb tries the usual sizes, from the one it began with up and down.
func (s *search) climb(ctx context.Context) error {
	begin, nearest := 0, math.Inf(1)
	for i, mm := range pixelsize.Usual {
		if away := math.Abs(math.Log(mm / s.best.size.Across)); away < nearest {
			begin, nearest = i, away
		}
	}
	for _, step := range []int{-1, 1} {
		for i := begin + step; i >= 0 && i < len(pixelsize.Usual) && s.best.confidence() < sure; i += step {
			mm := pixelsize.Usual[i]
			if better, err := s.try(ctx, pixelsize.Size{Across: mm, Down: mm}); err != nil {
				return err
			} else if !better {
				break
			}
		}
	}
	return nil
}

// try looks at the slice in pixels of a size, and says whether that is better. It
// never is where there would be too many.
func (s *search) try(ctx context.Context, size pixelsize.Size) (better bool, err error) {
	wide, high := float64(s.slice.Rect.Dx())*size.Across/pixelsize.Of.Across, float64(s.slice.Rect.Dy())*size.Down/pixelsize.Of.Down
	if wide*high > float64(min(mostShown, s.MaxPixels)) {
		return false, nil
	}
	other, err := s.look(ctx, look{size: size, source: pixelsize.Guessed, turned: s.best.turned}, make([]uint8, len(s.best.mask)))
	return err == nil && s.keep(other), err
}

// keep has other in the place of the best, if the network is surer of it.
func (s *search) keep(other sight) (better bool) {
	if better = other.confidence() > s.best.confidence(); better {
		s.best = other
	}
	return better
}

// shown is the slice, black for white where it is turned.
func (s *search) shown(turned bool) *image.Gray {
	if !turned {
		return s.slice
	}
	if s.inverse == nil {
		s.inverse = &image.Gray{Pix: make([]uint8, len(s.slice.Pix)), Stride: s.slice.Stride, Rect: s.slice.Rect}
		for i, v := range s.slice.Pix {
			s.inverse.Pix[i] = 255 - v
		}
	}
	return s.inverse
}

// look has the slice segmented, shown in one way.
func (s *search) look(ctx context.Context, l look, mask []uint8) (sight, error) {
	got := sight{look: l, mask: mask}
	scaler := pixelsize.Scaler{Network: listening{s.Network, &got.judgement}, MaxPixels: s.MaxPixels}
	if manifest := s.Network.Manifest(); manifest.Scores != nil {
		scaler.Classes = len(manifest.Classes)
	}
	err := scaler.Segment(ctx, s.shown(l.turned), mask, l.size)
	return got, err
}

// listening keeps what a network says of its mask.
type listening struct {
	network segmentation.Segmenter
	said    **model.Judgement
}

func (l listening) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	return l.Scores(ctx, slice, mask, nil)
}

func (l listening) Scores(ctx context.Context, slice *image.Gray, mask, scores []uint8) (err error) {
	*l.said, err = segmentation.Detail(ctx, l.network, slice, mask, scores)
	return err
}
