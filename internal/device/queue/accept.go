package queue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/groupcommit"
	"github.com/brainseg/brainseg/internal/device/queue/backlog"
	"github.com/brainseg/brainseg/internal/device/queue/records"
)

// Limits on names, in bytes.
const (
	maxID          = 512 // 128 characters of four bytes
	maxWay         = 32
	maxClient      = 128
	maxDestination = 32
)

// Request is what Accept stores.
type Request struct {
	// ID names the request: 1 to 512 bytes. The same id with the same document and
	// image is the same request.
	ID string
	// Way is the way in: "ipc", "http", "scan" or another short word. Each has
	// bounds of its own, and they take turns.
	Way string
	// Client tells those apart who come the same way; they take turns too. Empty
	// where they cannot be told apart. At most 128 bytes.
	Client string
	// Document is the request as the caller wants it back from Next.
	Document []byte
	// Image is an image that came with the request, nil if it is elsewhere.
	Image []byte
}

// Receipt says what became of a request that was accepted.
type Receipt struct {
	// Number counts the requests that this queue has ever accepted.
	Number uint64
	// Duplicate is set where the request was known already, and Way is that by
	// which it came first, as long as it has no answer.
	Duplicate bool
	Way       string
	// Answer is that of a duplicate which has one, as Finish got it; else nil.
	Answer []byte
}

// Accept stores a request, unless it is known already. When it returns nil the
// request is on the disk. ErrBusy, ErrTooLarge, ErrConflict and ErrInvalid come
// at once. After ErrStorage or the end of ctx the request may have been stored
// or not; the same request again tells. Document and Image must not be changed
// after the call, not even after ctx has ended.
func (q *Queue) Accept(ctx context.Context, r Request) (Receipt, error) { return q.Begin(r)(ctx) }

// Begin is Accept in two steps, for who has many requests in one order: it gives
// the request its place, behind all that began before it, and does not wait for
// the disk. The function that it returns does, and must be called, once.
func (q *Queue) Begin(r Request) (accept func(context.Context) (Receipt, error)) {
	e := &backlog.Request{Key: records.KeyOf(r.ID), State: backlog.Storing, Request: records.Request{
		ID: r.ID, Way: r.Way, Client: r.Client, Digest: r.digest(),
		Document: uint32(len(r.Document)), Image: uint32(len(r.Image)), Accepted: q.opts.now(),
	}}
	look := q.place(e, r)
	return func(ctx context.Context) (Receipt, error) {
		for {
			receipt, decided, err := look(ctx)
			switch {
			case err != nil:
				return Receipt{}, fmt.Errorf("accept a request: %w", err)
			case decided:
				return receipt, nil
			}
			look = q.place(e, r)
		}
	}
}

// place finds out what is to become of a request, and submits one that is new.
// The function that it returns waits for that, and says whether it is decided or
// must be found out again.
func (q *Queue) place(e *backlog.Request, r Request) func(context.Context) (receipt Receipt, decided bool, err error) {
	at := func(receipt Receipt, err error) func(context.Context) (Receipt, bool, error) {
		return func(context.Context) (Receipt, bool, error) { return receipt, true, err }
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := r.check(q.opts.MaxBytes); err != nil {
		return at(Receipt{}, err)
	}
	known := q.backlog.Get(e.Key)
	number, answered := q.answers.Number(e.Key)
	switch {
	case q.stopped:
		return at(Receipt{}, ErrClosed)
	case known != nil && known.Digest != e.Digest:
		return at(Receipt{}, ErrConflict)
	case known != nil && known.State != backlog.Storing:
		return at(Receipt{Number: known.Number, Duplicate: true, Way: known.Way}, nil)
	case known != nil: // until it is stored, or has failed
		changed := q.changed
		return func(ctx context.Context) (Receipt, bool, error) {
			select {
			case <-changed:
				return Receipt{}, false, nil
			case <-ctx.Done():
				return Receipt{}, false, fmt.Errorf("wait for the disk: %w", context.Cause(ctx))
			}
		}
	case answered: // unless that is forgotten meanwhile
		return func(context.Context) (Receipt, bool, error) { return q.answered(number, e.Digest) }
	case q.full(e):
		q.counts.Busy++
		return at(Receipt{}, ErrBusy)
	}
	o := q.storeRequest(e, r)
	return func(ctx context.Context) (Receipt, bool, error) {
		if err := o.Wait(ctx); err != nil {
			return Receipt{}, false, err
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if e.Void { // the file has it already
			e.Void = false
			return Receipt{}, false, nil
		}
		return Receipt{Number: e.Number}, true, nil
	}
}

// storeRequest gives a request its number and place and submits it. It is called with
// mu held.
func (q *Queue) storeRequest(e *backlog.Request, r Request) *groupcommit.Operation {
	q.last++
	e.Number = q.last
	q.backlog.Add(e)
	write := func(tx *bolt.Tx) error {
		if e.Void {
			return nil
		}
		return records.PutRequest(tx, &e.Request, r.Document, r.Image)
	}
	done := func(err error) error {
		switch {
		case e.Void:
			return nil
		case err != nil:
			q.backlog.Remove(e)
			return err
		}
		q.backlog.Stored(e)
		q.counts.Accepted++
		return nil
	}
	return q.submit(len(r.Document)+len(r.Image), write, done)
}

// full tells whether there is no place for e. It is called with mu held.
func (q *Queue) full(e *backlog.Request) bool {
	return !q.backlog.Fits(e, q.opts.MaxRequests, q.opts.MaxBytes) || q.answers.Full(q.backlog.Len(), q.opts.MaxAnswers, q.opts.MaxAnswerBytes)
}

// answered is the receipt for a request with an answer. found is false where that
// is forgotten.
func (q *Queue) answered(number uint64, digest [32]byte) (receipt Receipt, found bool, err error) {
	a, document, err := q.readAnswer(number)
	switch {
	case err != nil:
		return Receipt{}, false, err
	case document == nil:
		return Receipt{}, false, nil
	case a.Digest != digest:
		return Receipt{}, false, ErrConflict
	}
	return Receipt{Number: a.Request, Duplicate: true, Answer: document}, true, nil
}

// readAnswer reads an answer, nil if it is forgotten.
func (q *Queue) readAnswer(number uint64) (a records.Answer, document []byte, err error) {
	err = q.file.View(func(tx *bolt.Tx) error {
		a, document, err = records.GetAnswer(tx, number)
		return err
	})
	if err != nil {
		return records.Answer{}, nil, q.distrust(err)
	}
	return a, document, nil
}

func (r *Request) check(maxBytes int64) error {
	for _, n := range []struct {
		what, name string
		limit      int
		empty      bool
	}{{"id", r.ID, maxID, false}, {"way in", r.Way, maxWay, false}, {"client", r.Client, maxClient, true}} {
		if err := checkName(n.what, n.name, n.limit, n.empty); err != nil {
			return err
		}
	}
	if size := int64(len(r.Document)) + int64(len(r.Image)); size > maxBytes || size > math.MaxInt32 {
		return ErrTooLarge
	}
	return nil
}

// digest tells one request from another of the same id.
func (r *Request) digest() (d [32]byte) {
	h := sha256.New()
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(r.Document)))
	h.Write(length[:])
	h.Write(r.Document)
	h.Write(r.Image)
	h.Sum(d[:0])
	return d
}
