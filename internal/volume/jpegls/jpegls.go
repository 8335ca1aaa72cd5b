// Package jpegls decodes grey pictures of JPEG-LS, lossless and near-lossless,
// of 2 to 16 bits.
//
// It reads one component, no colour and no mapping tables, and returns a picture
// of package jpeg. Package dicom calls it. The standard is ITU-T T.87.
package jpegls

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/brainseg/brainseg/internal/volume/jpeg"
)

func damaged(format string, a ...any) error {
	return fmt.Errorf("%w: %s", jpeg.ErrDamaged, fmt.Sprintf(format, a...))
}

// Markers.
const (
	markerSOI = 0xd8
	markerEOI = 0xd9
	markerSOS = 0xda
	markerDRI = 0xdd
	markerSOF = 0xf7
	markerLSE = 0xf8
)

// parameters of the coding; 0 stands for the default.
type parameters struct{ maximum, t1, t2, t3, reset int }

// Decode decodes the picture in b, of at most limit pixels.
func Decode(b []byte, limit int) (*jpeg.Image, error) {
	if len(b) < 2 || b[0] != 0xff || b[1] != markerSOI {
		return nil, damaged("no start of a picture")
	}
	b = b[2:]
	var image *jpeg.Image
	var p parameters
	for {
		for len(b) >= 2 && b[0] == 0xff && b[1] == 0xff {
			b = b[1:]
		}
		if len(b) < 4 || b[0] != 0xff {
			return nil, damaged("a marker is missing")
		}
		marker := b[1]
		n := int(binary.BigEndian.Uint16(b[2:]))
		if n < 2 || n > len(b)-2 || marker == markerEOI {
			return nil, damaged("a segment is cut off")
		}
		segment, rest := b[4:2+n], b[2+n:]
		var err error
		switch marker {
		case markerSOF:
			if image != nil {
				return nil, damaged("two frames")
			}
			image, err = frame(segment, limit)
		case markerLSE:
			err = p.read(segment)
		case markerDRI:
			if len(segment) < 2 || binary.BigEndian.Uint16(segment) != 0 {
				err = fmt.Errorf("%w: restart intervals", jpeg.ErrUnsupported)
			}
		case markerSOS:
			if image == nil {
				return nil, damaged("pixels without a frame")
			}
			return image, scan(image, p, segment, rest)
		default:
			if marker < 0xe0 && marker != 0xfe || marker > 0xef && marker != 0xfe {
				err = fmt.Errorf("%w: marker %#x", jpeg.ErrUnsupported, marker)
			}
		}
		if err != nil {
			return nil, err
		}
		b = rest
	}
}

// frame reads a SOF segment.
func frame(s []byte, limit int) (*jpeg.Image, error) {
	if len(s) < 6 {
		return nil, damaged("a segment is too short")
	}
	i := &jpeg.Image{Precision: int(s[0]), Height: int(binary.BigEndian.Uint16(s[1:])), Width: int(binary.BigEndian.Uint16(s[3:]))}
	switch {
	case s[5] != 1:
		return nil, fmt.Errorf("%w: %d colours", jpeg.ErrUnsupported, s[5])
	case i.Width == 0 || i.Height == 0:
		return nil, damaged("a picture without pixels")
	case i.Width*i.Height > limit:
		return nil, damaged("a picture of %d x %d pixels, more than expected", i.Width, i.Height)
	case i.Precision < 2 || i.Precision > 16:
		return nil, damaged("%d bits", i.Precision)
	}
	return i, nil
}

// read reads an LSE segment with parameters.
func (p *parameters) read(s []byte) error {
	if len(s) < 11 || s[0] != 1 {
		return fmt.Errorf("%w: mapping tables", jpeg.ErrUnsupported)
	}
	for i, into := range []*int{&p.maximum, &p.t1, &p.t2, &p.t3, &p.reset} {
		*into = int(binary.BigEndian.Uint16(s[1+2*i:]))
	}
	return nil
}

// complete fills in the defaults of T.87 C.2.4.1.1 and checks the rest.
func (p *parameters) complete(precision, near int) error {
	if p.maximum == 0 {
		p.maximum = 1<<precision - 1
	}
	if p.maximum >= 1<<precision || near > min(255, p.maximum/2) {
		return damaged("impossible parameters")
	}
	var t1, t2, t3 int
	if p.maximum >= 128 {
		factor := (min(p.maximum, 4095) + 128) >> 8
		t1, t2, t3 = factor*(3-2)+2+3*near, factor*(7-3)+3+5*near, factor*(21-4)+4+7*near
	} else {
		factor := 256 / (p.maximum + 1)
		t1, t2, t3 = max(2, 3/factor+3*near), max(3, 7/factor+5*near), max(4, 21/factor+7*near)
	}
	within := func(v, least int) int {
		if v > p.maximum || v < least {
			return least
		}
		return v
	}
	if p.t1 == 0 {
		p.t1 = within(t1, near+1)
	}
	if p.t2 == 0 {
		p.t2 = within(t2, p.t1)
	}
	if p.t3 == 0 {
		p.t3 = within(t3, p.t2)
	}
	if p.reset == 0 {
		p.reset = 64
	}
	if p.t1 < near+1 || p.t2 < p.t1 || p.t3 < p.t2 || p.t3 > p.maximum || p.reset < 3 || p.reset > max(255, p.maximum) {
		return damaged("impossible parameters")
	}
	return nil
}

// ceilLog2 is the number of bits that v values need.
func ceilLog2(v int) int { return bits.Len(uint(v - 1)) }

// scan reads a SOS segment and the pixels after it.
func scan(i *jpeg.Image, p parameters, s, b []byte) error {
	if len(s) < 6 || s[0] != 1 {
		return damaged("a scan")
	}
	if s[2] != 0 {
		return fmt.Errorf("%w: mapping tables", jpeg.ErrUnsupported)
	}
	near := int(s[3])
	if err := p.complete(i.Precision, near); err != nil {
		return err
	}
	transform := uint(s[5] & 15)
	d := newDecoder(p, near, i.Width, b)
	i.Samples = make([]uint16, i.Width*i.Height)
	for y := range i.Height {
		if err := d.line(); err != nil {
			return err
		}
		for x, v := range d.current[1 : i.Width+1] {
			i.Samples[y*i.Width+x] = uint16(v << transform)
		}
		if d.in.over() {
			return damaged("it ends in row %d of %d", y+1, i.Height)
		}
	}
	return nil
}
