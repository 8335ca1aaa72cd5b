package ipcserver

import (
	"encoding/json"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// protocolVersion is the only version of the RPC protocol that exists.
const protocolVersion = "0.1.0"

// flushTimeout bounds the writing of the last frames to a client that is being
// closed.
const flushTimeout = time.Second

// connection is one client. Its reader runs the operations one after the other;
// its writer sends what they and other connections queued, so that a client
// that does not read holds up nobody but itself.
type connection struct {
	s      *Server
	conn   net.Conn
	frames *frame.Reader
	timer  *frameTimer
	last   int32 // highest stream id seen; reader only

	component string         // guarded by s.mu; "" before the handshake
	streams   map[int32]bool // guarded by s.mu; those that were kept open

	mu     sync.Mutex
	queue  [][]byte      // guarded by mu
	queued int           // guarded by mu; bytes in queue and in the write under way
	ending bool          // guarded by mu; close when the queue is written
	wake   chan struct{} // to the writer: queue or ending changed
	room   chan struct{} // to the reader: queued fell
	done   chan struct{} // closed by the writer when it ends
}

func newConnection(s *Server, conn net.Conn) *connection {
	timer := &frameTimer{conn: conn, timeout: s.o.Limits.FrameTime}
	return &connection{
		s: s, conn: conn, timer: timer, frames: frame.NewReader(timer, min(s.o.Limits.FrameIn, s.o.Limits.StrangerFrame)),
		streams: make(map[int32]bool),
		wake:    make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// frameTimer reads from a connection and bounds the time from the first byte of
// a frame to its last; between frames it waits for ever.
type frameTimer struct {
	conn    net.Conn
	timeout time.Duration
	inFrame bool
}

func (t *frameTimer) Read(p []byte) (int, error) {
	count, err := t.conn.Read(p)
	if count > 0 {
		t.begin()
	}
	return count, err
}

func (t *frameTimer) begin() {
	if t.timeout > 0 && !t.inFrame {
		t.inFrame = true
		t.conn.SetReadDeadline(time.Now().Add(t.timeout))
	}
}

// next prepares for a frame of which buffered bytes were already read.
func (t *frameTimer) next(buffered int) {
	if t.timeout == 0 {
		return
	}
	t.inFrame = false
	t.conn.SetReadDeadline(time.Time{})
	if buffered > 0 {
		t.begin()
	}
}

// serve reads frames until the connection ends.
func (c *connection) serve() {
	defer c.s.wg.Done()
	defer c.release()
	greeted := false
	patience := time.AfterFunc(c.s.o.Limits.StrangerTime, func() { c.conn.Close() })
	defer patience.Stop()
	for {
		c.timer.next(c.frames.Buffered())
		f, err := c.frames.Read()
		if err != nil && !errors.Is(err, frame.ErrMissingHeader) {
			c.s.o.Logger.Debug("connection ends", zap.Error(err))
			return
		}
		goOn := false
		switch {
		case err != nil:
			goOn = c.violation(missingHeaders)
		case c.s.o.Profile == Lite && len(f.Foreign) > 0:
			// lite's decoder knows int32 and string only and gives up on the rest.
		case !greeted:
			if goOn = c.greet(f); goOn {
				patience.Stop()
				c.frames.SetLimit(c.s.o.Limits.FrameIn)
				greeted = true
			}
		default:
			goOn = c.handle(f)
		}
		if !goOn || !c.waitForRoom() {
			return
		}
	}
}

// release forgets the connection after its last frame was written.
func (c *connection) release() {
	c.s.mu.Lock()
	open := c.streams
	c.streams = nil
	c.s.mu.Unlock()
	for id := range open {
		c.s.o.Ended(Stream{c, id})
	}
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.conn.SetWriteDeadline(time.Now().Add(flushTimeout))
	signal(c.wake)
	<-c.done
	c.s.mu.Lock()
	if c.component == "" {
		c.s.strangers--
	}
	delete(c.s.connections, c)
	c.s.mu.Unlock()
}

// greet answers the first frame and reports whether the client was accepted.
func (c *connection) greet(f *frame.Frame) bool {
	if f.Type != frame.Connect || f.StreamID != 0 {
		return c.violation(connectFirst)
	}
	var hello struct {
		AuthToken     *string `json:"authToken"`
		ComponentName *string `json:"componentName"`
	}
	version, stated := f.Headers[frame.HeaderVersion]
	ok := version == protocolVersion || !stated && c.s.o.Profile == Lite
	ok = json.Unmarshal(f.Payload, &hello) == nil && hello.AuthToken != nil && ok

	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if ok {
		c.component, ok = c.s.admitted[*hello.AuthToken]
	}
	if ok && c.s.o.Profile == Lite && hello.ComponentName != nil && *hello.ComponentName != c.component {
		c.component, ok = "", false
	}
	if ok {
		c.s.strangers--
		c.send(&frame.Frame{Type: frame.ConnectAck, Flags: frame.ConnectionAccepted})
		c.s.o.Logger.Debug("component connected", zap.String("component", c.component))
		return true
	}
	c.s.o.Logger.Debug("connection refused")
	if c.s.o.Profile == Classic {
		c.send(&frame.Frame{Type: frame.ConnectAck})
	}
	return false
}

// What the C engine in the classic nucleus says about a broken protocol.
const (
	missingHeaders  = `{ "message": "A message was received with missing required fields. Check that your client is sending at least, :message-type, :message-flags, and :stream-id" }`
	connectFirst    = `{ "message": "A CONNECT message must be received, and the CONNECT_ACK must be sent, before any other message-types can be sent or received." }`
	badStreamID     = `{ "message": "non-zero stream-id field is only allowed for messages of type APPLICATION_MESSAGE. The stream id max value is INT32_MAX." }`
	streamIDSkipped = `{ "message": "stream-id values must be monotonically incrementing. A new stream-id arrived that was incremented by more than 1." }`
	streamIDOld     = `{ "message": "stream-id values must be monotonically incrementing. A stream-id arrived that was lower than the last seen stream-id." }`
	badMessageType  = `{ "message": "an invalid value for message-type field was received." }`
	noOperation     = `{ "message": "The first message for on a non-zero :stream-id must contain an operation header value."; }`
)

// violation ends the connection for a breach of the protocol: classic says why,
// lite just closes. It returns false, for the reader to stop.
func (c *connection) violation(reason string) bool {
	c.s.o.Logger.Debug("protocol violation", zap.String("reason", reason))
	if c.s.o.Profile == Classic {
		c.send(&frame.Frame{
			Type: frame.ProtocolError, Payload: []byte(reason),
			Headers: map[string]string{frame.HeaderContentType: "application/json"},
		})
	}
	return false
}

// handle takes one frame of a greeted client and reports whether to go on.
func (c *connection) handle(f *frame.Frame) bool {
	if f.StreamID == 0 {
		return c.handleControl(f)
	}
	if c.s.o.Profile == Classic {
		switch {
		case f.StreamID < 0 || f.Type > frame.ApplicationError || f.Type < 0:
			return c.violation(badStreamID)
		case f.StreamID <= c.last:
			return c.continueStream(f)
		case f.StreamID != c.last+1:
			return c.violation(streamIDSkipped)
		case f.Headers[frame.HeaderOperation] == "":
			return c.violation(noOperation)
		}
		c.last = f.StreamID
	} else if f.Terminates() {
		return c.continueStream(f)
	}
	c.s.o.Perform(Stream{c, f.StreamID}, f)
	return true
}

// handleControl takes a frame of stream 0.
func (c *connection) handleControl(f *frame.Frame) bool {
	switch {
	case c.s.o.Profile == Lite:
		return false // whatever it is: pings too
	case f.Type == frame.Ping:
		headers := make(map[string]string)
		for name, value := range f.Headers {
			if !strings.HasPrefix(name, ":") {
				headers[name] = value
			}
		}
		c.send(&frame.Frame{Type: frame.PingResponse, Headers: headers, Payload: f.Payload})
		return true
	case f.Type == frame.PingResponse:
		return true
	case f.Type == frame.ProtocolError || f.Type == frame.InternalError:
		return false
	}
	return c.violation(badMessageType)
}

// continueStream takes a frame of a stream that was opened before.
func (c *connection) continueStream(f *frame.Frame) bool {
	c.s.mu.Lock()
	open := c.streams[f.StreamID]
	if f.Terminates() {
		delete(c.streams, f.StreamID)
	}
	c.s.mu.Unlock()
	switch {
	case f.Terminates():
		if open {
			c.s.o.Ended(Stream{c, f.StreamID})
		}
		return true
	case open:
		return true // a stream event: no operation here takes any
	}
	return c.violation(streamIDOld)
}

// send queues a frame. It never blocks, and it may be called with any lock but mu held.
func (c *connection) send(f *frame.Frame) error {
	b, err := frame.Encode(nil, f, c.s.o.Limits.FrameOut)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, b)
	c.queued += len(b)
	signal(c.wake)
	return nil
}

// sendEvent queues an event of a subscription, or drops it where the client
// does not drain its connection or the frame is too large.
func (c *connection) sendEvent(f *frame.Frame) {
	c.mu.Lock()
	full := c.queued > 0 && c.queued+len(f.Payload) > c.s.o.Limits.Queue
	c.mu.Unlock()
	if full || c.send(f) != nil {
		c.s.dropped.Add(1)
		c.s.o.Logger.Debug("event dropped", zap.Bool("readerSlow", full))
	}
}

// waitForRoom holds back the reader of a client that sends requests but does
// not read the answers. It returns false when the connection ended.
func (c *connection) waitForRoom() bool {
	for {
		c.mu.Lock()
		full := c.queued > c.s.o.Limits.Queue
		c.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-c.room:
		case <-c.done:
			return false
		}
	}
}

// write sends queued frames until the connection ends, and closes it.
func (c *connection) write() {
	defer c.s.wg.Done()
	defer close(c.done)
	defer c.conn.Close()
	for {
		c.mu.Lock()
		frames, ending := c.queue, c.ending
		c.queue = nil
		c.mu.Unlock()
		for _, b := range frames {
			if _, err := c.conn.Write(b); err != nil {
				return
			}
			c.mu.Lock()
			c.queued -= len(b)
			c.mu.Unlock()
			signal(c.room)
		}
		if len(frames) == 0 {
			if ending {
				return
			}
			<-c.wake
		}
	}
}

// signal wakes the goroutine that waits on ch, now or when it next waits.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
