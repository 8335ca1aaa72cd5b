package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/internal/beat"
	"github.com/brainseg/brainseg/ggipc/internal/connection"
	"github.com/brainseg/brainseg/ggipc/internal/eventqueue"
)

// Subscription is a stream of events. It survives the connection: when that is
// lost, the subscription is made again on the next one, and what was published
// in between is not seen.
type Subscription struct {
	client    *Client
	operation string
	eventType string // without its namespace
	payload   []byte
	queue     *eventqueue.Queue

	beats *beat.Beats // nil where it is not to a local topic
	topic string      // which

	ctx     context.Context // ends when the subscription does
	cancel  context.CancelCauseFunc
	renewed atomic.Uint64
}

// Dropped counts the events that were lost because the handler was slower than
// the events for longer than the queue could bridge, and nothing took what
// overflowed.
func (s *Subscription) Dropped() uint64 { return s.queue.Dropped() }

// Malformed counts the events that were not what the service model says, such
// as broken base64 (which nucleus lite passes on unchecked).
func (s *Subscription) Malformed() uint64 { return s.queue.Malformed() }

// Renewed counts how often the subscription was made again.
func (s *Subscription) Renewed() uint64 { return s.renewed.Load() }

// SetQueueBytes changes Options.QueueBytes for this subscription.
func (s *Subscription) SetQueueBytes(bytes int64) { s.queue.SetBytes(bytes) }

// Done is closed when the subscription has ended, by Close, with the client, or
// because the nucleus refused to renew it. Err then says why.
func (s *Subscription) Done() <-chan struct{} { return s.ctx.Done() }

// Err is nil while the subscription lives.
func (s *Subscription) Err() error { return context.Cause(s.ctx) }

// Close ends the subscription. It does not wait for a handler that is running,
// so a handler may close its own subscription; no handler starts afterwards.
func (s *Subscription) Close() { s.cancel(ErrClosed) }

// Finish ends the subscription as Close does, but the handler still gets the
// events that have come, unless the client is closed first. What comes until the
// nucleus has taken note overflows, as it does where the queue is full.
func (s *Subscription) Finish() {
	s.queue.Finish()
	s.cancel(ErrClosed)
}

// SetBeat changes SubscribeToTopicRequest.Beat. It does nothing on subscriptions
// to anything but a local topic.
func (s *Subscription) SetBeat(interval time.Duration) { s.beats.Set(interval) }

// Renew has the subscription made again: the new one first, so that nothing is
// missed and something may come twice. It returns at once. It is for whoever waits
// for a message in vain, and does nothing on subscriptions to anything but a local
// topic; see SubscribeToTopicRequest.Beat.
func (s *Subscription) Renew() { s.beats.Renew() }

// Deaf counts how often a beat found that the subscription hears nothing, so that
// it was made again.
func (s *Subscription) Deaf() uint64 { return s.beats.Found() }

// subscribe starts a subscription to anything but a local topic and waits for the
// nucleus to accept it. ctx bounds that wait only. handle gets the payload of each
// event.
func (c *Client) subscribe(ctx context.Context, operation, eventType string, request any, handle func(context.Context, []byte) error) (*Subscription, error) {
	return c.start(ctx, &Subscription{operation: operation, eventType: eventType}, request, handle, nil)
}

// start starts a subscription of which operation, type and beats are set. overflow,
// which may be nil, gets the events for which there is no room.
func (c *Client) start(ctx context.Context, s *Subscription, request any, handle func(context.Context, []byte) error, overflow func([]byte) error) (*Subscription, error) {
	payload, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("greengrass %s: encode request: %w", s.operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.CallTimeout)
	defer cancel()
	current, err := c.keeper.Wait(ctx)
	if err != nil {
		return nil, fmt.Errorf("greengrass %s: %w", s.operation, err)
	}
	s.client, s.payload = c, payload
	s.queue = eventqueue.New(c.opts.QueueEvents, c.opts.QueueBytes, handle, overflow, func(err error) {
		c.opts.Logger.Warn("greengrass event not understood", zap.String("operation", s.operation), zap.Error(err))
	})
	s.ctx, s.cancel = context.WithCancelCause(c.keeper.Context())
	stream, err := s.open(ctx, current)
	if err == nil {
		if err = c.keeper.Go(
			func() { s.queue.Run(s.ctx, c.keeper.Context()) },
			func() { s.keepSubscribed(stream) },
			func() { s.beats.Run(s.ctx, s.publish, s.refused) },
		); err != nil {
			err = fmt.Errorf("greengrass %s: %w", s.operation, err)
		}
	}
	if err != nil {
		s.cancel(err)
		return nil, err
	}
	return s, nil
}

// open makes the subscription on a connection and waits for the answer.
func (s *Subscription) open(ctx context.Context, current *connection.Conn) (*connection.Stream, error) {
	return current.Subscribe(ctx, s.operation, s.eventType, s.payload, func(event []byte) {
		if !s.beats.Hear(event) {
			s.queue.Put(event)
		}
	})
}

// keepSubscribed makes the subscription again whenever its stream ends or hears
// nothing. A deaf stream is left only when there is another: it might hear yet,
// and twice is better than never.
func (s *Subscription) keepSubscribed(st *connection.Stream) {
	o := s.client.opts
	for {
		deaf := st
		select {
		case <-s.beats.Deaf():
			o.Logger.Warn("greengrass subscription is made again, as if it heard nothing", zap.String("operation", s.operation))
		case err := <-st.Ended():
			o.Logger.Info("greengrass subscription interrupted", zap.String("operation", s.operation), zap.Error(err))
			deaf = nil
		case <-s.ctx.Done():
			st.Leave()
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
				deaf.Leave()
				return
			}
			select {
			case <-time.After(pause.NextBackOff()):
			case <-s.ctx.Done():
				deaf.Leave()
				return
			}
		}
		deaf.Leave()
	}
}

func (s *Subscription) renew() (*connection.Stream, error) {
	current, err := s.client.keeper.Wait(s.ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.client.opts.CallTimeout)
	defer cancel()
	return s.open(ctx, current)
}

// publish publishes a beat.
func (s *Subscription) publish(ctx context.Context, message []byte) error {
	return s.client.PublishToTopic(ctx, PublishToTopicRequest{Topic: s.topic, Binary: message})
}

// refused tells whether a beat met an error that will not go away.
func (s *Subscription) refused(err error) bool {
	var refusal *Error
	final := errors.As(err, &refusal) && !refusal.Retryable()
	if final {
		s.client.opts.Logger.Warn("greengrass subscription cannot try itself: the nucleus refuses what it publishes", zap.Error(err))
	}
	return final
}
