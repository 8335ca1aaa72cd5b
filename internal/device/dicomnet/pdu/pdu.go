// Package pdu codes what DICOM peers exchange: the protocol data units of PS3.8
// and, in them, the command sets of C-ECHO and C-STORE of PS3.7.
//
// It checks every length before it takes memory, and knows no connection, no
// order of messages and no object. Package dicomnet calls it.
package pdu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Type is that of a protocol data unit (PS3.8, 9.3).
type Type byte

// The types.
const (
	AssociateRQ Type = 1
	AssociateAC Type = 2
	AssociateRJ Type = 3
	Data        Type = 4
	ReleaseRQ   Type = 5
	ReleaseRP   Type = 6
	Abort       Type = 7
)

// Bounds on what is read, in bytes.
const (
	// maxAssociate has room for 128 contexts with 40 transfer syntaxes each.
	maxAssociate = 512 << 10
	headerBytes  = 6
)

// Sources of an A-ABORT, and reasons of one by the provider (PS3.8, 9.3.8).
const (
	ByUser     = 0
	ByProvider = 2

	Unspecified      = 0
	unrecognised     = 1
	unexpectedPDU    = 2
	invalidParameter = 6
)

// ProtocolError is a breach of the protocol by the peer, which ends the
// association.
type ProtocolError struct {
	// Reason is that of the A-ABORT by which the peer is told.
	Reason byte
	what   string
}

func (e ProtocolError) Error() string { return "the peer breaks the DICOM protocol: " + e.what }

// Invalid is the breach of sending something malformed. Nothing that the peer
// sent as text gets into the error.
func Invalid(format string, args ...any) error {
	return ProtocolError{invalidParameter, fmt.Sprintf(format, args...)}
}

// Unexpected is the breach of sending a PDU where it has no place.
func Unexpected(kind Type, where string) error {
	return ProtocolError{unexpectedPDU, fmt.Sprintf("a PDU of type %d %s", kind, where)}
}

// Read reads a PDU, of which a P-DATA may have maxData bytes. The body lies in
// buf, which grows as bytes come, and holds until the next call.
func Read(in io.Reader, buf *bytes.Buffer, maxData int) (kind Type, body []byte, err error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return 0, nil, err
	}
	kind = Type(header[0])
	length := binary.BigEndian.Uint32(header[2:])
	limit := uint32(4)
	switch kind {
	case AssociateRQ, AssociateAC:
		limit = maxAssociate
	case Data:
		limit = uint32(maxData)
	case AssociateRJ, ReleaseRQ, ReleaseRP, Abort:
		if length != limit {
			return kind, nil, Invalid("a PDU of type %d has %d bytes instead of %d", kind, length, limit)
		}
	default:
		return kind, nil, ProtocolError{unrecognised, fmt.Sprintf("there is no PDU of type %d", kind)}
	}
	if length > limit {
		return kind, nil, Invalid("a PDU of type %d has %d bytes, and at most %d are taken", kind, length, limit)
	}
	buf.Reset()
	if _, err := io.CopyN(buf, in, int64(length)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return kind, nil, err
	}
	return kind, buf.Bytes(), nil
}

// Append appends a PDU with a body.
func Append(b []byte, kind Type, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, byte(kind), 0), uint32(len(body)))
	return append(b, body...)
}

// Fragment is a part of a message, a presentation data value.
type Fragment struct {
	// Context is the number of the presentation context.
	Context byte
	// Command tells it from data, Last that the command or data end with it.
	Command, Last bool
	Data          []byte
}

const (
	// FragmentHeader is how many bytes of a P-DATA a fragment takes above its data.
	FragmentHeader = 6

	flagCommand = 1
	flagLast    = 2
)

// CutFragment takes the first fragment off the body of a P-DATA.
func CutFragment(body []byte) (f Fragment, rest []byte, err error) {
	if len(body) < FragmentHeader {
		return Fragment{}, nil, Invalid("a P-DATA ends within a fragment")
	}
	length := binary.BigEndian.Uint32(body)
	if length < 2 || length > uint32(len(body)-4) {
		return Fragment{}, nil, Invalid("a fragment of %d bytes in a P-DATA with %d", length, len(body))
	}
	f = Fragment{Context: body[4], Command: body[5]&flagCommand != 0, Last: body[5]&flagLast != 0, Data: body[FragmentHeader : 4+length]}
	return f, body[4+length:], nil
}

// AppendData appends a P-DATA with one fragment.
func AppendData(b []byte, p Fragment) []byte {
	b = binary.BigEndian.AppendUint32(append(b, byte(Data), 0), uint32(FragmentHeader+len(p.Data)))
	b = binary.BigEndian.AppendUint32(b, uint32(2+len(p.Data)))
	flags := byte(0)
	if p.Command {
		flags |= flagCommand
	}
	if p.Last {
		flags |= flagLast
	}
	return append(append(b, p.Context, flags), p.Data...)
}
