package derived

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	tagItem        = 0xfffee000
	tagItemEnd     = 0xfffee00d
	tagSequenceEnd = 0xfffee0dd

	undefinedLength = 0xffffffff
)

// Encoder writes data elements in explicit VR little endian, in ascending order
// of their tags. The first error stays; what follows it is not written.
type Encoder struct {
	w    io.Writer
	err  error
	last uint32 // tag at this level
}

// NewEncoder makes an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Write writes what follows a head.
func (e *Encoder) Write(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

// Head writes the head of an element.
func (e *Encoder) Head(tag uint32, vr string, length uint32) {
	if tag <= e.last && e.err == nil {
		e.err = fmt.Errorf("element %08x after %08x", tag, e.last)
	}
	e.last = tag
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
	b = append(binary.LittleEndian.AppendUint16(b, uint16(tag)), vr...)
	switch vr {
	case "OB", "SQ", "UT":
		b = binary.LittleEndian.AppendUint32(append(b, 0, 0), length)
	default:
		if length > 0xffff && e.err == nil {
			e.err = fmt.Errorf("element %08x has %d bytes, which are too many", tag, length)
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(length))
	}
	e.Write(b)
}

// Bytes writes an element with padding to an even length.
func (e *Encoder) Bytes(tag uint32, vr string, value []byte) {
	e.Head(tag, vr, uint32(len(value)+len(value)%2))
	e.Write(value)
	if len(value)%2 == 0 {
		return
	}
	if vr == "UI" || vr == "OB" {
		e.Write([]byte{0})
	} else {
		e.Write([]byte{' '})
	}
}

// Text writes an element of texts.
func (e *Encoder) Text(tag uint32, vr string, values ...string) {
	e.Bytes(tag, vr, []byte(strings.Join(values, `\`)))
}

// US writes an element of 16-bit numbers.
func (e *Encoder) US(tag uint32, values ...uint16) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	e.Bytes(tag, "US", b)
}

// UL writes an element of 32-bit numbers.
func (e *Encoder) UL(tag uint32, values ...uint32) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	e.Bytes(tag, "UL", b)
}

// AT writes a pointer to an element.
func (e *Encoder) AT(tag uint32, to uint32) {
	b := binary.LittleEndian.AppendUint16(nil, uint16(to>>16))
	e.Bytes(tag, "AT", binary.LittleEndian.AppendUint16(b, uint16(to)))
}

// Whole writes a whole number as text.
func (e *Encoder) Whole(tag uint32, n int) { e.Text(tag, "IS", strconv.Itoa(n)) }

// Decimals writes numbers as text.
func (e *Encoder) Decimals(tag uint32, numbers ...float64) {
	var list []string
	for _, n := range numbers {
		list = append(list, decimal(n))
	}
	e.Text(tag, "DS", list...)
}

// decimal is a number in the 16 characters of a decimal string, exact where they
// suffice.
func decimal(v float64) string {
	v += 0 // no negative zero
	s := strconv.FormatFloat(v, 'g', -1, 64)
	for digits := 16; len(s) > 16; digits-- {
		s = strconv.FormatFloat(v, 'g', digits, 64)
	}
	return s
}

// Sequence writes a sequence of n items without stating lengths, so that nothing
// has to be kept.
func (e *Encoder) Sequence(tag uint32, n int, item func(i int)) {
	e.Head(tag, "SQ", undefinedLength)
	for i := range n {
		e.mark(tagItem, undefinedLength)
		e.last = 0
		item(i)
		e.mark(tagItemEnd, 0)
	}
	e.mark(tagSequenceEnd, 0)
	e.last = tag
}

// One writes a sequence of one item.
func (e *Encoder) One(tag uint32, item func()) { e.Sequence(tag, 1, func(int) { item() }) }

func (e *Encoder) mark(tag, length uint32) {
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
	b = binary.LittleEndian.AppendUint16(b, uint16(tag&0xffff))
	e.Write(binary.LittleEndian.AppendUint32(b, length))
}

// Err is the first error.
func (e *Encoder) Err() error { return e.err }

// Fragments begins pixels that are encoded frame by frame: each call of the
// function that it returns writes the next frame, and with nil the end.
func (e *Encoder) Fragments(tag uint32) func(frame []byte) {
	e.Head(tag, "OB", undefinedLength)
	e.mark(tagItem, 0) // no offset table
	return func(frame []byte) {
		if frame == nil {
			e.mark(tagSequenceEnd, 0)
			return
		}
		e.mark(tagItem, uint32(len(frame)+len(frame)%2))
		e.Write(frame)
		if len(frame)%2 == 1 {
			e.Write([]byte{0})
		}
	}
}
