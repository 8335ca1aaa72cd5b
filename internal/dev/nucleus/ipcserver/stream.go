package ipcserver

import (
	"slices"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Stream is one stream of a connection. Two are equal if they are the same one.
type Stream struct {
	c  *connection
	id int32
}

// Component returns the name of the component that opened the stream.
func (s Stream) Component() string { return s.c.component } // which never changes after the handshake

// Send queues a frame on the stream, whose id it is given. It never blocks; it
// fails where the frame is larger than the nucleus sends.
func (s Stream) Send(f *frame.Frame) error {
	f.StreamID = s.id
	return s.c.send(f)
}

// SendEvent queues an event, or drops it where the client does not drain its
// connection or the frame is too large.
func (s Stream) SendEvent(f *frame.Frame) {
	f.StreamID = s.id
	s.c.sendEvent(f)
}

// Keep leaves the stream open after its answer, until either side ends it. Only
// Options.Perform may call it.
func (s Stream) Keep() {
	s.c.s.mu.Lock()
	defer s.c.s.mu.Unlock()
	s.c.streams[s.id] = true
}

// End ends a stream that is kept open, with the empty frame that the protocol has
// for it. Options.Ended is not called.
func (s Stream) End() {
	s.c.s.mu.Lock()
	defer s.c.s.mu.Unlock()
	if s.c.streams[s.id] {
		delete(s.c.streams, s.id)
		s.SendEvent(&frame.Frame{Flags: frame.TerminateStream})
	}
}

// Streams returns the streams of the named components that are kept open.
func (s *Server) Streams(components ...string) []Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []Stream
	for c := range s.connections {
		if !slices.Contains(components, c.component) {
			continue
		}
		for id := range c.streams {
			open = append(open, Stream{c, id})
		}
	}
	return open
}
