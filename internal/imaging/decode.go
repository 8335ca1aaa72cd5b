package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"runtime/debug"
	"sync"

	"github.com/brainseg/brainseg/internal/imaging/pngfile"
)

const (
	pngSignature  = pngfile.Signature
	jpegSignature = "\xff\xd8\xff"

	// largePixels is the size from which images are decoded one at a time.
	largePixels = 1 << 20
	// largeMemory is what decoding may take without asking for it.
	largeMemory = 1 << 20
)

// largeDecode is held while a large image is decoded, so that the memory that
// this takes is needed once, however many workers there are.
var largeDecode sync.Mutex

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
//   - 16-bit samples are brought to 8 bits by their window, see window16.
//   - Alpha is composited on black; see FlagAlphaIgnored for the exception.
//   - An animated PNG gives its first image. EXIF orientation is ignored: the
//     pixels come in the order in which they are stored.
//   - What libpng and libjpeg warn of is read as they read it: damage in chunks
//     that the pixels do not need, no end mark, bytes after the pixels. Pixels
//     that are missing or do not have their checksum are ErrCorrupt.
//
// What is odd about the image and was borne is in Info.Flags. Errors wrap one of
// the sentinels of this package. Images above a megapixel are decoded one at a
// time in the process, and their memory goes back to the system.
func Decode(data []byte, limits Limits) (*image.Gray, Info, error) {
	slice, info, err := decode(data, limits.withDefaults())
	if err != nil {
		return nil, Info{}, fmt.Errorf("decode image: %w", err)
	}
	return slice, info, nil
}

// source is an image of either format. The methods are called in their order.
type source interface {
	// header reads what is stored in which size.
	header() (Info, error)
	// survey reads how the image is built, and refuses what is damaged or would
	// cost too much, without decoding a pixel.
	survey(Limits) error
	decode() (image.Image, error)
	// pixelMM is the size of a pixel in mm as the file states it, 0 for none.
	pixelMM() (across, down float64)
	// memory is what decode takes, in bytes.
	memory(Info) int64
}

// pngSource is a PNG.
type pngSource struct {
	data []byte
	file *pngfile.File
}

func (p *pngSource) header() (Info, error) {
	var err error
	if p.file, err = pngfile.Open(p.data); err != nil {
		return Info{}, err
	}
	info := Info{Format: PNG, Bits: p.file.Bits(), Colour: p.file.Colour()}
	info.Width, info.Height = p.file.Size()
	return info, nil
}

func (p *pngSource) survey(Limits) error { return p.file.Survey() }

func (p *pngSource) pixelMM() (across, down float64) { return p.file.PixelMM() }

func (p *pngSource) memory(info Info) int64 { return int64(p.file.PixelBytes()) * info.pixels() }

func (p *pngSource) decode() (image.Image, error) { return p.file.Decode() }

func decode(data []byte, limits Limits) (*image.Gray, Info, error) {
	s, info, err := open(data, limits)
	if err != nil {
		return nil, Info{}, err
	}
	if info.pixels() > largePixels {
		largeDecode.Lock()
		defer largeDecode.Unlock()
		defer debug.FreeOSMemory()
	}
	if need := s.memory(info) + info.pixels(); limits.Memory != nil && need > largeMemory { // the slice too
		if left := limits.Memory(); need > left {
			return nil, Info{}, fmt.Errorf("%w: %d MB, and %d are left", ErrTooMuchMemory, need>>20, left>>20)
		}
	}
	picture, err := s.decode()
	if err != nil {
		return nil, Info{}, classify(err)
	}
	slice, flags, err := toGrey(picture)
	if err != nil {
		return nil, Info{}, err
	}
	info.AcrossMM, info.DownMM = s.pixelMM()
	info.Flags = append(flags, appearance(slice)...)
	return slice, info, nil
}

// open reads the structure of an image and applies every limit that can be known
// without decoding pixels.
func open(data []byte, limits Limits) (s source, info Info, err error) {
	switch {
	case len(data) == 0:
		return nil, Info{}, ErrEmpty
	case int64(len(data)) > limits.MaxBytes:
		return nil, Info{}, fmt.Errorf("%w: %d, the limit is %d", ErrTooManyBytes, len(data), limits.MaxBytes)
	case bytes.HasPrefix(data, []byte(pngSignature)):
		s = &pngSource{data: data}
	case bytes.HasPrefix(data, []byte(jpegSignature)):
		s = &jpegFile{file: data}
	default:
		return nil, Info{}, ErrFormat
	}
	if info, err = s.header(); err != nil {
		return nil, Info{}, err
	}
	if info.Width <= 0 || info.Height <= 0 {
		return nil, Info{}, fmt.Errorf("%w: it has no pixels", ErrCorrupt)
	}
	if info.pixels() > limits.MaxPixels {
		return nil, Info{}, fmt.Errorf("%w: %d x %d, the limit is %d in all",
			ErrTooManyPixels, info.Width, info.Height, limits.MaxPixels)
	}
	if err := s.survey(limits); err != nil {
		return nil, Info{}, err
	}
	return s, info, nil
}

// classify gives an error of the standard decoders a sentinel where it has none.
// They read from memory, so whatever is not an unsupported feature is a fault of
// the image.
func classify(err error) error {
	var pngUnsupported png.UnsupportedError
	var jpegUnsupported jpeg.UnsupportedError
	switch {
	case errors.Is(err, ErrCorrupt), errors.Is(err, ErrUnsupported):
		return err
	case errors.As(err, &pngUnsupported), errors.As(err, &jpegUnsupported):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}
