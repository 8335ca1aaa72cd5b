package seg

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

// encoder writes data elements in explicit VR little endian, in ascending order
// of their tags. The first error stays; what follows it is not written.
type encoder struct {
	w    io.Writer
	err  error
	last uint32 // tag at this level
}

func (e *encoder) write(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

// head writes the head of an element.
func (e *encoder) head(tag uint32, vr string, length uint32) {
	if tag <= e.last && e.err == nil {
		e.err = fmt.Errorf("element %08x after %08x", tag, e.last)
	}
	e.last = tag
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
	b = append(binary.LittleEndian.AppendUint16(b, uint16(tag)), vr...)
	switch vr {
	case "OB", "SQ":
		b = binary.LittleEndian.AppendUint32(append(b, 0, 0), length)
	default:
		if length > 0xffff && e.err == nil {
			e.err = fmt.Errorf("element %08x has %d bytes, which are too many", tag, length)
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(length))
	}
	e.write(b)
}

// bytes writes an element with padding to an even length.
func (e *encoder) bytes(tag uint32, vr string, value []byte) {
	e.head(tag, vr, uint32(len(value)+len(value)%2))
	e.write(value)
	if len(value)%2 == 0 {
		return
	}
	if vr == "UI" || vr == "OB" {
		e.write([]byte{0})
	} else {
		e.write([]byte{' '})
	}
}

func (e *encoder) text(tag uint32, vr string, values ...string) {
	e.bytes(tag, vr, []byte(strings.Join(values, `\`)))
}

func (e *encoder) us(tag uint32, values ...uint16) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	e.bytes(tag, "US", b)
}

func (e *encoder) ul(tag uint32, values ...uint32) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	e.bytes(tag, "UL", b)
}

// at writes a pointer to an element.
func (e *encoder) at(tag uint32, to uint32) {
	b := binary.LittleEndian.AppendUint16(nil, uint16(to>>16))
	e.bytes(tag, "AT", binary.LittleEndian.AppendUint16(b, uint16(to)))
}

// whole writes a whole number as text.
func (e *encoder) whole(tag uint32, n int) { e.text(tag, "IS", strconv.Itoa(n)) }

// decimals writes numbers as text.
func (e *encoder) decimals(tag uint32, numbers ...float64) {
	var list []string
	for _, n := range numbers {
		list = append(list, decimal(n))
	}
	e.text(tag, "DS", list...)
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

// sequence writes a sequence of n items without stating lengths, so that nothing
// has to be kept.
func (e *encoder) sequence(tag uint32, n int, item func(i int)) {
	e.head(tag, "SQ", undefinedLength)
	for i := range n {
		e.mark(tagItem, undefinedLength)
		e.last = 0
		item(i)
		e.mark(tagItemEnd, 0)
	}
	e.mark(tagSequenceEnd, 0)
	e.last = tag
}

// one writes a sequence of one item.
func (e *encoder) one(tag uint32, item func()) { e.sequence(tag, 1, func(int) { item() }) }

func (e *encoder) mark(tag, length uint32) {
	b := binary.LittleEndian.AppendUint16(nil, uint16(tag>>16))
	b = binary.LittleEndian.AppendUint16(b, uint16(tag&0xffff))
	e.write(binary.LittleEndian.AppendUint32(b, length))
}
