// Package frame reads and writes the frames of Greengrass IPC: AWS event-stream
// messages with the three headers that the protocol puts on every frame.
//
// It checks the prelude of a frame (lengths and checksum) before it allocates
// anything for it, and it holds both directions to a limit in bytes. It knows
// nothing of streams, operations or connections: package ggipc (the client) and
// package nucleus (the local server) build those on it.
package frame

import (
	"errors"
	"fmt"
)

// Type is the value of the header ":message-type".
type Type int32

// The message types of the protocol. Stream 0 carries Ping to InternalError,
// the other streams carry ApplicationMessage and ApplicationError.
const (
	ApplicationMessage Type = 0
	ApplicationError   Type = 1
	Ping               Type = 2
	PingResponse       Type = 3
	Connect            Type = 4
	ConnectAck         Type = 5
	ProtocolError      Type = 6
	InternalError      Type = 7
)

// Flags is the value of the header ":message-flags", a set of bits.
type Flags int32

const (
	// ConnectionAccepted is set on a ConnectAck when the token was accepted.
	ConnectionAccepted Flags = 1
	// TerminateStream ends a stream, from either side.
	TerminateStream Flags = 2
)

// Names of the headers that the protocol and the Greengrass service use.
const (
	HeaderType             = ":message-type"
	HeaderFlags            = ":message-flags"
	HeaderStreamID         = ":stream-id"
	HeaderVersion          = ":version"
	HeaderContentType      = ":content-type"
	HeaderOperation        = "operation"
	HeaderServiceModelType = "service-model-type"
)

// MaxSize is the largest frame that any Greengrass nucleus reads or writes, in
// bytes: the limit of the C engine inside the classic nucleus (24 MiB).
const MaxSize = 24 << 20

// MaxHeaders is the most that the headers of a frame may take, in bytes: the
// limit of the same engine. It also bounds the time that decoding takes, which
// grows with the square of the number of headers.
const MaxHeaders = 128 << 10

// overhead is the size of a frame without headers and payload: prelude (12
// bytes) and the checksum of the message (4 bytes).
const (
	preludeSize = 12
	overhead    = 16
)

// Frame is one message of the protocol.
type Frame struct {
	Type     Type
	Flags    Flags
	StreamID int32

	// Headers holds the string headers by name, without the three that every
	// frame carries. They are written in the order of their names.
	Headers map[string]string

	// Foreign names the headers of a frame that was read whose type is neither
	// int32 nor string, and int32 headers that the protocol does not name.
	// Nucleus lite drops a connection that sends one; Write ignores them.
	Foreign []string

	// Payload is the body, JSON in nearly every case. A frame that was read
	// owns its payload.
	Payload []byte
}

// Terminates reports whether the frame ends its stream.
func (f *Frame) Terminates() bool { return f.Flags&TerminateStream != 0 }

var (
	// ErrCorrupt says that the bytes are no event-stream frame: a checksum or a
	// length does not fit. Nothing after it on the connection can be trusted.
	ErrCorrupt = errors.New("frame is corrupt")

	// ErrMissingHeader says that one of the three headers that every frame
	// carries is absent or is not an int32. The frame boundary is intact.
	ErrMissingHeader = errors.New("frame lacks a mandatory header")
)

// TooLargeError says that a frame exceeds the limit of a Reader or of Encode.
type TooLargeError struct {
	Size  int64 // bytes of the whole frame
	Limit int   // bytes allowed
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("frame of %d bytes exceeds the limit of %d bytes", e.Size, e.Limit)
}
