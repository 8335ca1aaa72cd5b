package pdu

import "encoding/binary"

// Commands (PS3.7, annex E). A response is its request with Response added.
const (
	Store  = 0x0001
	Echo   = 0x0030
	Cancel = 0x0fff

	Response = 0x8000
)

// Elements of a command set.
const (
	tagGroupLength  = 0x00000000
	tagSOPClass     = 0x00000002
	tagCommandField = 0x00000100
	tagMessageID    = 0x00000110
	tagRespondingTo = 0x00000120
	tagPriority     = 0x00000700
	tagDataSetType  = 0x00000800
	tagStatus       = 0x00000900
	tagSOPInstance  = 0x00001000

	noDataSet = 0x0101
	// MaxCommand bounds a command set in bytes; they have some hundred.
	MaxCommand = 16 << 10
	maxUID     = 64
)

// Command is a command set.
type Command struct {
	// Field is one of the commands.
	Field uint16
	// ID is the message's, or, in a response, the request's.
	ID uint16
	// HasData tells that a data set follows.
	HasData bool
	// Status of a response.
	Status uint16
	// SOPClass and SOPInstance of the object that it is about.
	SOPClass, SOPInstance string
}

// ParseCommand parses a command set, in implicit VR little endian.
func ParseCommand(b []byte) (Command, error) {
	c := Command{}
	var fields, types bool
	for len(b) > 0 {
		if len(b) < 8 {
			return c, Invalid("a command set ends within an element")
		}
		tag := uint32(binary.LittleEndian.Uint16(b))<<16 | uint32(binary.LittleEndian.Uint16(b[2:]))
		length := binary.LittleEndian.Uint32(b[4:])
		if length > uint32(len(b)-8) {
			return c, Invalid("an element of a command set is longer than the rest")
		}
		value := b[8 : 8+length]
		b = b[8+length:]
		number := uint16(0)
		switch tag {
		case tagCommandField, tagMessageID, tagRespondingTo, tagDataSetType, tagStatus:
			if len(value) != 2 {
				return c, Invalid("a number of %d bytes in a command set", len(value))
			}
			number = binary.LittleEndian.Uint16(value)
		case tagSOPClass, tagSOPInstance:
			if len(value) > maxUID+1 {
				return c, Invalid("a UID of %d bytes in a command set", len(value))
			}
		}
		switch tag {
		case tagCommandField:
			c.Field, fields = number, true
		case tagMessageID, tagRespondingTo:
			c.ID = number
		case tagDataSetType:
			c.HasData, types = number != noDataSet, true
		case tagStatus:
			c.Status = number
		case tagSOPClass:
			c.SOPClass = uid(value)
		case tagSOPInstance:
			c.SOPInstance = uid(value)
		}
	}
	if !fields || !types {
		return c, Invalid("a command set does not say what it is")
	}
	return c, nil
}

// Encode makes the command set.
func (c Command) Encode() []byte {
	var b []byte
	element := func(tag uint32, value []byte) {
		b = binary.LittleEndian.AppendUint16(b, uint16(tag>>16))
		b = binary.LittleEndian.AppendUint16(b, uint16(tag))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
		b = append(b, value...)
	}
	number := func(tag uint32, n uint16) { element(tag, binary.LittleEndian.AppendUint16(nil, n)) }
	text := func(tag uint32, s string) {
		if len(s)%2 == 1 {
			s += "\x00"
		}
		if s != "" {
			element(tag, []byte(s))
		}
	}
	text(tagSOPClass, c.SOPClass)
	number(tagCommandField, c.Field)
	if c.Field&Response != 0 {
		number(tagRespondingTo, c.ID)
	} else {
		number(tagMessageID, c.ID)
	}
	if c.Field == Store {
		number(tagPriority, 0) // medium
	}
	kind := uint16(noDataSet)
	if c.HasData {
		kind = 1
	}
	number(tagDataSetType, kind)
	if c.Field&Response != 0 {
		number(tagStatus, c.Status)
	}
	text(tagSOPInstance, c.SOPInstance)
	rest := b
	b = nil
	element(tagGroupLength, binary.LittleEndian.AppendUint32(nil, uint32(len(rest))))
	return append(b, rest...)
}
