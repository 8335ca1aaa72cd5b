package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/queue/records"
)

// Delivery is an answer on its way to a destination.
type Delivery struct {
	// Number is the answer's, in the order of Finish.
	Number uint64
	// Request is the request's number, and ID its id.
	Request uint64
	ID      string
	// Answer is what Finish got, byte for byte.
	Answer []byte
	// Attempt grows with every time that the answer is handed out. 1 is certainly
	// the first time; above it the answer may have arrived before.
	Attempt int
	// Age is how long ago it was given to Finish, whatever the clock was set to since.
	Age time.Duration
}

// deliveryBytes bounds the answers that Deliveries hands out at once, the first
// aside.
const deliveryBytes = 1 << 20

// Deliveries waits for answers that have not been delivered to a destination, and
// returns the oldest of them, in the order of Finish, at most limit. They are
// handed out again, with the next attempt, until Delivered; so one goroutine for
// each destination should send what it gets in turn and note what arrived.
func (q *Queue) Deliveries(ctx context.Context, destination string, limit int) ([]Delivery, error) {
	for {
		q.mu.Lock()
		closed, ready, changed := q.closed, q.answers.Pending(destination) > 0 && !q.commits.Faulty(), q.changed
		q.mu.Unlock()
		switch {
		case closed:
			return nil, fmt.Errorf("take deliveries: %w", ErrClosed)
		case ready:
			list, err := q.readDeliveries(destination, limit)
			if err != nil {
				_ = q.distrust(err) // the file is looked at, and what it still has comes then
				continue
			}
			if len(list) > 0 {
				return list, q.countAttempts(ctx, destination, list)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("take deliveries: %w", context.Cause(ctx))
		}
	}
}

// readDeliveries leaves in Attempt that of a first time in this process.
func (q *Queue) readDeliveries(destination string, limit int) (list []Delivery, err error) {
	q.mu.Lock()
	epoch, synced, now := q.answers.Epoch(), q.answers.Synced(), q.answers.Now()
	q.mu.Unlock()
	err = q.file.View(func(tx *bolt.Tx) error {
		size := 0
		for d, err := range records.Deliveries(tx, destination, synced, epoch) {
			if err != nil {
				return err
			}
			size += len(d.Content)
			list = append(list, Delivery{Number: d.Number, Request: d.Answer.Request, ID: d.ID, Answer: d.Content, Attempt: d.Attempt, Age: time.Duration(max(0, now-d.Answer.Finished))})
			if len(list) >= limit || size >= deliveryBytes {
				return nil
			}
		}
		return nil
	})
	return list, err
}

// countAttempts sets the attempts. Only one that is not the first of this process
// must be stored before it is made: a start of the process counts as one.
func (q *Queue) countAttempts(ctx context.Context, destination string, list []Delivery) error {
	q.mu.Lock()
	again := map[uint64]uint32{}
	for i := range list {
		d := &list[i]
		if before := q.answers.HandOut(destination, d.Number, d.Attempt); before > 0 {
			d.Attempt = int(before) + 1
			again[d.Number] = before
		}
	}
	if len(again) == 0 || q.closed {
		q.mu.Unlock()
		return nil
	}
	epoch := q.answers.Epoch()
	write := func(tx *bolt.Tx) error { return records.PutTries(tx, destination, again, epoch) }
	o := q.submit(0, write, func(err error) error { return err })
	q.mu.Unlock()
	if err := o.Wait(ctx); err != nil && !errors.Is(err, ErrStorage) { // which must not keep an answer back
		return fmt.Errorf("take deliveries: %w", err)
	}
	return nil
}

// Delivered notes that answers have arrived at a destination, or that they are
// given up. Numbers that are not on their way there mean nothing.
func (q *Queue) Delivered(ctx context.Context, destination string, numbers ...uint64) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return fmt.Errorf("note a delivery: %w", ErrClosed)
	}
	var removed []uint64
	write := func(tx *bolt.Tx) (err error) {
		removed, err = records.DeleteDeliveries(tx, destination, numbers)
		return err
	}
	done := func(err error) error {
		if err != nil {
			return err
		}
		for _, number := range removed {
			q.answers.Arrived(destination, number)
		}
		q.counts.Delivered += uint64(len(removed))
		for _, number := range numbers { // also of those that were not on their way any more
			q.answers.NotHanded(destination, number)
		}
		return nil
	}
	o := q.submit(0, write, done)
	q.mu.Unlock()
	if err := o.Wait(ctx); err != nil {
		return fmt.Errorf("note a delivery: %w", err)
	}
	return nil
}
