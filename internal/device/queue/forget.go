package queue

import (
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/groupcommit"
	"github.com/brainseg/brainseg/internal/device/queue/records"
)

// forget removes answers that are too old, or for whose room there is need. It reports
// whether there is more to do. The committer calls it.
func (q *Queue) forget() (more bool) {
	q.mu.Lock()
	sweep, due := q.answers.Sweep(q.opts.MaxAnswers, q.opts.MaxAnswerBytes, q.opts.Retain)
	q.mu.Unlock()
	if !due || q.commits.Faulty() {
		return false
	}
	if err := q.file.View(sweep.Find); err != nil {
		_ = q.distrust(err)
		return false
	}
	if len(sweep.Found) > 0 {
		if err := q.commits.Update(func(tx *bolt.Tx) error {
			for destination, numbers := range sweep.GivenUp {
				if _, err := records.DeleteDeliveries(tx, destination, numbers); err != nil {
					return err
				}
			}
			return records.DeleteAnswers(tx, sweep.Found)
		}); err != nil {
			return false
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.counts.GivenUp += q.answers.Swept(&sweep)
	q.counts.Forgotten += uint64(len(sweep.Found))
	return sweep.More
}

// Forget removes the answer of a request, delivered or not, and makes its id free.
// A request that has no answer is ErrUnanswered, one that is not known ErrUnknown.
func (q *Queue) Forget(ctx context.Context, id string) error {
	key := records.KeyOf(id)
	q.mu.Lock()
	number, answered := q.answers.Number(key)
	var err error
	switch {
	case q.closed:
		err = ErrClosed
	case q.backlog.Get(key) != nil:
		err = ErrUnanswered
	case !answered:
		err = ErrUnknown
	}
	if err != nil {
		q.mu.Unlock()
		return fmt.Errorf("forget an answer: %w", err)
	}
	o := q.removeAnswer(key, number)
	q.mu.Unlock()
	if err := o.Wait(ctx); err != nil {
		return fmt.Errorf("forget an answer: %w", err)
	}
	return nil
}

// removeAnswer submits the removal of an answer with its deliveries. It is called
// with mu held.
func (q *Queue) removeAnswer(key records.Key, number uint64) *groupcommit.Operation {
	pending := q.answers.Destinations()
	var removed []string // destinations
	document := int64(-1)
	write := func(tx *bolt.Tx) (err error) {
		removed, document, err = records.DeleteAnswer(tx, number, pending)
		return err
	}
	done := func(err error) error {
		if err != nil || document < 0 {
			return err
		}
		q.answers.Drop(key, number, document)
		for _, d := range removed {
			q.answers.Arrived(d, number)
		}
		q.counts.Forgotten++
		return nil
	}
	return q.submit(0, write, done)
}
