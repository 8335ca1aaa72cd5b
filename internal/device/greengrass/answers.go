package greengrass

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

// answers sends the answers that the queue on disk keeps for a destination, in their
// order, until they have arrived; those that are left at the end the next process
// sends.
type answers struct {
	queue     *diskqueue.Queue
	to        string // the destination
	link      *outbox.Link
	publisher *publisher
	limit     func() int      // the most bytes of an answer there
	ctx       context.Context // ends when nothing more is sent
	cancel    context.CancelFunc
	closing   context.Context // ends when only what is there remains to be sent
	leave     context.CancelFunc
	done      chan struct{} // closed when run has ended

	refused atomic.Uint64             // answers that can never be sent
	oldest  atomic.Pointer[time.Time] // when the one that is tried was given; nil while none waits
}

// deliver has the answers of a queue sent to a destination.
func (p *publisher) deliver(q *diskqueue.Queue, to string, link *outbox.Link, limit func() int) *answers {
	a := &answers{queue: q, to: to, link: link, publisher: p, limit: limit, done: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.closing, a.leave = context.WithCancel(a.ctx)
	go a.run()
	return a
}

func (a *answers) run() {
	defer close(a.done)
	for {
		wait := a.closing
		if a.closing.Err() != nil {
			if a.ctx.Err() != nil || a.queue.Undelivered(a.to) == 0 {
				return
			}
			wait = a.ctx
		}
		list, err := a.queue.Deliveries(wait, a.to)
		if err != nil {
			if a.closing.Err() == nil { // the queue is closed before it should be
				return
			}
			continue
		}
		if !a.send(list) {
			return
		}
	}
}

// send sends one answer after the other, each until it has arrived or never can. What
// is to be tried again is not taken from the queue again, which would write that down.
// It reports false at the end.
func (a *answers) send(list []diskqueue.Delivery) bool {
	givenUp := a.queue.Stats().GivenUp
	for len(list) > 0 {
		sent := 0
		for sent < len(list) && a.try(&list[sent]) {
			sent++
		}
		if sent > 0 && !a.note(list[:sent]) {
			return false
		}
		if list = list[sent:]; len(list) == 0 {
			break
		}
		if a.closing.Err() != nil || !a.link.Wait(a.ctx, a.closing.Done()) || a.closing.Err() != nil { // the next process may fare better
			return false
		}
		if a.queue.Stats().GivenUp != givenUp { // these may be among them
			break
		}
	}
	return true
}

// try sends an answer once, and reports whether it is done with: it has arrived, or
// never can.
func (a *answers) try(d *diskqueue.Delivery) bool {
	topics, _ := a.publisher.configured()
	m := outbox.Message{Topic: topics.Result, Document: d.Document, Attempt: d.Attempt, Claim: d.Claim}
	if limit := a.limit(); len(m.Document) > limit { // frames were larger when it was stored, or it came over HTTP
		if r, err := request.ParseResult(m.Document); err == nil {
			if shorter, err := r.Encode(limit); err == nil {
				m.Document = shorter
			}
		}
	}
	err := a.link.Try(a.ctx, &m)
	if err == nil {
		a.oldest.Store(nil)
		return true
	}
	if a.ctx.Err() == nil && a.link.Hopeless(err) {
		a.publisher.logger.Error("answer refused", zap.String("to", a.to), zap.Error(err))
		a.refused.Add(1)
		return true
	}
	if a.oldest.Load() == nil {
		given := d.Given // d goes on
		a.oldest.Store(&given)
	}
	d.Document, d.Attempt = request.WithAttempt(d.Document, m.Attempt), m.Attempt
	return false
}

// note notes what is done with, again and again while the disk does not take it: or
// the same would be sent again and again. It gives up, and reports false, at the end:
// the next process does send it again.
func (a *answers) note(sent []diskqueue.Delivery) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
	for a.queue.Delivered(a.ctx, a.to, sent...) != nil {
		select {
		case <-time.After(pause.NextBackOff()):
		case <-a.closing.Done():
			return false
		}
	}
	return true
}

// waiting counts the answers that have not arrived, and tells for how long the oldest
// that was tried waits, by a clock that may have been set before it was.
func (a *answers) waiting() (n int, age time.Duration) {
	if at := a.oldest.Load(); at != nil {
		age = time.Since(*at)
	}
	return a.queue.Undelivered(a.to), age
}

// close sends what is there until ctx ends, or until something cannot be sent.
func (a *answers) close(ctx context.Context) {
	a.leave()
	select {
	case <-a.done:
	case <-ctx.Done():
	}
	a.cancel()
	<-a.done
}
