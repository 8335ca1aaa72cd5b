package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Subscription is a stream of events. It survives the connection: when that is
// lost, the subscription is made again on the next one, and what was published
// in between is not seen.
type Subscription struct {
	client    *Client
	operation string
	payload   []byte
	eventType string
	handle    func(context.Context, []byte) error
	overflow  func([]byte) error // nil where what does not fit is dropped
	beats     *beats             // nil where it is not to a local topic

	ctx    context.Context // ends when the subscription does
	cancel context.CancelCauseFunc
	queue  chan []byte

	entering  sync.Mutex // held while an event enters the queue
	finishing bool       // by Finish: what is queued is still handled, and no more enters; guarded by entering

	queueBytes  atomic.Int64 // in place of Options.QueueBytes
	queuedBytes atomic.Int64
	dropped     atomic.Uint64
	malformed   atomic.Uint64
	renewed     atomic.Uint64
}

// Dropped counts the events that were lost because the handler was slower than
// the events for longer than the queue could bridge, and nothing took what
// overflowed.
func (s *Subscription) Dropped() uint64 { return s.dropped.Load() }

// Malformed counts the events that were not what the service model says, such
// as broken base64 (which nucleus lite passes on unchecked).
func (s *Subscription) Malformed() uint64 { return s.malformed.Load() }

// Renewed counts how often the subscription was made again.
func (s *Subscription) Renewed() uint64 { return s.renewed.Load() }

// SetQueueBytes changes Options.QueueBytes for this subscription.
func (s *Subscription) SetQueueBytes(bytes int64) { s.queueBytes.Store(bytes) }

// Done is closed when the subscription has ended, by Close, with the client, or
// because the nucleus refused to renew it. Err then says why.
func (s *Subscription) Done() <-chan struct{} { return s.ctx.Done() }

// Err is nil while the subscription lives.
func (s *Subscription) Err() error {
	if s.ctx.Err() == nil {
		return nil
	}
	return context.Cause(s.ctx)
}

// Close ends the subscription. It does not wait for a handler that is running,
// so a handler may close its own subscription; no handler starts afterwards.
func (s *Subscription) Close() { s.cancel(ErrClosed) }

// Finish ends the subscription as Close does, but the handler still gets the
// events that have come, unless the client is closed first. What comes until the
// nucleus has taken note overflows, as it does where the queue is full.
func (s *Subscription) Finish() {
	s.entering.Lock()
	s.finishing = true
	s.entering.Unlock()
	s.cancel(ErrClosed)
}

// subscribe starts a subscription and waits for the nucleus to accept it. ctx
// bounds that wait only. handle gets the payload of each event; overflow, which
// may be nil, that of events for which there is no room.
func (c *Client) subscribe(ctx context.Context, operation, eventType string, request any, handle func(context.Context, []byte) error, overflow func([]byte) error) (*Subscription, error) {
	s := &Subscription{operation: operation, eventType: serviceNamespace + eventType, handle: handle, overflow: overflow}
	if err := c.start(ctx, s, request); err != nil {
		return nil, err
	}
	return s, nil
}

// start starts a subscription of which operation, types and handlers are set.
func (c *Client) start(ctx context.Context, s *Subscription, request any) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("greengrass %s: encode request: %w", s.operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.CallTimeout)
	defer cancel()
	current, err := c.wait(ctx)
	if err != nil {
		return fmt.Errorf("greengrass %s: %w", s.operation, err)
	}
	s.client, s.payload, s.queue = c, payload, make(chan []byte, c.opts.QueueEvents)
	s.queueBytes.Store(c.opts.QueueBytes)
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	stream, err := s.open(ctx, current)
	if err != nil {
		s.cancel(err)
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		s.cancel(ErrClosed)
		return fmt.Errorf("greengrass %s: %w", s.operation, ErrClosed)
	}
	c.wg.Go(s.handleEvents)
	c.wg.Go(func() { s.keepSubscribed(stream) })
	if s.beats != nil {
		c.wg.Go(s.tryItself)
	}
	return nil
}

// stream is one life of a subscription, on one connection.
type stream struct {
	conn  *conn
	id    int32
	ended chan error // receives once, why the stream ended
}

// open makes the subscription on a connection and waits for the answer.
func (s *Subscription) open(ctx context.Context, current *conn) (*stream, error) {
	st := &stream{conn: current, ended: make(chan error, 1)}
	accepted := make(chan struct{}, 1)
	end := func(err error) {
		select {
		case st.ended <- err:
		default:
		}
	}
	id, err := current.open(s.operation, s.payload, func(f *frame.Frame, lost error) {
		if lost != nil {
			end(fmt.Errorf("greengrass %s: %w", s.operation, lost))
			return
		}
		if f.Type == frame.ApplicationError {
			end(errorFrom(s.operation, f))
			return
		}
		// By type, not by order: both servers may write an event before the answer.
		switch f.Headers[frame.HeaderServiceModelType] {
		case s.eventType:
			s.enqueue(f.Payload)
		case serviceNamespace + s.operation + "Response":
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
		current.terminate(id)
		return nil, fmt.Errorf("greengrass %s: no answer: %w", s.operation, ctx.Err())
	}
}

// keepSubscribed makes the subscription again whenever its stream ends or hears
// nothing. A deaf stream is left only when there is another: it might hear yet,
// and twice is better than never.
func (s *Subscription) keepSubscribed(st *stream) {
	o := s.client.opts
	for {
		deaf := st
		select {
		case <-s.deafness():
			o.Logger.Warn("greengrass subscription is made again, as if it heard nothing", zap.String("operation", s.operation))
		case err := <-st.ended:
			o.Logger.Info("greengrass subscription interrupted", zap.String("operation", s.operation), zap.Error(err))
			deaf = nil
		case <-s.ctx.Done():
			st.leave()
			return
		}
		pause := backoff.NewExponentialBackOff()
		pause.InitialInterval, pause.MaxInterval = o.MinBackoff, o.MaxBackoff
		for st = nil; st == nil; {
			next, err := s.renew()
			if err == nil {
				st = next
				s.renewed.Add(1)
				break
			}
			var refusal *Error
			if s.ctx.Err() != nil || errors.Is(err, ErrClosed) || errors.As(err, &refusal) && !refusal.Retryable() {
				s.cancel(err)
				deaf.leave()
				return
			}
			select {
			case <-time.After(pause.NextBackOff()):
			case <-s.ctx.Done():
				deaf.leave()
				return
			}
		}
		deaf.leave()
	}
}

// leave ends a stream from this side; nil is none.
func (st *stream) leave() {
	if st != nil {
		st.conn.terminate(st.id)
	}
}

func (s *Subscription) renew() (*stream, error) {
	current, err := s.client.wait(s.ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.client.opts.CallTimeout)
	defer cancel()
	return s.open(ctx, current)
}

// enqueue hands an event to the handler's goroutine, or to whoever takes what
// overflows, or counts it as dropped.
func (s *Subscription) enqueue(payload []byte) {
	if s.beats != nil && s.beats.hear(payload) {
		return
	}
	if s.enter(payload) {
		return
	}
	if s.overflow == nil {
		s.dropped.Add(1)
		return
	}
	s.understood(s.overflow(payload))
}

// enter puts an event into the queue if there is room for it.
func (s *Subscription) enter(payload []byte) bool {
	size := int64(len(payload))
	s.entering.Lock()
	defer s.entering.Unlock()
	if s.finishing || s.queuedBytes.Load()+size > s.queueBytes.Load() {
		return false
	}
	select {
	case s.queue <- payload:
		s.queuedBytes.Add(size)
		return true
	default:
		return false
	}
}

// understood counts an event that was not.
func (s *Subscription) understood(err error) {
	if err != nil {
		s.malformed.Add(1)
		s.client.opts.Logger.Warn("greengrass event not understood", zap.String("operation", s.operation), zap.Error(err))
	}
}

func (s *Subscription) handleEvents() {
	defer s.handleRest()
	for {
		if s.ctx.Err() != nil {
			return
		}
		select {
		case payload := <-s.queue:
			s.queuedBytes.Add(-int64(len(payload)))
			s.understood(s.handle(s.ctx, payload))
		case <-s.ctx.Done():
			return
		}
	}
}

// handleRest handles what is queued when the subscription is finished.
func (s *Subscription) handleRest() {
	s.entering.Lock()
	finishing := s.finishing
	s.entering.Unlock()
	for finishing && s.client.ctx.Err() == nil {
		select {
		case payload := <-s.queue:
			s.queuedBytes.Add(-int64(len(payload)))
			s.understood(s.handle(s.client.ctx, payload))
		default:
			return
		}
	}
}
