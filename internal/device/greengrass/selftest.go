package greengrass

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// selfTestAgreement is the least share of pixels that must have the expected
// class. Processors round differently: arm64 agrees with amd64 in 99.99 %.
const selfTestAgreement = 0.99

// selfTestTimeout bounds the one slice: the slowest device takes about a second.
const selfTestTimeout = 30 * time.Second

// errSelfTest says that the model runs, but not as it did where it was made.
var errSelfTest = errors.New("the model failed its self-test")

// selfTest segments the slice that the model brings and compares the mask with
// the one expected. A model that brings none segments a drawn slice, which finds
// faults but no wrong classes. Either way the first request finds the network
// warm.
func selfTest(ctx context.Context, model *segmentation.Model, dir string, logger *zap.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, selfTestTimeout)
	defer cancel()
	start := time.Now()
	slice, expected, err := selfTestPair(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errSelfTest, err)
	}
	if slice == nil {
		logger.Info("model brings no "+segmentation.SelfTestSliceName+" to be tested with", zap.String("model", model.Manifest().Name))
		slice = phantom()
	}
	mask := make([]uint8, slice.Rect.Dx()*slice.Rect.Dy())
	err = model.Segment(ctx, slice, mask)
	if errors.Is(err, segmentation.ErrTooLarge) {
		logger.Warn("model is not tested: images.maxPixels is smaller than a slice")
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSelfTest, err)
	}
	agreement := 1.0
	if expected != nil {
		agreement = agreementOf(mask, expected)
		if agreement < selfTestAgreement {
			return fmt.Errorf("%w: %.2f %% of the pixels of %s have the class that %s says, and at least %.0f %% must; deploy the model again, or make %s anew if the network was changed on purpose",
				errSelfTest, 100*agreement, segmentation.SelfTestSliceName, segmentation.SelfTestMaskName, 100*selfTestAgreement, segmentation.SelfTestMaskName)
		}
	}
	logger.Info("self-test passed", zap.Float64("agreement", agreement), zap.Duration("took", time.Since(start)))
	return nil
}

// selfTestPair reads slice and mask, nil where the model brings neither.
func selfTestPair(dir string) (slice *image.Gray, mask []uint8, err error) {
	slice, sliceErr := readGrey(filepath.Join(dir, segmentation.SelfTestSliceName))
	expected, maskErr := readGrey(filepath.Join(dir, segmentation.SelfTestMaskName))
	if errors.Is(sliceErr, fs.ErrNotExist) && errors.Is(maskErr, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err := errors.Join(sliceErr, maskErr); err != nil {
		return nil, nil, fmt.Errorf("read %s and %s: %w", segmentation.SelfTestSliceName, segmentation.SelfTestMaskName, err)
	}
	if slice.Rect.Size() != expected.Rect.Size() {
		return nil, nil, fmt.Errorf("%s is %v and %s %v; they must have one size", segmentation.SelfTestSliceName, slice.Rect.Size(), segmentation.SelfTestMaskName, expected.Rect.Size())
	}
	return slice, expected.Pix, nil
}

func readGrey(path string) (*image.Gray, error) {
	encoded, err := os.ReadFile(path)
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
