package dicom

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/brainseg/brainseg/internal/volume"
)

// tag is a data element's group and number.
type tag uint32

func (t tag) group() uint16  { return uint16(t >> 16) }
func (t tag) String() string { return fmt.Sprintf("(%04x,%04x)", uint32(t)>>16, uint32(t)&0xffff) }

// Tags of items, which have no VR, and what else is special.
const (
	tagItem        tag = 0xfffee000
	tagItemEnd     tag = 0xfffee00d
	tagSequenceEnd tag = 0xfffee0dd

	itemGroup       = 0xfffe
	undefinedLength = 0xffffffff

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

// stream reads data elements.
type stream struct {
	in       *bufio.Reader
	order    binary.ByteOrder
	explicit bool
	at       int64 // bytes read so far
	odd      bool  // an element of odd length was passed
}

// element is a data element's header.
type element struct {
	tag    tag
	vr     string // "" in implicit VR
	length uint32
}

func (s *stream) full(b []byte) error {
	n, err := io.ReadFull(s.in, b)
	s.at += int64(n)
	if errors.Is(err, io.EOF) && n == 0 && len(b) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skip passes over n bytes.
func (s *stream) skip(n int64) error {
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

// next reads the header of the next element.
func (s *stream) next() (element, error) {
	var b [8]byte
	if err := s.full(b[:]); err != nil {
		return element{}, err
	}
	e := element{tag: tag(s.order.Uint16(b[:]))<<16 | tag(s.order.Uint16(b[2:]))}
	if e.tag.group() == itemGroup || !s.explicit {
		e.length = s.order.Uint32(b[4:])
		return e, nil
	}
	e.vr = string(b[4:6])
	long, known := vrLong[e.vr]
	switch {
	case known && !long:
		e.length = uint32(s.order.Uint16(b[6:]))
		return e, nil
	case !known && !(isUpper(b[4]) && isUpper(b[5])):
		// Some writers put elements without a VR among those with one.
		e.vr, e.length = implicitVR, s.order.Uint32(b[4:])
		return e, nil
	case !known && (b[6] != 0 || b[7] != 0):
		e.length = uint32(s.order.Uint16(b[6:]))
		return e, nil
	}
	var length [4]byte
	if err := s.full(length[:]); err != nil {
		return e, err
	}
	e.length = s.order.Uint32(length[:])
	return e, nil
}

func isUpper(b byte) bool { return b >= 'A' && b <= 'Z' }

// value reads the value of an element of at most limit bytes; a longer one is
// passed over, and nil returned.
func (s *stream) value(e element, limit uint32) ([]byte, error) {
	if e.length > limit {
		return nil, s.skip(int64(e.length))
	}
	b := make([]byte, e.length)
	return b, s.full(b)
}

// settle deals with an element of odd length, which the standard forbids: the
// next element follows at once, or after a byte that the length left out.
func (s *stream) settle(e element) {
	if e.length%2 == 0 {
		return
	}
	s.odd = true
	b, err := s.in.Peek(9)
	if err != nil || s.plausible(b, e.tag) || !s.plausible(b[1:], e.tag) {
		return
	}
	s.in.Discard(1)
	s.at++
}

// plausible tells whether b may be the header of an element after the tag last.
func (s *stream) plausible(b []byte, last tag) bool {
	next := tag(s.order.Uint16(b))<<16 | tag(s.order.Uint16(b[2:]))
	if next <= last && next.group() != itemGroup {
		return false
	}
	if !s.explicit || next.group() == itemGroup {
		return next.group() <= 0x7fe0 || next.group() == itemGroup
	}
	_, known := vrLong[string(b[4:6])]
	return known
}

// pass passes over an element's value, sequences of undefined length included.
func (s *stream) pass(e element) error {
	if e.length != undefinedLength {
		if err := s.skip(int64(e.length)); err != nil {
			return err
		}
		s.settle(e)
		return nil
	}
	switch e.vr {
	case implicitVR, vrSequence, vrUnknown, "OB", "OW":
		return s.passSequence(e.vr == vrUnknown)
	}
	return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("the element %v of VR %s has no length", e.tag, printable(e.vr)), "export the series again")
}

// passSequence passes over the items of a sequence of undefined length up to
// its delimiter, however deep they are nested, without recursion.
func (s *stream) passSequence(unknown bool) error {
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
		e, err := s.next()
		if err != nil {
			return err
		}
		switch {
		case e.tag == tagSequenceEnd: // within an item too, whose delimiter is then missing
			s.explicit, around = around[len(around)-1], around[:len(around)-1]
			inItem = true
		case !inItem && e.tag == tagItem && e.length == undefinedLength:
			inItem = true
		case !inItem && e.tag == tagItem:
			if err := s.skip(int64(e.length)); err != nil {
				return err
			}
		case !inItem:
			return volume.Refuse(volume.CodeDamaged, fmt.Sprintf("a sequence holds the element %v, which is no item", e.tag), "export the series again")
		case e.tag == tagItemEnd:
			inItem = false
		case e.length == undefinedLength:
			if len(around) >= maxNesting {
				return volume.Refuse(volume.CodeTooLarge, "its sequences are nested too deep", "remove the file or export it again")
			}
			around, inItem = append(around, s.explicit), false
			if e.vr == vrUnknown {
				s.explicit = false
			}
		default:
			if err := s.skip(int64(e.length)); err != nil {
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
