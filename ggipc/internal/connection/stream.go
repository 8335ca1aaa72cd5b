package connection

import (
	"context"
	"errors"
	"fmt"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/ggipc/internal/servicemodel"
)

// errStreamEnded says that the nucleus ended a subscription without an error.
var errStreamEnded = errors.New("the nucleus ended the subscription")

// Call opens a stream and returns the payload of its one answer.
func (c *Conn) Call(ctx context.Context, operation string, payload []byte) ([]byte, error) {
	type outcome struct {
		f    *frame.Frame
		lost error
	}
	outcomes := make(chan outcome, 1)
	id, err := c.open(operation, payload, func(f *frame.Frame, lost error) {
		select {
		case outcomes <- outcome{f, lost}:
		default: // the answer is the first frame; what follows on the stream is nothing to us
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case o := <-outcomes:
		c.forget(id)
		switch {
		case o.lost != nil:
			return nil, fmt.Errorf("greengrass %s: %w", operation, o.lost)
		case o.f.Type == frame.ApplicationError:
			return nil, c.o.Refusal(operation, o.f)
		}
		return o.f.Payload, nil
	case <-ctx.Done():
		c.terminate(id)
		return nil, fmt.Errorf("greengrass %s: no answer: %w", operation, ctx.Err())
	}
}

// Stream is a stream on which events come, for as long as its connection lives.
type Stream struct {
	conn  *Conn
	id    int32
	ended chan error // receives once, why the stream ended
}

// Ended receives once, why the stream ended.
func (st *Stream) Ended() <-chan error { return st.ended }

// Leave ends the stream from this side; nil is none.
func (st *Stream) Leave() {
	if st != nil {
		st.conn.terminate(st.id)
	}
}

// Subscribe opens a stream and waits until the nucleus accepts it. event gets the
// payload of every message of the type eventType, without its namespace, on the
// goroutine that reads: it must not block.
func (c *Conn) Subscribe(ctx context.Context, operation, eventType string, payload []byte, event func([]byte)) (*Stream, error) {
	st := &Stream{conn: c, ended: make(chan error, 1)}
	accepted := make(chan struct{}, 1)
	end := func(err error) {
		select {
		case st.ended <- err:
		default:
		}
	}
	id, err := c.open(operation, payload, func(f *frame.Frame, lost error) {
		if lost != nil {
			end(fmt.Errorf("greengrass %s: %w", operation, lost))
			return
		}
		if f.Type == frame.ApplicationError {
			end(c.o.Refusal(operation, f))
			return
		}
		// By type, not by order: both servers may write an event before the answer.
		switch f.Headers[frame.HeaderServiceModelType] {
		case servicemodel.Namespace + eventType:
			event(f.Payload)
		case servicemodel.Namespace + operation + "Response":
			select {
			case accepted <- struct{}{}:
			default:
			}
		}
		if f.Terminates() {
			end(errStreamEnded)
		}
	})
	if err != nil {
		return nil, err
	}
	st.id = id
	select {
	case <-accepted:
		return st, nil
	case err := <-st.ended:
		return nil, err
	case <-ctx.Done():
		c.terminate(id)
		return nil, fmt.Errorf("greengrass %s: no answer: %w", operation, ctx.Err())
	}
}
