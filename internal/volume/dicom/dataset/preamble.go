package dataset

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// ErrNotDICOM tells that a file is of another kind.
var ErrNotDICOM = errors.New("not a DICOM file")

// ReadMeta finds the start of the data set and reads the meta header before it,
// which is always in explicit VR little endian; its stated length is not needed.
// bare tells that there is neither preamble nor mark. Of ErrNotDICOM, foreign says
// what the file is instead.
func ReadMeta(in *bufio.Reader) (meta Set, bare bool, foreign string, err error) {
	meta = NewSet(binary.LittleEndian)
	head, err := in.Peek(132)
	if err != nil && !errors.Is(err, io.EOF) {
		return meta, bare, "", err
	}
	switch {
	case len(head) == 132 && bytes.Equal(head[128:], []byte("DICM")):
		in.Discard(132)
	case bytes.HasPrefix(head, []byte("DICM")):
		in.Discard(4)
	case !Bare(head):
		return meta, false, foreignKind(head), ErrNotDICOM
	default:
		bare = true
	}
	s := NewStream(in, binary.LittleEndian, true)
	for {
		next, err := in.Peek(2)
		if err != nil || binary.LittleEndian.Uint16(next) != 2 {
			return meta, bare, "", nil
		}
		e, err := s.Next()
		if err != nil {
			return meta, bare, "", err
		}
		if _, wanted := tagNames[e.Tag]; !wanted {
			if err := s.Pass(e); err != nil {
				return meta, bare, "", err
			}
			continue
		}
		value, err := s.Value(e, maxValue)
		if err != nil {
			return meta, bare, "", err
		}
		meta.Elements[e.Tag] = Value{"UI", value}
	}
}

// Bare tells whether b, the first bytes of a file, begin a data set without
// preamble: an element of group 2 or 8 with a sensible length.
func Bare(b []byte) bool {
	if len(b) < 16 {
		return false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		group, number := order.Uint16(b), order.Uint16(b[2:])
		if group != 2 && group != 8 || number > 0x1200 {
			continue
		}
		if long, known := vrLong[string(b[4:6])]; known {
			return long || order.Uint16(b[6:]) < 1024
		}
		return group == 8 && order.Uint32(b[4:]) < 1024
	}
	return false
}

// foreignKind says what a file that is not DICOM is, as far as it matters.
func foreignKind(head []byte) string {
	switch {
	case len(head) == 0:
		return "empty file"
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}), len(head) >= 4 && (binary.LittleEndian.Uint32(head) == 348 || binary.LittleEndian.Uint32(head) == 540):
		return "not DICOM (perhaps NIfTI: give that file by its name)"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "a zip within (give it by its name)"
	}
	return "not DICOM"
}
