package queue

import (
	"context"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/queue/boltfile"
)

// operation is a change that waits to be stored.
type operation struct {
	bytes int
	// write makes the change; it may run more than once.
	write func(*bolt.Tx) error
	// done is called with mu held, once, when the change is stored or has failed,
	// and says what its submitter is told.
	done   func(error) error
	result chan error
}

const (
	batchOperations = 256
	batchBytes      = 8 << 20
	// lookAgain is the time between two looks at what is too old, and the shortest
	// between two tries to open a file that could not be used.
	lookAgain = time.Second
)

// submit hands an operation to the committer. It is called with mu held.
func (q *Queue) submit(o *operation) {
	o.result = make(chan error, 1)
	q.waiting = append(q.waiting, o)
	q.nudge()
}

func (q *Queue) nudge() {
	select {
	case q.trigger <- struct{}{}:
	default:
	}
}

func (o *operation) wait(ctx context.Context) error {
	select {
	case err := <-o.result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the queue's disk: %w", context.Cause(ctx))
	}
}

// take takes what waits, as much as one transaction should have.
func (q *Queue) take() []*operation {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.waiting) && n < batchOperations && (n == 0 || size+q.waiting[n].bytes <= batchBytes) {
		size += q.waiting[n].bytes
		n++
	}
	batch := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// commitAll stores what is submitted until the queue is closed. What comes while
// a transaction is under way waits together for the next one.
func (q *Queue) commitAll() {
	defer close(q.ended)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	closing := q.closing
	last := false
	for !last {
		select {
		case <-q.trigger:
		case <-tick.C:
		case <-closing:
			last = true // whoever submitted has seen that it is not closed
		}
		q.reopen()
		for batch := q.take(); len(batch) > 0; batch = q.take() {
			q.commit(batch)
			q.forget() // also where there is always a next batch
		}
		for q.forget() {
		}
	}
}

// commit stores a batch in one transaction. Where that fails each operation is
// tried alone, for the disk may have room for one and not for another.
func (q *Queue) commit(batch []*operation) {
	fate, err := q.file.Update(func(tx *bolt.Tx) error {
		for _, o := range batch {
			if err := o.write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if fate == boltfile.Refused && len(batch) > 1 {
		for _, o := range batch {
			q.commit([]*operation{o})
		}
		return
	}
	err = storageError(err)
	q.mu.Lock()
	q.counts.Transactions++
	if fate == boltfile.Unknown {
		q.faulty = true
	}
	results := make([]error, len(batch))
	for i, o := range batch {
		results[i] = o.done(err)
	}
	q.wake()
	q.mu.Unlock()
	for i, o := range batch {
		o.result <- results[i]
	}
	q.reopen()
}

// reopen opens the file again where that is needed, and goes on with what it
// holds. Until that succeeds nothing is stored.
func (q *Queue) reopen() {
	q.mu.Lock()
	faulty := q.faulty
	q.mu.Unlock()
	if !faulty || time.Now().Before(q.retry) {
		return
	}
	found, err := q.openFile(true)
	if err != nil {
		q.retry = time.Now().Add(lookAgain)
		return
	}
	q.mu.Lock()
	q.faulty = false
	q.adopt(found)
	q.mu.Unlock()
}

// distrust notes that reading the file failed, and has it looked at.
func (q *Queue) distrust(err error) error {
	q.mu.Lock()
	q.faulty = true
	q.mu.Unlock()
	q.nudge()
	return storageError(err)
}
