package queue

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
	"github.com/brainseg/brainseg/internal/device/groupcommit"
)

const (
	// forgetRecords bounds the answers that one transaction looks at.
	forgetRecords = 512
	// forgetEvery is how often answers that are too old are looked for; those for
	// whose room there is need are found at once.
	forgetEvery = time.Minute
)

// forgotten is an answer that goes.
type forgotten struct {
	number   uint64
	document uint32
	key      idKey
}

// forget removes answers that are too old, or for whose room there is need, the
// oldest first; none that must still be delivered. It reports whether there is
// more to do. The committer calls it.
func (q *Queue) forget() (more bool) {
	q.mu.Lock()
	number, size, from := len(q.answers.byID), q.answers.bytes, q.answers.from
	// In one go to a little below the bound, so that each answer does not cost a
	// transaction of its own.
	excess, excessBytes, retain := 0, int64(0), q.opts.Retain
	if number > q.opts.MaxAnswers || size > q.opts.MaxAnswerBytes {
		excess, excessBytes = number-q.opts.MaxAnswers*15/16, size-q.opts.MaxAnswerBytes/16*15
	}
	destinations := make([]string, 0, len(q.pending))
	for d := range q.pending {
		destinations = append(destinations, d)
	}
	q.mu.Unlock()
	now := q.clock.now()
	if excess <= 0 && excessBytes <= 0 {
		if number == 0 || now < q.forgetNext {
			return false
		}
		q.forgetNext = now + int64(min(forgetEvery, retain/16))
	}
	if q.commits.Faulty() {
		return false
	}
	var list []forgotten
	err := q.file.View(func(tx *bolt.Tx) error {
		deliveries := tx.Bucket(bucketDeliveries)
		c := tx.Bucket(bucketAnswers).Cursor()
		seen := 0
		for key, sealed := c.Seek(boltfile.RecordKey(from, 0)); key != nil; key, sealed = c.Seek(boltfile.RecordKey(from, 0)) {
			payload, err := boltfile.Unseal(key, sealed)
			if err != nil {
				return err
			}
			var h answerHead
			if _, err := h.decode(payload); err != nil {
				return err
			}
			old := now-h.finished >= int64(retain)
			if !old && excess <= 0 && excessBytes <= 0 {
				return nil
			}
			if seen++; seen > forgetRecords {
				more = true
				return nil
			}
			number := binary.BigEndian.Uint64(key)
			from = number + 1
			if !slices.ContainsFunc(destinations, func(d string) bool { return deliveries.Get(deliveryKey(d, number)) != nil }) {
				excess--
				excessBytes -= int64(h.document)
				list = append(list, forgotten{number, h.document, keyOf(h.id)})
			}
		}
		return nil
	})
	if err != nil {
		_ = q.distrust(err)
		return false
	}
	return q.remove(list, from) && more
}

// remove removes answers and notes that there are none below from that could be.
func (q *Queue) remove(list []forgotten, from uint64) bool {
	if len(list) > 0 {
		err := q.commits.Update(func(tx *bolt.Tx) error {
			for _, f := range list {
				if err := boltfile.DeleteRecord(tx.Bucket(bucketAnswers), f.number, f.document); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return false
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answers.from = from
	for _, f := range list {
		q.answers.bytes -= int64(f.document)
		if q.answers.byID[f.key] == f.number {
			delete(q.answers.byID, f.key)
		}
	}
	q.counts.Forgotten += uint64(len(list))
	return true
}

// Forget removes the answer of a request, delivered or not, and makes its id free.
// A request that has no answer is ErrUnanswered, one that is not known ErrUnknown.
func (q *Queue) Forget(ctx context.Context, id string) error {
	key := keyOf(id)
	q.mu.Lock()
	number, answered := q.answers.byID[key]
	var err error
	switch {
	case q.closed:
		err = ErrClosed
	case q.active[key] != nil:
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
func (q *Queue) removeAnswer(key idKey, number uint64) *groupcommit.Operation {
	pending := slices.Collect(maps.Keys(q.pending))
	var removed []string // destinations
	document := int64(-1)
	write := func(tx *bolt.Tx) error {
		removed, document = nil, -1
		answers, deliveries := tx.Bucket(bucketAnswers), tx.Bucket(bucketDeliveries)
		payload, err := boltfile.Head(answers, number)
		if payload == nil {
			return err // nil where it was forgotten meanwhile
		}
		var h answerHead
		if _, err := h.decode(payload); err != nil {
			return err
		}
		document = int64(h.document)
		for _, d := range pending {
			if k := deliveryKey(d, number); deliveries.Get(k) != nil {
				removed = append(removed, d)
				if err := deliveries.Delete(k); err != nil {
					return err
				}
			}
		}
		return boltfile.DeleteRecord(answers, number, h.document)
	}
	done := func(err error) error {
		if err != nil || document < 0 {
			return err
		}
		q.answers.bytes -= document
		if q.answers.byID[key] == number {
			delete(q.answers.byID, key)
		}
		for _, d := range removed {
			q.arrived(d, number)
		}
		q.counts.Forgotten++
		return nil
	}
	return q.submit(0, write, done)
}
