package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/groupcommit"
	"github.com/brainseg/brainseg/internal/device/queue/backlog"
	"github.com/brainseg/brainseg/internal/device/queue/records"
)

// Work is a request that is handed out.
type Work struct {
	// Number, ID, Way, Client, Document and Image are those of Accept.
	Number          uint64
	ID, Way, Client string
	Document, Image []byte
	// Accepted is when that was; never later than now, though the clock may have been set
	// back since.
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
		var e *backlog.Request
		if !q.commits.Faulty() {
			e = q.backlog.Next()
		}
		changed := q.changed
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

func (q *Queue) read(e *backlog.Request) (*Work, error) {
	w := &Work{
		Number: e.Number, ID: e.ID, Way: e.Way, Client: e.Client, Accepted: e.Accepted,
		Crashes: int(e.Crashes), Poisoned: int(e.Crashes) >= q.opts.MaxCrashes,
	}
	err := q.file.View(func(tx *bolt.Tx) (err error) {
		w.Document, w.Image, err = records.Content(tx, e.Number)
		return err
	})
	return w, err
}

// Waiting returns the requests that wait, in the order in which they came, without
// their images.
func (q *Queue) Waiting() ([]*Work, error) {
	q.mu.Lock()
	entries := q.backlog.Waiting()
	q.mu.Unlock()
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
	e := q.backlog.Get(records.KeyOf(id))
	ok := e != nil && q.backlog.Start(e)
	q.mu.Unlock()
	if !ok {
		return fmt.Errorf("start a request: %w", ErrUnknown)
	}
	q.mark()
	return nil
}

// Return puts a request that was handed out back, to be the next of its client, as
// if it had not been. It is for a worker that is stopped.
func (q *Queue) Return(id string) error {
	q.mu.Lock()
	e := q.backlog.Get(records.KeyOf(id))
	q.mu.Unlock()
	if e == nil || !q.putBack(e) {
		return fmt.Errorf("return a request: %w", ErrUnknown)
	}
	return nil
}

func (q *Queue) putBack(e *backlog.Request) bool {
	q.mu.Lock()
	ok := q.backlog.PutBack(e)
	if ok {
		q.wake()
	}
	q.mu.Unlock()
	q.mark()
	return ok
}

// mark writes down what is in work.
func (q *Queue) mark() {
	q.marks.Write(func() []uint64 {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.backlog.Working()
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
	key := records.KeyOf(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.backlog.Get(key)
	_, answered := q.answers.Number(key)
	switch {
	case q.closed:
		return nil, ErrClosed
	case answered, e != nil && e.State == backlog.Answering:
		return nil, ErrAnswered
	case e == nil, e.State == backlog.Storing, waiting && e.State != backlog.Waiting:
		return nil, ErrUnknown
	}
	return q.storeAnswer(e, answer, destinations), nil
}

// storeAnswer submits an answer. It is called with mu held.
func (q *Queue) storeAnswer(e *backlog.Request, document []byte, destinations []string) *groupcommit.Operation {
	undo := q.backlog.Answer(e)
	number, finished := q.answers.Give()
	epoch := q.answers.Epoch()
	behind, untold := q.answers.Behind()
	a := records.Answer{Number: number, Finished: finished, Request: e.Number, Document: uint32(len(document)), Digest: e.Digest, ID: e.ID}
	write := func(tx *bolt.Tx) error {
		if e.Void {
			return nil
		}
		if untold {
			if err := records.PutBehind(tx, behind); err != nil {
				return err
			}
		}
		return records.PutAnswer(tx, &e.Request, &a, document, epoch, destinations)
	}
	done := func(err error) error {
		switch {
		case e.Void:
			return ErrAnswered
		case err != nil:
			undo()
			return err
		}
		q.backlog.Remove(e)
		if untold {
			q.answers.ToldBehind(behind)
		}
		q.answers.Add(e.Key, number, int64(len(document)), destinations)
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
	key := records.KeyOf(id)
	q.mu.Lock()
	e := q.backlog.Get(key)
	number, answered := q.answers.Number(key)
	s := Unknown
	if e != nil {
		switch e.State {
		case backlog.Waiting:
			s = Waiting
		case backlog.HandedOut, backlog.InWork, backlog.Answering:
			s = Working
		}
	}
	q.mu.Unlock()
	if !answered {
		return s, nil, nil
	}
	_, document, err := q.readAnswer(number)
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
	key := records.KeyOf(id)
	q.mu.Lock()
	defer q.mu.Unlock()
	_, answered := q.answers.Number(key)
	return answered || q.backlog.Get(key) != nil
}
