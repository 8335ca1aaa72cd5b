package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/queue"
	"github.com/brainseg/brainseg/internal/device/request"
)

// The destinations of answers.
const (
	ToIPC     = "ipc"     // other components, of answers to their requests
	ToIoTCore = "iotcore" // AWS IoT Core, of all answers, where the configuration says so
)

// destinations are those to which the answer of a job is delivered.
func (q *Queue) destinations(way string) (to []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if way == job.WayIPC {
		to = append(to, ToIPC)
	}
	if q.toIoTCore {
		to = append(to, ToIoTCore)
	}
	return to
}

// document is an answer as it is stored: for other components within a frame.
func (q *Queue) document(way string, answer request.Result) ([]byte, error) {
	limit := 0
	if way == job.WayIPC {
		q.mu.Lock()
		limit = q.limit
		q.mu.Unlock()
	}
	return answer.Encode(limit)
}

// Finish is job.Queue's. A disk that does not store is asked again until the
// context ends.
func (q *Queue) Finish(j *job.Job, answer request.Result) func(context.Context) ([]byte, []func(job.Outcome), error) {
	document, err := q.document(j.From.Way, answer)
	if err != nil {
		return func(context.Context) ([]byte, []func(job.Outcome), error) { return nil, q.take(j.Key), err }
	}
	to := q.destinations(j.From.Way)
	if j.From.Way == job.WayIPC && (answer.Mask != nil || answer.Scan != nil) {
		q.mu.Lock()
		q.claims[j.Key] = j.Claim
		q.mu.Unlock()
	}
	finish := q.disk.BeginFinish(j.Key, document, to...)
	return func(ctx context.Context) ([]byte, []func(job.Outcome), error) {
		pause := backoff.NewExponentialBackOff()
		pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 5*time.Second
		err := finish(ctx)
		for errors.Is(err, queue.ErrStorage) && ctx.Err() == nil {
			select {
			case <-time.After(pause.NextBackOff()):
				err = q.disk.Finish(ctx, j.Key, document, to...)
			case <-ctx.Done():
			}
		}
		if errors.Is(err, queue.ErrAnswered) { // stored by a try that seemed to fail
			err = nil
		}
		return document, q.take(j.Key), err
	}
}

// Forget is job.Queue's.
func (q *Queue) Forget(ctx context.Context, key string, answer request.Result) (*job.Job, []func(job.Outcome), error) {
	stage, _, err := q.Lookup(key)
	switch {
	case err != nil:
		return nil, nil, acceptError(err)
	case stage == job.StageUnknown:
		return nil, nil, job.ErrUnknownRequest
	case stage == job.StageInWork:
		return nil, nil, job.ErrInWork
	case stage == job.StageAnswered:
		err := q.disk.Forget(ctx, key)
		switch {
		case errors.Is(err, queue.ErrUnknown), errors.Is(err, queue.ErrUnanswered): // forgotten meanwhile
			return nil, nil, job.ErrUnknownRequest
		case err != nil:
			return nil, nil, acceptError(err)
		}
		q.release(key)
		return nil, nil, nil
	}
	q.mu.Lock()
	var j *job.Job
	handed := false
	if e := q.jobs[key]; e != nil {
		j, handed = e.job, e.handed
	}
	q.mu.Unlock()
	if j == nil || handed {
		return nil, nil, job.ErrInWork
	}
	document, err := q.document(j.From.Way, answer)
	if err != nil {
		return nil, nil, err
	}
	switch err := q.disk.Withdraw(ctx, key, document, q.destinations(j.From.Way)...); {
	case errors.Is(err, queue.ErrAnswered), errors.Is(err, queue.ErrUnknown):
		return nil, nil, job.ErrInWork
	case err != nil:
		return nil, nil, acceptError(err)
	}
	return j, q.take(key), nil
}

// Delivery is an answer that has not arrived at a destination yet.
type Delivery struct {
	// Number is the answer's, in their order.
	Number uint64
	// Document is the answer with Attempt, the number of this attempt to send it.
	Document []byte
	Attempt  int
	// Given is when the answer was, on the process' own clock.
	Given time.Time
	// Claim is of the files that the answer names; nil for none, and on the way to AWS
	// IoT Core, which may take days. It is released when the answer goes out, and
	// renewed where it did not.
	Claim *claim.Claim

	key string
}

// deliveries is how many answers are handed out at once, at most.
const deliveries = 64

// Deliveries waits for answers that have not been delivered to a destination, and
// returns the oldest of them in their order. They are handed out again until
// Delivered. It has one caller for each destination.
func (q *Queue) Deliveries(ctx context.Context, destination string) ([]Delivery, error) {
	list, err := q.disk.Deliveries(ctx, destination, deliveries)
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]Delivery, 0, len(list))
	for _, d := range list {
		delivery := Delivery{Number: d.Number, Document: request.WithAttempt(d.Answer, d.Attempt), Attempt: d.Attempt, Given: time.Now().Add(-d.Age), key: d.ID}
		if destination == ToIPC {
			delivery.Claim = q.claims[d.ID]
		}
		out = append(out, delivery)
	}
	return out, nil
}

// Delivered notes that answers have arrived at a destination, or are given up.
func (q *Queue) Delivered(ctx context.Context, destination string, list ...Delivery) error {
	numbers := make([]uint64, 0, len(list))
	for _, d := range list {
		if destination == ToIPC {
			q.release(d.key)
		}
		numbers = append(numbers, d.Number)
	}
	if err := q.disk.Delivered(ctx, destination, numbers...); err != nil {
		return fmt.Errorf("%d answers: %w", len(numbers), err)
	}
	return nil
}

// release lets go of the outputs of an answer.
func (q *Queue) release(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims[key].Release()
	delete(q.claims, key)
}

// Undelivered is the number of answers that have not arrived at a destination.
func (q *Queue) Undelivered(destination string) int { return q.disk.Stats().Pending[destination] }

// Stats tells the state of the queue on disk.
func (q *Queue) Stats() queue.Stats { return q.disk.Stats() }
