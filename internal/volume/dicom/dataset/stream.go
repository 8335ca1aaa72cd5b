// Package dataset reads DICOM data sets: the elements of a stream, in every
// encoding, with the values of those that matter here, and what a file's
// preamble and meta header say.
//
// It knows nothing of images. It takes what the standard forbids and writers do
// all the same (odd lengths, missing lengths, wrong VRs), never recurses by what a
// file says, and allocates no more than the file holds. Package dicom calls it.
package dataset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/volume"
)

// Tag is a data element's group and number.
type Tag uint32

func (t Tag) group() uint16  { return uint16(t >> 16) }
func (t Tag) String() string { return fmt.Sprintf("(%04x,%04x)", uint32(t)>>16, uint32(t)&0xffff) }

// Tags of items, which have no VR, and what else is special.
const (
	TagItem        Tag = 0xfffee000
	TagItemEnd     Tag = 0xfffee00d
	TagSequenceEnd Tag = 0xfffee0dd

	itemGroup = 0xfffe

	implicitVR = "" // the VR of an element that states none
	vrSequence = "SQ"
	vrUnknown  = "UN"
)

// vrLong tells the known VRs, and whether their length has four bytes.
var vrLong = map[string]bool{
	"AE": false, "AS": false, "AT": false, "CS": false, "DA": false, "DS": false, "DT": false, "FD": false, "FL": false,
	"IS": false, "LO": false, "LT": false, "PN": false, "SH": false, "SL": false, "SS": false, "ST": false, "TM": false,
	"UI": false, "UL": false, "US": false,
	"OB": true, "OD": true, "OF": true, "OL": true, "OV": true, "OW": true, "SQ": true, "SV": true, "UC": true, "UN": true,
	"UR": true, "UT": true, "UV": true,
}

// UndefinedLength is the length of an element that ends with a delimiter.
const UndefinedLength = 0xffffffff

// Bounds on what is read.
const (
	// MaxFrames is the number of items of a sequence.
	MaxFrames  = 1 << 16
	maxValue   = 64 << 10 // bytes of an element that is kept
	maxNesting = 1 << 15  // of sequences that are passed over
)

// Stream reads data elements.
type Stream struct {
	// Order of the bytes.
	Order binary.ByteOrder
	// Odd tells that an element of odd length was passed.
	Odd      bool
	in       *bufio.Reader
	explicit bool
	at       int64 // bytes read so far
}

// NewStream reads elements in an encoding from in.
func NewStream(in *bufio.Reader, order binary.ByteOrder, explicit bool) *Stream {
	return &Stream{in: in, Order: order, explicit: explicit}
}

// Ended tells whether nothing follows.
func (s *Stream) Ended() bool {
	_, err := s.in.Peek(1)
	return errors.Is(err, io.EOF)
}

// Rest is what follows, as bytes.
func (s *Stream) Rest() io.Reader { return s.in }

// Bytes reads n bytes, taking memory as they come.
func (s *Stream) Bytes(n int64) ([]byte, error) {
	var b bytes.Buffer
	done, err := io.CopyN(&b, s.in, n)
	s.at += done
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

// Element is a data element's header.
type Element struct {
	Tag    Tag
	VR     string // "" in implicit VR
	Length uint32
}

// Full fills b.
func (s *Stream) Full(b []byte) error {
	n, err := io.ReadFull(s.in, b)
	s.at += int64(n)
	if errors.Is(err, io.EOF) && n == 0 && len(b) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skip passes over n bytes.
func (s *Stream) skip(n int64) error {
	for n > 0 {
		part := int(min(n, 1<<30))
		done, err := s.in.Discard(part)
		s.at += int64(done)
		n -= int64(done)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// Next reads the header of the next element.
func (s *Stream) Next() (Element, error) {
	var b [8]byte
	if err := s.Full(b[:]); err != nil {
		return Element{}, err
	}
	e := Element{Tag: Tag(s.Order.Uint16(b[:]))<<16 | Tag(s.Order.Uint16(b[2:]))}
	if e.Tag.group() == itemGroup || !s.explicit {
		e.Length = s.Order.Uint32(b[4:])
		return e, nil
	}
	e.VR = string(b[4:6])
	long, known := vrLong[e.VR]
	switch {
	case known && !long:
		e.Length = uint32(s.Order.Uint16(b[6:]))
		return e, nil
	case !known && !(isUpper(b[4]) && isUpper(b[5])):
		// Some writers put elements without a VR among those with one.
		e.VR, e.Length = implicitVR, s.Order.Uint32(b[4:])
		return e, nil
	case !known && (b[6] != 0 || b[7] != 0):
		e.Length = uint32(s.Order.Uint16(b[6:]))
		return e, nil
	}
	var length [4]byte
	if err := s.Full(length[:]); err != nil {
		return e, err
	}
	e.Length = s.Order.Uint32(length[:])
	return e, nil
}

func isUpper(b byte) bool { return b >= 'A' && b <= 'Z' }

// Value reads the value of an element of at most limit bytes; a longer one is
// passed over, and nil returned.
func (s *Stream) Value(e Element, limit uint32) ([]byte, error) {
	if e.Length > limit {
		return nil, s.skip(int64(e.Length))
	}
	b := make([]byte, e.Length)
	return b, s.Full(b)
}

// settle deals with an element of odd length, which the standard forbids: the
// Next element follows at once, or after a byte that the length left out.
func (s *Stream) settle(e Element) {
	if e.Length%2 == 0 {
		return
	}
	s.Odd = true
	b, err := s.in.Peek(9)
	if err != nil || !s.plausible(b[1:], e.Tag) {
		return
	}
	// Without a VR both may be plausible; the byte makes the group larger.
	if s.plausible(b, e.Tag) && (s.explicit || s.Order.Uint16(b) <= s.Order.Uint16(b[1:])) {
		return
	}
	s.in.Discard(1)
	s.at++
}

// plausible tells whether b may be the header of an element after the tag last.
func (s *Stream) plausible(b []byte, last Tag) bool {
	next := Tag(s.Order.Uint16(b))<<16 | Tag(s.Order.Uint16(b[2:]))
	if next <= last && next.group() != itemGroup {
		return false
	}
	if !s.explicit || next.group() == itemGroup {
		return next.group() <= 0x7fe0 || next.group() == itemGroup
	}
	_, known := vrLong[string(b[4:6])]
	return known
}

// Pass passes over an element's value, sequences of undefined length included.
func (s *Stream) Pass(e Element) error {
	if e.Length != UndefinedLength {
		if err := s.skip(int64(e.Length)); err != nil {
			return err
		}
		s.settle(e)
		return nil
	}
	switch e.VR {
	case implicitVR, vrSequence, vrUnknown, "OB", "OW":
		return s.passSequence(e.VR == vrUnknown)
	}
	return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("the element %v of VR %s has no length", e.Tag, printable(e.VR)), "export the series again")
}

// passSequence passes over the items of a sequence of undefined length up to
// its delimiter, however deep they are nested, without recursion.
func (s *Stream) passSequence(unknown bool) error {
	explicit := s.explicit
	defer func() { s.explicit = explicit }()
	// Two levels alternate: a sequence, whose parts are items, and an item, whose
	// parts are elements. For each sequence the encoding around it is kept.
	around := []bool{explicit}
	inItem := false
	if unknown {
		s.explicit = false // a value of unknown VR is in implicit VR
	}
	for len(around) > 0 {
		e, err := s.Next()
		if err != nil {
			return err
		}
		switch {
		case e.Tag == TagSequenceEnd: // within an item too, whose delimiter is then missing
			s.explicit, around = around[len(around)-1], around[:len(around)-1]
			inItem = true
		case !inItem && e.Tag == TagItem && e.Length == UndefinedLength:
			inItem = true
		case !inItem && e.Tag == TagItem:
			if err := s.skip(int64(e.Length)); err != nil {
				return err
			}
		case !inItem:
			return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("a sequence holds the element %v, which is no item", e.Tag), "export the series again")
		case e.Tag == TagItemEnd:
			inItem = false
		case e.Length == UndefinedLength:
			if len(around) >= maxNesting {
				return volume.Refuse(volume.CodeTooLarge, "its sequences are nested too deep", "remove the file or export it again")
			}
			around, inItem = append(around, s.explicit), false
			if e.VR == vrUnknown {
				s.explicit = false
			}
		default:
			if err := s.skip(int64(e.Length)); err != nil {
				return err
			}
			s.settle(e)
		}
	}
	return nil
}

// printable keeps what may be shown of a word from a file.
func printable(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}
