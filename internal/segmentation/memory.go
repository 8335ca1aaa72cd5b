package segmentation

import (
	"fmt"

	"github.com/brainseg/brainseg/internal/segmentation/tiling"
)

// Sizes of a network's input, in pixels: those of slices of 320 and 512 pixels a side
// with the margin of a frame. A run of the shipped network takes some 170 bytes a pixel,
// and its session keeps the memory of the largest run.
const (
	// commonPixels: up to here slices are run in the session that stays.
	commonPixels = 336 * 336
	// largePixels: up to here they are run in a session that goes away when it
	// is idle. What is larger is run one slice at a time, in a session that
	// goes away with it: starting one takes less than a run.
	largePixels = 528 * 528
)

// What a run takes in a session of its own, in bytes: measured, and rounded up.
const (
	bytesPerPixel   = 176
	bytesPerSession = 20 << 20 // and what is left of the run before
)

// fits asks whether there is memory for a run of a network's input of so many
// pixels in all, above commonPixels.
func (m *Model) fits(pixels int) error {
	if m.opts.Memory == nil {
		return nil
	}
	need := int64(min(pixels, tiling.Pixels)) * bytesPerPixel
	if pixels > largePixels {
		need += bytesPerSession
	}
	if left := m.opts.Memory(); need > left {
		return fmt.Errorf("%w: %d MB, and %d are left", ErrTooMuchMemory, need>>20, left>>20)
	}
	return nil
}
