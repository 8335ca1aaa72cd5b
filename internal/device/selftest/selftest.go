// Package selftest finds out whether a model works on this device as it did where
// it was made: it segments the slice that the model brings and compares the mask
// with the one that it brings too.
//
// It opens no model and makes no such pair (model-build does). Package engine
// calls it for every model that it opens.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// leastAgreement is the least share of pixels that must have the expected
// class. Processors round differently: arm64 agrees with amd64 in 99.99 %.
const leastAgreement = 0.99

// timeout bounds the one slice: the slowest device takes about a second.
const timeout = 30 * time.Second

// ErrFailed says that the model runs, but not as it did where it was made.
var ErrFailed = errors.New("the model failed its self-test")

// Segmenter is the model that is tested; see segmentation.Model.
type Segmenter interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
	Manifest() *model.Manifest
}

// Run segments the slice that the model brings and compares the mask with
// the one expected. A model that brings none segments a drawn slice, which finds
// faults but no wrong classes. Either way the first request finds the network
// warm. dir is the model's folder. The error wraps ErrFailed.
func Run(ctx context.Context, m Segmenter, dir string, logger *zap.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	slice, expected, err := readPair(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if slice == nil {
		logger.Info("model brings no "+model.SelfTestSliceName+" to be tested with", zap.String("model", m.Manifest().Name))
		slice = phantom()
	}
	mask := make([]uint8, slice.Rect.Dx()*slice.Rect.Dy())
	err = m.Segment(ctx, slice, mask)
	if errors.Is(err, segmentation.ErrTooLarge) {
		logger.Warn("model is not tested: images.maxPixels is smaller than a slice")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	agreement := 1.0
	if expected != nil {
		agreement = agreementOf(mask, expected)
		if agreement < leastAgreement {
			return fmt.Errorf("%w: %.2f %% of the pixels of %s have the class that %s says, and at least %.0f %% must; deploy the model again, or make %s anew if the network was changed on purpose",
				ErrFailed, 100*agreement, model.SelfTestSliceName, model.SelfTestMaskName, 100*leastAgreement, model.SelfTestMaskName)
		}
	}
	logger.Info("self-test passed", zap.Float64("agreement", agreement), zap.Duration("took", time.Since(start)))
	return nil
}

// readPair reads slice and mask, nil where the model brings neither.
func readPair(dir string) (slice *image.Gray, mask []uint8, err error) {
	slice, sliceErr := readGrey(filepath.Join(dir, model.SelfTestSliceName))
	expected, maskErr := readGrey(filepath.Join(dir, model.SelfTestMaskName))
	if errors.Is(sliceErr, fs.ErrNotExist) && errors.Is(maskErr, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err := errors.Join(sliceErr, maskErr); err != nil {
		return nil, nil, fmt.Errorf("read %s and %s: %w", model.SelfTestSliceName, model.SelfTestMaskName, err)
	}
	if slice.Rect.Size() != expected.Rect.Size() {
		return nil, nil, fmt.Errorf("%s is %v and %s %v; they must have one size", model.SelfTestSliceName, slice.Rect.Size(), model.SelfTestMaskName, expected.Rect.Size())
	}
	return slice, expected.Pix, nil
}

// maxPictureBytes is far above any slice or mask that a model brings.
const maxPictureBytes = 16 << 20

func readGrey(path string) (*image.Gray, error) {
	encoded, err := boundedfile.Read(path, maxPictureBytes)
	if err != nil {
		return nil, err
	}
	grey, _, err := imaging.Decode(encoded, imaging.Limits{})
	return grey, err
}

// agreementOf returns the share of equal elements of two masks of one size.
func agreementOf(a, b []uint8) float64 {
	equal := 0
	for i, v := range a {
		if v == b[i] {
			equal++
		}
	}
	return float64(equal) / float64(len(a))
}

// phantom draws a dim slice of nested ellipses, grey on black, of the usual size.
func phantom() *image.Gray {
	const side = 256
	slice := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			dx, dy := float64(x-side/2)/100, float64(y-side/2)/120
			switch r := dx*dx + dy*dy; {
			case r < 0.05:
				slice.Pix[y*side+x] = 16
			case r < 0.4:
				slice.Pix[y*side+x] = 80
			case r < 0.7:
				slice.Pix[y*side+x] = 52
			case r < 0.8:
				slice.Pix[y*side+x] = 20
			case r < 1:
				slice.Pix[y*side+x] = 92
			}
		}
	}
	return slice
}
