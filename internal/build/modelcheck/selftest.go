package modelcheck

import (
	"bytes"
	"context"
	_ "embed" // the slice
	"fmt"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// selfTestSlice is what every model is tested with on a device: an axial slice
// of Colin27, as in artifacts/samples. It goes to every device, which no
// patient's slice may.
//
//go:embed selftest.png
var selfTestSlice []byte

// WriteSelfTest puts the slice for the self-test of devices, and the mask that
// the model gives for it here, into the model's folder. library is as Options
// have it.
func WriteSelfTest(ctx context.Context, dir, library string) error {
	const doing = "make the self-test"
	opened, err := segmentation.Open(dir, segmentation.Options{Library: library})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer opened.Close()
	slice, _, err := imaging.Decode(selfTestSlice, imaging.Limits{})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	mask := make([]uint8, width*height)
	if err := opened.Segment(ctx, slice, mask); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var encoded bytes.Buffer
	if err := imaging.EncodeMask(&encoded, mask, width, height); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	for name, content := range map[string][]byte{model.SelfTestSliceName: selfTestSlice, model.SelfTestMaskName: encoded.Bytes()} {
		if err := renameio.WriteFile(filepath.Join(dir, name), content, 0o640); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	return nil
}
