package frame

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// Encode appends the bytes of f to dst and returns the extended slice. limit is
// the largest frame allowed in bytes, MaxSize if it is 0; a larger frame is
// refused with *TooLargeError before anything is copied.
func Encode(dst []byte, f *Frame, limit int) ([]byte, error) {
	if limit <= 0 {
		limit = MaxSize
	}
	headers := eventstream.Headers{
		{Name: HeaderType, Value: eventstream.Int32Value(f.Type)},
		{Name: HeaderFlags, Value: eventstream.Int32Value(f.Flags)},
		{Name: HeaderStreamID, Value: eventstream.Int32Value(f.StreamID)},
	}
	names := make([]string, 0, len(f.Headers))
	for name := range f.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	size := int64(overhead + len(f.Payload))
	for _, h := range headers {
		size += int64(1 + len(h.Name) + 1 + 4)
	}
	for _, name := range names {
		value := f.Headers[name]
		size += int64(1 + len(name) + 1 + 2 + len(value))
		headers = append(headers, eventstream.Header{Name: name, Value: eventstream.StringValue(value)})
	}
	if size > int64(limit) {
		return dst, &TooLargeError{Size: size, Limit: limit}
	}
	buf := bytes.NewBuffer(dst)
	if err := eventstream.NewEncoder().Encode(buf, eventstream.Message{Headers: headers, Payload: f.Payload}); err != nil {
		return dst, fmt.Errorf("encode frame: %w", err)
	}
	return buf.Bytes(), nil
}

// Reader reads frames from a connection. It is not for concurrent use.
type Reader struct {
	r     *bufio.Reader
	limit int
	dec   *eventstream.Decoder
}

// NewReader returns a Reader that refuses frames of more than limit bytes
// (MaxSize if limit is 0).
func NewReader(r io.Reader, limit int) *Reader {
	reader := &Reader{r: bufio.NewReaderSize(r, 16<<10), dec: eventstream.NewDecoder()}
	reader.SetLimit(limit)
	return reader
}

// SetLimit changes the largest frame taken, in bytes, for those read from now on
// (MaxSize if limit is 0): a server may trust a client more once it is known.
func (r *Reader) SetLimit(limit int) {
	if limit <= 0 || limit > MaxSize {
		limit = MaxSize
	}
	r.limit = limit
}

// Read returns the next frame. The error is io.EOF where the stream ends
// between two frames and io.ErrUnexpectedEOF where it ends inside one; it wraps
// ErrCorrupt or is a *TooLargeError where the frame cannot be read, and wraps
// ErrMissingHeader where it was read (the Frame is then not nil) but lacks one
// of the mandatory headers. After any other error than ErrMissingHeader the
// position in the stream is undefined.
func (r *Reader) Read() (*Frame, error) {
	prelude, err := r.r.Peek(preludeSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(prelude) > 0 {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	total := binary.BigEndian.Uint32(prelude[0:])
	headersLen := binary.BigEndian.Uint32(prelude[4:])
	switch {
	case crc32.ChecksumIEEE(prelude[:8]) != binary.BigEndian.Uint32(prelude[8:]):
		return nil, fmt.Errorf("%w: checksum of the prelude differs", ErrCorrupt)
	case total < overhead || headersLen > total-overhead || headersLen > MaxHeaders:
		return nil, fmt.Errorf("%w: %d bytes of headers in a frame of %d bytes", ErrCorrupt, headersLen, total)
	case int64(total) > int64(r.limit):
		return nil, &TooLargeError{Size: int64(total), Limit: r.limit}
	}
	buf := make([]byte, total)
	if _, err := io.ReadFull(r.r, buf); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	msg, err := r.dec.Decode(bytes.NewReader(buf), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fromMessage(msg)
}

// fromMessage sorts the headers of msg into a Frame.
func fromMessage(msg eventstream.Message) (*Frame, error) {
	f := &Frame{Payload: msg.Payload}
	var haveType, haveFlags, haveID bool
	for _, h := range msg.Headers {
		switch v := h.Value.Get().(type) {
		case int32:
			switch h.Name {
			case HeaderType:
				f.Type, haveType = Type(v), true
			case HeaderFlags:
				f.Flags, haveFlags = Flags(v), true
			case HeaderStreamID:
				f.StreamID, haveID = v, true
			default:
				f.Foreign = append(f.Foreign, h.Name)
			}
		case string:
			if f.Headers == nil {
				f.Headers = make(map[string]string)
			}
			f.Headers[h.Name] = v
		default:
			f.Foreign = append(f.Foreign, h.Name)
		}
	}
	switch {
	case !haveType:
		return f, fmt.Errorf("%w: %s", ErrMissingHeader, HeaderType)
	case !haveFlags:
		return f, fmt.Errorf("%w: %s", ErrMissingHeader, HeaderFlags)
	case !haveID:
		return f, fmt.Errorf("%w: %s", ErrMissingHeader, HeaderStreamID)
	}
	return f, nil
}

// Buffered returns how many bytes of the next frames were already read from the
// connection.
func (r *Reader) Buffered() int { return r.r.Buffered() }
