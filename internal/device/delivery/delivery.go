// Package delivery sends the answers that the queue on disk keeps for a destination,
// in their order, each until it has arrived or never can. Those that are left at the
// end the next process sends.
//
// It decides neither when an answer is given up for want of room, which the queue
// does, nor how often one is tried, which the link does. Package greengrass calls it,
// once for each destination.
package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/outbox"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Options are the settings of Start. All must be set.
type Options struct {
	// Queue keeps the answers. It is closed after the Sender.
	Queue *diskqueue.Queue
	// To is the destination, by the name that the queue has for it.
	To string
	// Link leads there.
	Link *outbox.Link
	// Target says on which topic the next answer goes out, and how many bytes it may
	// have. It may be called concurrently with everything.
	Target func() (topic string, limit int)
	// Logger is told of answers that are refused.
	Logger *zap.Logger
}

// Sender sends the answers for one destination. Its methods may be called
// concurrently.
type Sender struct {
	Options
	ctx     context.Context // ends when nothing more is sent
	cancel  context.CancelFunc
	closing context.Context // ends when only what is there remains to be sent
	leave   context.CancelFunc
	done    chan struct{} // closed when run has ended

	refused atomic.Uint64             // answers that can never be sent
	oldest  atomic.Pointer[time.Time] // when the one that is tried was given; nil while none waits
}

// Start begins to send. The Sender is to be closed.
func Start(o Options) *Sender {
	s := &Sender{Options: o, done: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.closing, s.leave = context.WithCancel(s.ctx)
	go s.run()
	return s
}

func (s *Sender) run() {
	defer close(s.done)
	for {
		wait := s.closing
		if s.closing.Err() != nil {
			if s.ctx.Err() != nil || s.Queue.Undelivered(s.To) == 0 {
				return
			}
			wait = s.ctx
		}
		list, err := s.Queue.Deliveries(wait, s.To)
		if err != nil {
			if s.closing.Err() == nil { // the queue is closed before it should be
				return
			}
			continue
		}
		if !s.send(list) {
			return
		}
	}
}

// send sends one answer after the other, each until it has arrived or never can. What
// is to be tried again is not taken from the queue again, which would write that down.
// It reports false at the end.
func (s *Sender) send(list []diskqueue.Delivery) bool {
	givenUp := s.Queue.Stats().GivenUp
	for len(list) > 0 {
		sent := 0
		for sent < len(list) && s.try(&list[sent]) {
			sent++
		}
		if sent > 0 && !s.note(list[:sent]) {
			return false
		}
		if list = list[sent:]; len(list) == 0 {
			break
		}
		if s.closing.Err() != nil || !s.Link.Wait(s.ctx, s.closing.Done()) || s.closing.Err() != nil { // the next process may fare better
			return false
		}
		if s.Queue.Stats().GivenUp != givenUp { // these may be among them
			break
		}
	}
	return true
}

// try sends an answer once, and reports whether it is done with: it has arrived, or
// never can.
func (s *Sender) try(d *diskqueue.Delivery) bool {
	topic, limit := s.Target()
	m := outbox.Message{Topic: topic, Document: d.Document, Attempt: d.Attempt, Claim: d.Claim}
	if len(m.Document) > limit { // frames were larger when it was stored, or it came over HTTP
		if r, err := request.ParseResult(m.Document); err == nil {
			if shorter, err := r.Encode(limit); err == nil {
				m.Document = shorter
			}
		}
	}
	err := s.Link.Try(s.ctx, &m)
	if err == nil {
		s.oldest.Store(nil)
		return true
	}
	if s.ctx.Err() == nil && s.Link.Hopeless(err) {
		s.Logger.Error("answer refused", zap.String("to", s.To), zap.Error(err))
		s.refused.Add(1)
		return true
	}
	if s.oldest.Load() == nil {
		given := d.Given // d goes on
		s.oldest.Store(&given)
	}
	d.Document, d.Attempt = request.WithAttempt(d.Document, m.Attempt), m.Attempt
	return false
}

// note notes what is done with, again and again while the disk does not take it: or
// the same would be sent again and again. It gives up, and reports false, at the end:
// the next process does send it again.
func (s *Sender) note(sent []diskqueue.Delivery) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
	for s.Queue.Delivered(s.ctx, s.To, sent...) != nil {
		select {
		case <-time.After(pause.NextBackOff()):
		case <-s.closing.Done():
			return false
		}
	}
	return true
}

// Refused counts the answers that did not arrive and never will.
func (s *Sender) Refused() uint64 { return s.refused.Load() }

// Waiting counts the answers that have not arrived, and tells for how long the oldest
// that was tried waits, by a clock that may have been set before it was.
func (s *Sender) Waiting() (n int, age time.Duration) {
	if at := s.oldest.Load(); at != nil {
		age = time.Since(*at)
	}
	return s.Queue.Undelivered(s.To), age
}

// Close sends what is there until ctx ends, or until something cannot be sent.
func (s *Sender) Close(ctx context.Context) {
	s.leave()
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	s.cancel()
	<-s.done
}
