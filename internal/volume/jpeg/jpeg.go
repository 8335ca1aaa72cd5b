// Package jpeg decodes grey pictures of the JPEG processes that DICOM uses and
// that the standard library does not know: lossless (process 14, every selection
// value, 2 to 16 bits) and, by DCT, baseline and extended with 8 or 12 bits.
//
// It reads one component, no colour, no progressive or arithmetic coding. The
// samples come as they are coded; what they mean is the caller's business. All
// arithmetic is in integers. Package dicom calls it. The standard is ITU-T T.81.
package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors by which a caller decides.
var (
	// ErrUnsupported: a process or a kind of picture that is not decoded.
	ErrUnsupported = errors.New("this kind of JPEG is not decoded")
	// ErrDamaged: no JPEG, damaged or cut short.
	ErrDamaged = errors.New("damaged or truncated JPEG data")
)

// Image is a decoded picture.
type Image struct {
	Width, Height int
	// Precision is the number of bits of a sample.
	Precision int
	Samples   []uint16 // by rows
}

func damaged(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, a...))
}

// Markers.
const (
	markerSOI = 0xd8
	markerEOI = 0xd9
	markerSOS = 0xda
	markerDQT = 0xdb
	markerDHT = 0xc4
	markerDRI = 0xdd
	markerRST = 0xd0 // to 0xd7
)

// decoder is the state of one picture.
type decoder struct {
	image    *Image
	process  byte // of the SOF marker: 0, 1 or 3
	table    byte // the component's quantisation table
	quantum  [4]*[64]uint16
	dc, ac   [4]*huffman
	interval int // MCUs between restarts; 0 for none
}

// Decode decodes the picture in b, of at most limit pixels.
func Decode(b []byte, limit int) (*Image, error) {
	d := new(decoder)
	if len(b) < 2 || b[0] != 0xff || b[1] != markerSOI {
		return nil, damaged("no start of a picture")
	}
	b = b[2:]
	for {
		marker, segment, rest, err := nextSegment(b)
		if err != nil {
			return nil, err
		}
		b = rest
		switch {
		case marker == markerSOS:
			return d.image, d.scan(segment, b)
		case marker == markerEOI:
			return nil, damaged("it ends before its pixels")
		case marker == markerDHT:
			err = d.huffmanTables(segment)
		case marker == markerDQT:
			err = d.quantumTables(segment)
		case marker == markerDRI:
			if len(segment) < 2 {
				return nil, damaged("a segment is too short")
			}
			d.interval = int(binary.BigEndian.Uint16(segment))
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xcc && marker != 0xc8:
			err = d.frame(marker, segment, limit)
		case marker == 0xcc, marker == 0xc8:
			err = ErrUnsupported
		}
		if err != nil {
			return nil, err
		}
	}
}

// nextSegment finds the next marker and what belongs to it.
func nextSegment(b []byte) (marker byte, segment, rest []byte, err error) {
	if len(b) < 2 || b[0] != 0xff {
		return 0, nil, nil, damaged("a marker is missing")
	}
	for len(b) >= 2 && b[1] == 0xff { // fill bytes
		b = b[1:]
	}
	if len(b) < 2 {
		return 0, nil, nil, damaged("a marker is missing")
	}
	marker, b = b[1], b[2:]
	if marker == markerEOI || marker >= markerRST && marker <= markerSOI || marker == 1 {
		return marker, nil, b, nil
	}
	if len(b) < 2 {
		return 0, nil, nil, damaged("a segment is cut off")
	}
	n := int(binary.BigEndian.Uint16(b))
	if n < 2 || n > len(b) {
		return 0, nil, nil, damaged("a segment is cut off")
	}
	return marker, b[2:n], b[n:], nil
}

// frame reads a SOF segment.
func (d *decoder) frame(marker byte, s []byte, limit int) error {
	if d.image != nil {
		return damaged("two frames")
	}
	if marker != 0xc0 && marker != 0xc1 && marker != 0xc3 {
		return fmt.Errorf("%w: process of marker %#x", ErrUnsupported, marker)
	}
	if len(s) < 6 {
		return damaged("a segment is too short")
	}
	d.process = marker - 0xc0
	i := &Image{Precision: int(s[0]), Height: int(binary.BigEndian.Uint16(s[1:])), Width: int(binary.BigEndian.Uint16(s[3:]))}
	switch {
	case s[5] != 1:
		return fmt.Errorf("%w: %d colours", ErrUnsupported, s[5])
	case len(s) < 9:
		return damaged("a segment is too short")
	case i.Width == 0 || i.Height == 0:
		return damaged("a picture without pixels")
	case i.Width*i.Height > limit:
		return damaged("a picture of %d x %d pixels, more than expected", i.Width, i.Height)
	case d.process == 3 && (i.Precision < 2 || i.Precision > 16), d.process == 0 && i.Precision != 8, d.process == 1 && i.Precision != 8 && i.Precision != 12:
		return damaged("%d bits", i.Precision)
	}
	d.table = s[8]
	d.image = i
	return nil
}

// quantumTables reads a DQT segment, values in zigzag order.
func (d *decoder) quantumTables(s []byte) error {
	for len(s) > 0 {
		wide, id := s[0]>>4, s[0]&15
		n := 64 * (1 + int(wide))
		if wide > 1 || id > 3 || len(s) < 1+n {
			return damaged("a quantisation table")
		}
		t := new([64]uint16)
		for i := range t {
			if wide == 1 {
				t[i] = binary.BigEndian.Uint16(s[1+2*i:])
			} else {
				t[i] = uint16(s[1+i])
			}
		}
		d.quantum[id], s = t, s[1+n:]
	}
	return nil
}

// huffmanTables reads a DHT segment.
func (d *decoder) huffmanTables(s []byte) error {
	for len(s) > 0 {
		if len(s) < 17 || s[0]>>4 > 1 || s[0]&15 > 3 {
			return damaged("a Huffman table")
		}
		n := 0
		for _, c := range s[1:17] {
			n += int(c)
		}
		if len(s) < 17+n {
			return damaged("a Huffman table")
		}
		t, err := newHuffman([16]byte(s[1:17]), s[17:17+n])
		if err != nil {
			return err
		}
		if s[0]>>4 == 0 {
			d.dc[s[0]&15] = t
		} else {
			d.ac[s[0]&15] = t
		}
		s = s[17+n:]
	}
	return nil
}

// scan reads a SOS segment and the pixels after it.
func (d *decoder) scan(s, b []byte) error {
	if d.image == nil {
		return damaged("pixels without a frame")
	}
	if len(s) < 6 || s[0] != 1 {
		return damaged("a scan")
	}
	dc, ac := s[2]>>4, s[2]&15
	if dc > 3 || ac > 3 || d.dc[dc] == nil {
		return damaged("a Huffman table is missing")
	}
	r := &bits{b: b}
	if d.process == 3 {
		return d.lossless(r, d.dc[dc], int(s[3]), uint(s[5]&15))
	}
	if d.ac[ac] == nil || d.table > 3 || d.quantum[d.table] == nil {
		return damaged("a table is missing")
	}
	return d.blocks(r, d.dc[dc], d.ac[ac], d.quantum[d.table])
}

// restart tells whether the MCU of this number begins after a restart marker, and
// reads that.
func (d *decoder) restart(r *bits, mcu int) (bool, error) {
	if d.interval == 0 || mcu == 0 || mcu%d.interval != 0 {
		return false, nil
	}
	return true, r.restart()
}
