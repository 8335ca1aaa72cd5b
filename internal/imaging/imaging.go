// Package imaging turns the bytes of a PNG or JPEG into an 8-bit grey slice,
// and masks into pictures: the mask PNG whose values are the classes, the
// colour overlay, and a small picture for a terminal.
//
// Limits on bytes and on pixels are checked from the header, before a pixel is
// decoded or memory for one is taken. The package opens no files, knows
// nothing of requests, models or volumes, and never changes the size or the
// contrast of an 8-bit slice. It is called by package slicejob and by the
// segment command.
package imaging

import (
	"errors"

	"github.com/brainseg/brainseg/internal/imaging/pngfile"
)

// Errors by which a caller decides. Every error of Decode wraps exactly one of
// them; none carries a byte of the picture.
var (
	// ErrEmpty: there are no bytes.
	ErrEmpty = errors.New("the image is empty")
	// ErrFormat: the bytes begin neither as PNG nor as JPEG.
	ErrFormat = errors.New("the image is neither PNG nor JPEG")
	// ErrTooManyBytes: the encoded image is longer than Limits.MaxBytes.
	ErrTooManyBytes = errors.New("the image has too many bytes")
	// ErrTooManyPixels: width times height is above Limits.MaxPixels.
	ErrTooManyPixels = errors.New("the image has too many pixels; the configuration key images.maxPixels bounds them")
	// ErrTooMuchWork: a JPEG whose scans go over its pixels so often that
	// decoding would take seconds. The bound is half of Limits.MaxPixels, in
	// visits of a block of 8 x 8 pixels, and not below half a million.
	ErrTooMuchWork = errors.New("the image takes too much work to decode; the configuration key images.maxPixels bounds it")
	// ErrTooMuchMemory: decoding takes more than Limits.Memory says there is.
	ErrTooMuchMemory = errors.New("the image takes more memory to decode than the device has left")
	// ErrUnsupported: a valid but rare kind of PNG or JPEG, such as 12-bit,
	// lossless or arithmetic-coded JPEG.
	ErrUnsupported = pngfile.ErrUnsupported
	// ErrCorrupt: the image breaks the rules of its format or ends early.
	ErrCorrupt = pngfile.ErrCorrupt
	// ErrMaskSize: a mask has another number of pixels than its picture.
	ErrMaskSize = errors.New("the mask does not have the size of the image")
)

// Limits bounds what Decode accepts. The zero value is ready to use.
//
// Working memory follows from MaxPixels: up to 25 bytes a pixel for the
// costliest kind (progressive CMYK JPEG), 1 byte a pixel for an 8-bit grey PNG.
// Neither side has a limit of its own.
type Limits struct {
	// MaxBytes is the length of the encoded image in bytes; default 16 MiB.
	MaxBytes int64
	// MaxPixels is width times height; default 4,194,304 (2048 x 2048).
	MaxPixels int64
	// Memory, if not nil, is asked for the bytes of memory that there are, before
	// pixels are decoded that take more than 1 MiB. It may be called
	// concurrently.
	Memory func() int64
}

// The defaults of Limits.
const (
	DefaultMaxBytes  = 16 << 20
	DefaultMaxPixels = 2048 * 2048
)

func (l Limits) withDefaults() Limits {
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultMaxBytes
	}
	if l.MaxPixels <= 0 {
		l.MaxPixels = DefaultMaxPixels
	}
	return l
}

// Format is the file format of an encoded image.
type Format string

// The formats that Decode reads.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
)

// Info tells how an image was stored before Decode made it 8-bit grey.
type Info struct {
	Format Format
	// Width and Height in pixels.
	Width, Height int
	// Bits of a sample as decoded: 16 for 16-bit PNG, otherwise 8 (1, 2 and
	// 4-bit samples are widened to 8).
	Bits int
	// Colour is true where the file stores colour, even if every pixel is grey.
	Colour bool
	// AcrossMM and DownMM are the distances in mm from column to column and from
	// row to row that the file states (pHYs, JFIF density); 0 where it does not.
	// Programs state a screen's resolution too: see package pixelsize.
	AcrossMM, DownMM float64
	// Flags tell what is odd about the image; mostly there are none.
	Flags []Flag
}

func (i Info) pixels() int64 { return int64(i.Width) * int64(i.Height) }
