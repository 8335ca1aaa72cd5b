package greengrass

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/request"
)

// answers sends the answers that the queue on disk keeps for other components, in
// their order, until they have arrived; those that are left at the end the next
// process sends.
type answers struct {
	queue     *diskqueue.Queue
	publisher *publisher
	ctx       context.Context // ends when nothing more is sent
	cancel    context.CancelFunc
	closing   context.Context // ends when only what is there remains to be sent
	leave     context.CancelFunc
	done      chan struct{} // closed when run has ended
}

func (p *publisher) deliver(q *diskqueue.Queue) *answers {
	a := &answers{queue: q, publisher: p, done: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.closing, a.leave = context.WithCancel(a.ctx)
	go a.run()
	return a
}

func (a *answers) run() {
	defer close(a.done)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 30*time.Second
	for {
		wait := a.closing
		if a.closing.Err() != nil {
			if a.ctx.Err() != nil || a.queue.Undelivered() == 0 {
				return
			}
			wait = a.ctx
		}
		list, err := a.queue.Deliveries(wait)
		if err != nil {
			if a.closing.Err() == nil { // the queue is closed before it should be
				return
			}
			continue
		}
		sent, err := a.send(list)
		if len(sent) > 0 {
			if !a.note(sent) {
				return
			}
		}
		if err == nil {
			pause.Reset()
			continue
		}
		a.publisher.logger.Info("answers not sent yet, trying again", zap.Error(err))
		select {
		case <-time.After(pause.NextBackOff()):
		case <-a.closing.Done(): // the next process may fare better
			return
		}
	}
}

// note notes what is done with, again and again while the disk does not take it: or
// the same would be sent again and again. It gives up, and reports false, at the end:
// the next process does send it again.
func (a *answers) note(sent []diskqueue.Delivery) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
	for a.queue.Delivered(a.ctx, sent...) != nil {
		select {
		case <-time.After(pause.NextBackOff()):
		case <-a.closing.Done():
			return false
		}
	}
	return true
}

// send sends one answer after the other, up to one that must be tried again. It
// returns those that are done with: they have arrived, or never can.
func (a *answers) send(list []diskqueue.Delivery) (sent []diskqueue.Delivery, err error) {
	for _, d := range list {
		topics, limit := a.publisher.configured()
		document := d.Document
		if len(document) > limit { // frames were larger when it was stored
			if r, err := request.ParseResult(document); err == nil {
				if shorter, err := r.Encode(limit); err == nil {
					document = shorter
				}
			}
		}
		d.Claim.Release() // before anybody can have the answer
		err := a.publisher.publish(a.ctx, message{topic: topics.Result, document: document})
		if err != nil && !hopeless(err) {
			d.Claim.Renew()
			return sent, err
		}
		if err != nil {
			a.publisher.logger.Error("answer refused", zap.Error(err))
			a.publisher.results.loseOne()
		}
		sent = append(sent, d)
	}
	return sent, nil
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
