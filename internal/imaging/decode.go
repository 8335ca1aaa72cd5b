package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

const (
	pngSignature  = "\x89PNG\r\n\x1a\n"
	jpegSignature = "\xff\xd8\xff"

	// maxScans bounds the scans of a JPEG. Encoders write about ten; each scan
	// may touch every pixel for a handful of bytes, so thousands of them would
	// cost minutes in a file well within MaxBytes.
	maxScans = 500
)

// Decode reads a PNG or JPEG as an 8-bit grey slice.
//
// The result's rectangle begins at (0, 0) and its stride is its width, so Pix
// holds exactly width x height bytes, row by row. It is the caller's own.
//
// Rules:
//   - 8-bit grey stays as it is; 1, 2 and 4-bit grey is spread over 0..255.
//   - Colour becomes grey as (30 R + 59 G + 11 B) / 100, computed in integers
//     and rounded to the nearest value, a tie to the even one (numpy.rint of
//     the exact sum). R = G = B = v gives v.
//   - 16-bit samples v become v * 255 / max, rounded likewise, where max is the
//     image's own largest grey value: 12-bit data in a 16-bit file keeps its
//     contrast. An image of zeros stays zero.
//   - Alpha is composited on black.
//   - An animated PNG gives its first image. EXIF orientation is ignored: the
//     pixels come in the order in which they are stored.
//
// Errors wrap one of the sentinels of this package.
func Decode(data []byte, limits Limits) (*image.Gray, Info, error) {
	limits = limits.withDefaults()
	info, err := readHeader(data, limits)
	if err != nil {
		return nil, Info{}, fmt.Errorf("decode image: %w", err)
	}
	var picture image.Image
	if info.Format == PNG {
		picture, err = png.Decode(bytes.NewReader(data))
	} else {
		picture, err = jpeg.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return nil, Info{}, fmt.Errorf("decode image: %w", classify(err))
	}
	slice, err := toGrey(picture)
	if err != nil {
		return nil, Info{}, fmt.Errorf("decode image: %w", err)
	}
	return slice, info, nil
}

// readHeader applies every limit that can be known without decoding pixels.
func readHeader(data []byte, limits Limits) (Info, error) {
	if len(data) == 0 {
		return Info{}, ErrEmpty
	}
	if int64(len(data)) > limits.MaxBytes {
		return Info{}, fmt.Errorf("%w: %d, the limit is %d", ErrTooManyBytes, len(data), limits.MaxBytes)
	}
	var (
		info   Info
		config image.Config
		err    error
	)
	switch {
	case bytes.HasPrefix(data, []byte(pngSignature)):
		info.Format = PNG
		config, err = png.DecodeConfig(bytes.NewReader(data))
	case bytes.HasPrefix(data, []byte(jpegSignature)):
		info.Format = JPEG
		config, err = jpeg.DecodeConfig(bytes.NewReader(data))
	default:
		return Info{}, ErrFormat
	}
	if err != nil {
		return Info{}, classify(err)
	}
	info.Width, info.Height = config.Width, config.Height
	info.Bits, info.Colour = describe(config.ColorModel)
	if info.Width <= 0 || info.Height <= 0 {
		return Info{}, fmt.Errorf("%w: it has no pixels", ErrCorrupt)
	}
	if info.Width > limits.MaxSide || info.Height > limits.MaxSide {
		return Info{}, fmt.Errorf("%w: %d x %d, the limit is %d a side",
			ErrTooManyPixels, info.Width, info.Height, limits.MaxSide)
	}
	if pixels := int64(info.Width) * int64(info.Height); pixels > limits.MaxPixels {
		return Info{}, fmt.Errorf("%w: %d x %d, the limit is %d in all",
			ErrTooManyPixels, info.Width, info.Height, limits.MaxPixels)
	}
	// Inside coded data a 0xff is always followed by a zero or a restart
	// marker, so this counts the scans, and perhaps a chance pair in metadata.
	if info.Format == JPEG && bytes.Count(data, []byte{0xff, 0xda}) > maxScans {
		return Info{}, fmt.Errorf("%w: JPEG of more than %d scans", ErrUnsupported, maxScans)
	}
	return info, nil
}

// describe returns the sample size and whether colour is stored.
func describe(model color.Model) (bits int, colour bool) {
	switch model {
	case color.GrayModel:
		return 8, false
	case color.Gray16Model:
		return 16, false
	case color.RGBA64Model, color.NRGBA64Model:
		return 16, true
	}
	return 8, true
}

// classify maps an error of the standard decoders to a sentinel. They read from
// memory, so whatever is not an unsupported feature is a fault of the image.
func classify(err error) error {
	var pngUnsupported png.UnsupportedError
	var jpegUnsupported jpeg.UnsupportedError
	if errors.As(err, &pngUnsupported) || errors.As(err, &jpegUnsupported) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}
