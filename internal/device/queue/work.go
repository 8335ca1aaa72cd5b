package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
	"github.com/brainseg/brainseg/internal/device/groupcommit"
)

// Work is a request that is handed out.
type Work struct {
	// Number, ID, Way, Client, Document and Image are those of Accept.
	Number          uint64
	ID, Way, Client string
	Document, Image []byte
	// Accepted is when that was, by a clock that may have been set since.
	Accepted time.Time
	// Crashes is how often the process died with the request in work.
	Crashes int
	// Poisoned is set where that was Options.MaxCrashes times: answer it without
	// trying again.
	Poisoned bool
}

// Next waits for a request and hands it out, to one caller only, until Finish or
// Return; where the process ends before, it is handed out again. Whoever begins to
// work on it calls Started.
func (q *Queue) Next(ctx context.Context) (*Work, error) {
	for {
		q.mu.Lock()
		if q.stopped {
			q.mu.Unlock()
			return nil, fmt.Errorf("take a request: %w", ErrClosed)
		}
		var e *entry
		if !q.commits.Faulty() {
			e = q.turn()
		}
		changed := q.changed
		if e != nil {
			e.state = handedOut
		}
		q.mu.Unlock()
		if e == nil {
			select {
			case <-changed:
				continue
			case <-ctx.Done():
				return nil, fmt.Errorf("take a request: %w", context.Cause(ctx))
			}
		}
		w, err := q.read(e)
		if err == nil {
			return w, nil
		}
		// The file is looked at now; what it still has comes again.
		q.putBack(e)
		_ = q.distrust(err)
	}
}

func (q *Queue) read(e *entry) (*Work, error) {
	w := &Work{
		Number: e.number, ID: e.id, Way: e.way, Client: e.client, Accepted: e.accepted,
		Crashes: e.crashes, Poisoned: e.crashes >= q.opts.MaxCrashes,
	}
	err := q.file.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketRequests)
		payload, err := boltfile.Head(b, e.number)
		if err != nil {
			return err
		}
		var h requestHead
		rest, err := h.decode(payload)
		if err != nil {
			return err
		}
		contents, err := boltfile.Contents(b, e.number, rest, h.document, h.image)
		if err != nil {
			return err
		}
		w.Document, w.Image = contents[0], contents[1]
		return nil
	})
	return w, err
}

// Waiting returns the requests that wait, in the order in which they came, without
// their images.
func (q *Queue) Waiting() ([]*Work, error) {
	var entries []*entry
	q.mu.Lock()
	for _, e := range q.active {
		if e.state == queued {
			entries = append(entries, e)
		}
	}
	q.mu.Unlock()
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.number, b.number) })
	list := make([]*Work, len(entries))
	for i, e := range entries {
		w, err := q.read(e)
		if err != nil {
			return nil, q.distrust(err)
		}
		w.Image = nil
		list[i] = w
	}
	return list, nil
}

// Started notes that a worker begins with a request: it makes room for another one
// that waits, and if the process dies now, the request may be the cause.
func (q *Queue) Started(id string) error {
	q.mu.Lock()
	e := q.active[keyOf(id)]
	if e == nil || e.state != handedOut {
		q.mu.Unlock()
		return fmt.Errorf("start a request: %w", ErrUnknown)
	}
	q.reserve(e, -1)
	e.state, e.started = inWork, true
	q.reserve(e, 1)
	q.working[e.number] = struct{}{}
	q.mu.Unlock()
	q.mark()
	return nil
}

// Return puts a request that was handed out back, to be the next of its client, as
// if it had not been. It is for a worker that is stopped.
func (q *Queue) Return(id string) error {
	q.mu.Lock()
	e := q.active[keyOf(id)]
	q.mu.Unlock()
	if e == nil || !q.putBack(e) {
		return fmt.Errorf("return a request: %w", ErrUnknown)
	}
	return nil
}

func (q *Queue) putBack(e *entry) bool {
	q.mu.Lock()
	ok := (e.state == handedOut || e.state == inWork) && !e.void
	if ok {
		q.reserve(e, -1)
		e.state, e.started = queued, false
		q.reserve(e, 1)
		q.letGo(e)
		q.line(e, true)
		q.wake()
	}
	q.mu.Unlock()
	q.mark()
	return ok
}

// letGo notes that nobody works on a request any more. It is called with mu held.
func (q *Queue) letGo(e *entry) {
	delete(q.working, e.number)
	if q.suspect == e {
		q.suspect = nil
	}
}

// mark writes down what is in work.
func (q *Queue) mark() {
	q.marks.write(func() []uint64 {
		q.mu.Lock()
		defer q.mu.Unlock()
		return slices.Collect(maps.Keys(q.working))
	})
}

// Finish replaces a request, handed out or still waiting, by its answer, and notes
// the destinations to which that must be delivered, each a short word; none where
// somebody waits for the answer and will ask. When it returns nil all that is on
// the disk. After ErrStorage it should be called again; the request stays
// handed out until it succeeds. After the end of ctx the answer may be stored: ErrAnswered
// from a later call tells. It takes as long as the disk does; a worker that has
// other work to do calls it on a goroutine.
func (q *Queue) Finish(ctx context.Context, id string, answer []byte, destinations ...string) error {
	return q.BeginFinish(id, answer, destinations...)(ctx)
}

// Withdraw is Finish for a request that waits. One that is handed out is ErrUnknown:
// somebody may be at work on it.
func (q *Queue) Withdraw(ctx context.Context, id string, answer []byte, destinations ...string) error {
	o, err := q.beginFinish(id, answer, destinations, true)
	if err == nil {
		err = o.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("withdraw a request: %w", err)
	}
	return nil
}

// BeginFinish is Finish in two steps, for who has many answers in one order: it
// gives the answer its place, behind all that began before it, and does not wait
// for the disk. The function that it returns does.
func (q *Queue) BeginFinish(id string, answer []byte, destinations ...string) (finish func(context.Context) error) {
	o, err := q.beginFinish(id, answer, destinations, false)
	return func(ctx context.Context) error {
		if err == nil {
			err = o.Wait(ctx)
			if err == nil || errors.Is(err, ErrAnswered) {
				q.mark()
			}
		}
		if err != nil {
			return fmt.Errorf("finish a request: %w", err)
		}
		return nil
	}
}

func (q *Queue) beginFinish(id string, answer []byte, destinations []string, waiting bool) (*groupcommit.Operation, error) {
	for _, d := range destinations {
		if err := checkName("destination", d, maxDestination, false); err != nil {
			return nil, err
		}
	}
	destinations = slices.Compact(slices.Sorted(slices.Values(destinations)))
	key := keyOf(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.active[key]
	_, answered := q.answers.byID[key]
	switch {
	case q.closed:
		return nil, ErrClosed
	case answered, e != nil && e.state == finishing:
		return nil, ErrAnswered
	case e == nil, e.state == storing, waiting && e.state != queued:
		return nil, ErrUnknown
	case e.state == queued:
		q.leave(e)
	}
	return q.storeAnswer(e, answer, destinations), nil
}

// storeAnswer submits an answer. It is called with mu held.
func (q *Queue) storeAnswer(e *entry, document []byte, destinations []string) *groupcommit.Operation {
	before := e.state
	e.state = finishing
	q.last.answer++
	number, epoch := q.last.answer, q.epoch
	head := answerHead{finished: q.clock.now(), request: e.number, document: uint32(len(document)), digest: e.digest, id: e.id}
	write := func(tx *bolt.Tx) error {
		if e.void {
			return nil
		}
		if err := boltfile.DeleteRecord(tx.Bucket(bucketRequests), e.number, e.document, e.image); err != nil {
			return err
		}
		answers, deliveries := tx.Bucket(bucketAnswers), tx.Bucket(bucketDeliveries)
		if err := answers.SetSequence(number); err != nil {
			return err
		}
		if err := boltfile.PutRecord(answers, number, head.encode(), document); err != nil {
			return err
		}
		for _, d := range destinations {
			key := deliveryKey(d, number)
			if err := deliveries.Put(key, boltfile.Seal(key, delivery{epoch: epoch}.encode())); err != nil {
				return err
			}
		}
		return nil
	}
	done := func(err error) error {
		switch {
		case e.void:
			return ErrAnswered
		case err != nil && before == queued:
			e.state = queued
			q.line(e, true)
			return err
		case err != nil:
			e.state = before
			return err
		}
		delete(q.active, e.key)
		q.letGo(e)
		q.reserve(e, -1)
		q.answers.byID[e.key] = number
		q.synced = number
		q.answers.bytes += int64(len(document))
		for _, d := range destinations {
			q.pending[d]++
		}
		q.counts.Answered++
		return nil
	}
	return q.submit(len(document), write, done)
}

// State is where a request is.
type State int

// The states of a request.
const (
	Unknown  State = iota // never accepted, or forgotten
	Waiting               // accepted
	Working               // handed out by Next
	Answered              // has an answer
)

// Lookup tells where a request is, and its answer if it has one.
func (q *Queue) Lookup(id string) (State, []byte, error) {
	key := keyOf(id)
	q.mu.Lock()
	e := q.active[key]
	number, answered := q.answers.byID[key]
	s := Unknown
	if e != nil {
		switch e.state {
		case queued:
			s = Waiting
		case handedOut, inWork, finishing:
			s = Working
		}
	}
	q.mu.Unlock()
	if !answered {
		return s, nil, nil
	}
	var h answerHead
	document, err := q.readAnswer(number, &h)
	switch {
	case err != nil:
		return Unknown, nil, fmt.Errorf("look up a request: %w", err)
	case document == nil:
		return Unknown, nil, nil
	}
	return Answered, document, nil
}

// Knows reports whether a request of this id waits, is in work or has an answer.
// It does not ask the disk.
func (q *Queue) Knows(id string) bool {
	key := keyOf(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	_, answered := q.answers.byID[key]
	return answered || q.active[key] != nil
}
