package connection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/ggipc/internal/servicemodel"
)

// protocolVersion is the only version of the handshake that servers accept.
const protocolVersion = "0.1.0"

// sink takes what arrives on one stream: a frame, or the error that ended the
// connection. It is called by the goroutine that reads and must not block.
type sink func(f *frame.Frame, lost error)

// Conn is one accepted connection. It is dead for good once done is closed.
type Conn struct {
	nc       net.Conn
	o        *Options
	maxFrame *atomic.Int64 // the keeper's

	// writing serialises frames, so that stream ids appear on the wire in the
	// order in which they were taken.
	writing sync.Mutex
	buf     []byte // guarded by writing
	lastID  atomic.Int32

	mu      sync.Mutex
	streams map[int32]sink // guarded by mu
	err     error          // guarded by mu; why the connection ended

	terminated atomic.Bool // whether this side ended a stream

	pings chan *frame.Frame
	done  chan struct{} // closed when both goroutines have ended
}

// dial connects and shakes hands within ctx. The error is ErrUnreachable,
// ErrTokenRefused or the context's.
func dial(ctx context.Context, o *Options, maxFrame *atomic.Int64) (*Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", o.SocketPath)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	reader := frame.NewReader(nc, 0)
	if err := handshake(ctx, nc, reader, o, int(maxFrame.Load())); err != nil {
		nc.Close()
		return nil, err
	}
	c := &Conn{
		nc: nc, o: o, maxFrame: maxFrame,
		streams: make(map[int32]sink), pings: make(chan *frame.Frame, 4), done: make(chan struct{}),
	}
	go c.serve(reader)
	return c, nil
}

// handshake sends CONNECT and waits for the answer.
func handshake(ctx context.Context, nc net.Conn, r *frame.Reader, o *Options, maxFrame int) error {
	deadline, ok := ctx.Deadline()
	if most := time.Now().Add(o.CallTimeout); !ok || most.Before(deadline) {
		deadline = most
	}
	if err := nc.SetDeadline(deadline); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	payload, err := json.Marshal(struct {
		AuthToken string `json:"authToken"`
	}{o.AuthToken})
	if err != nil {
		return fmt.Errorf("encode the handshake: %w", err)
	}
	out, err := frame.Encode(nil, &frame.Frame{
		Type:    frame.Connect,
		Headers: map[string]string{frame.HeaderVersion: protocolVersion},
		Payload: payload,
	}, maxFrame)
	if err != nil {
		return fmt.Errorf("encode the handshake: %w", err)
	}
	var answer *frame.Frame
	if _, err = nc.Write(out); err == nil {
		answer, err = r.Read()
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		// Nucleus lite refuses by closing, without a frame.
		return fmt.Errorf("%w: it closed the connection", ErrTokenRefused)
	case err != nil:
		return fmt.Errorf("%w: no answer to the handshake: %w", ErrUnreachable, err)
	case answer.Type != frame.ConnectAck:
		return fmt.Errorf("%w: handshake answered by a message of type %d", ErrUnreachable, answer.Type)
	case answer.Flags&frame.ConnectionAccepted == 0:
		return ErrTokenRefused
	}
	if !stop() {
		return ctx.Err()
	}
	return nc.SetDeadline(time.Time{})
}

// serve reads until the connection ends, then tells every stream.
func (c *Conn) serve(r *frame.Reader) {
	var pinging sync.WaitGroup
	pinging.Go(c.answerPings)
	err := c.read(r)
	c.fail(err)
	close(c.pings)
	pinging.Wait()

	c.mu.Lock()
	err = c.err
	streams := c.streams
	c.streams = nil
	c.mu.Unlock()
	for _, s := range streams {
		s(nil, err)
	}
	close(c.done)
}

func (c *Conn) read(r *frame.Reader) error {
	for {
		f, err := r.Read()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrLost, err)
		}
		switch f.Type {
		case frame.ApplicationMessage, frame.ApplicationError:
			if err := c.dispatch(f); err != nil {
				return err
			}
		case frame.Ping:
			select {
			case c.pings <- f:
			default: // the nucleus sends faster than it reads; one answer less
			}
		case frame.ProtocolError, frame.InternalError:
			return fmt.Errorf("%w: the nucleus reports: %.200q", ErrLost, f.Payload)
		}
	}
}

func (c *Conn) dispatch(f *frame.Frame) error {
	c.mu.Lock()
	s := c.streams[f.StreamID]
	if s != nil && (f.Terminates() || f.Type == frame.ApplicationError) {
		delete(c.streams, f.StreamID)
	}
	c.mu.Unlock()
	if s != nil {
		s(f, nil)
		return nil
	}
	if f.StreamID < 1 || f.StreamID > c.lastID.Load() {
		return fmt.Errorf("%w: the nucleus used stream %d, which was never opened", ErrLost, f.StreamID)
	}
	return nil // late frame of a stream that this side ended
}

// answerPings writes from a goroutine of its own, for the reader must not wait
// for the nucleus to read.
func (c *Conn) answerPings() {
	for ping := range c.pings {
		pong := &frame.Frame{Type: frame.PingResponse, Headers: make(map[string]string), Payload: ping.Payload}
		for name, value := range ping.Headers {
			if name != "" && name[0] != ':' {
				pong.Headers[name] = value
			}
		}
		c.writing.Lock()
		_ = c.write(pong) // a failed write ends the connection, which is seen elsewhere
		c.writing.Unlock()
	}
}

// open starts a stream with its first frame and returns its id. Nothing is sent
// and no id is used up where it fails with *frame.TooLargeError.
func (c *Conn) open(operation string, payload []byte, s sink) (int32, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	id := c.lastID.Load() + 1
	first := &frame.Frame{
		Type: frame.ApplicationMessage, StreamID: id, Payload: payload,
		Headers: map[string]string{
			frame.HeaderOperation:        servicemodel.Namespace + operation,
			frame.HeaderServiceModelType: servicemodel.Namespace + operation + "Request",
			frame.HeaderContentType:      "application/json",
		},
	}
	encoded, err := frame.Encode(c.buf[:0], first, int(c.maxFrame.Load()))
	if err != nil {
		return 0, fmt.Errorf("greengrass %s: %w", operation, err)
	}
	c.buf = encoded[:0]

	c.mu.Lock()
	if c.streams == nil || c.err != nil {
		err := c.err
		c.mu.Unlock()
		return 0, err
	}
	c.streams[id] = s
	c.lastID.Store(id)
	c.mu.Unlock()

	if err := c.send(encoded); err != nil {
		c.forget(id)
		return 0, err
	}
	return id, nil
}

// terminate ends a stream from this side. Frames of it that still arrive are
// dropped.
func (c *Conn) terminate(id int32) {
	if !c.forget(id) {
		return
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.terminated.Store(true)
	_ = c.write(&frame.Frame{Type: frame.ApplicationMessage, Flags: frame.TerminateStream, StreamID: id})
}

// forget removes a stream and reports whether it was open.
func (c *Conn) forget(id int32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.streams[id]
	delete(c.streams, id)
	return open
}

// write encodes and sends f. The caller holds c.writing.
func (c *Conn) write(f *frame.Frame) error {
	encoded, err := frame.Encode(c.buf[:0], f, int(c.maxFrame.Load()))
	if err != nil {
		return err
	}
	c.buf = encoded[:0]
	return c.send(encoded)
}

// send writes one whole frame. The caller holds c.writing. A frame that could
// not be written whole makes the connection useless.
func (c *Conn) send(encoded []byte) error {
	c.nc.SetWriteDeadline(time.Now().Add(c.o.CallTimeout))
	if _, err := c.nc.Write(encoded); err != nil {
		return c.fail(fmt.Errorf("%w: %w", ErrLost, err))
	}
	return nil
}

// fail ends the connection; the first reason is kept and returned.
func (c *Conn) fail(reason error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = reason
		c.nc.Close()
	}
	return c.err
}

// shutdown ends every stream and closes. In between it asks the nucleus for something
// and waits for the answer, at most for patience: frames are taken in their order, so
// the nucleus has ended the streams when it answers. Nucleus lite can hang for good
// where a connection is closed while it has an event for it.
func (c *Conn) shutdown(patience time.Duration) {
	c.mu.Lock()
	ids := make([]int32, 0, len(c.streams))
	for id := range c.streams {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.terminate(id)
	}
	if c.terminated.Load() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, _ = c.Call(ctx, "GetConfiguration", []byte(`{"keyPath":["accessControl"]}`)) // any answer will do
		cancel()
	}
	c.fail(ErrClosed)
	<-c.done
}
