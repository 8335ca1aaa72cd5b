package queue

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Limits on names, in bytes.
const (
	maxID          = 256
	maxWay         = 32
	maxClient      = 128
	maxDestination = 32
)

// Request is what Accept stores.
type Request struct {
	// ID names the request: 1 to 256 bytes. The same id with the same document and
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
	// Duplicate is set where the request was known already.
	Duplicate bool
	// Answer is that of a duplicate which has one, as Finish got it; else nil.
	Answer []byte
}

// Accept stores a request, unless it is known already. When it returns nil the
// request is on the disk. ErrBusy, ErrTooLarge, ErrConflict and ErrInvalid come
// at once. After ErrStorage or the end of ctx the request may have been stored
// or not; the same request again tells. Document and Image must not be changed
// after the call, not even after ctx has ended.
func (q *Queue) Accept(ctx context.Context, r Request) (Receipt, error) {
	receipt, err := q.accept(ctx, r)
	if err != nil {
		return Receipt{}, fmt.Errorf("accept a request: %w", err)
	}
	return receipt, nil
}

func (q *Queue) accept(ctx context.Context, r Request) (Receipt, error) {
	if err := r.check(q.opts.MaxBytes); err != nil {
		return Receipt{}, err
	}
	e := &entry{
		key: keyOf(r.ID), id: r.ID, way: r.Way, client: r.Client, digest: r.digest(),
		document: uint32(len(r.Document)), image: uint32(len(r.Image)), accepted: time.Now(), state: storing,
	}
	for {
		q.mu.Lock()
		if q.stopped {
			q.mu.Unlock()
			return Receipt{}, ErrClosed
		}
		if known := q.active[e.key]; known != nil {
			receipt, changed := Receipt{Number: known.number, Duplicate: true}, q.changed
			conflict, stored := known.digest != e.digest, known.state != storing
			q.mu.Unlock()
			switch {
			case conflict:
				return Receipt{}, ErrConflict
			case stored:
				return receipt, nil
			}
			select { // until the first one is stored, or has failed
			case <-changed:
			case <-ctx.Done():
				return Receipt{}, fmt.Errorf("wait for the queue's disk: %w", context.Cause(ctx))
			}
			continue
		}
		if number, ok := q.answers.byID[e.key]; ok {
			q.mu.Unlock()
			receipt, found, err := q.answered(number, e.digest)
			if err != nil || found {
				return receipt, err
			}
			continue // it has just been forgotten
		}
		if q.full(e) {
			q.counts.Busy++
			q.mu.Unlock()
			return Receipt{}, ErrBusy
		}
		o := q.storeRequest(e, r)
		q.mu.Unlock()
		if err := o.wait(ctx); err != nil {
			return Receipt{}, err
		}
		q.mu.Lock()
		void := e.void
		q.mu.Unlock()
		if !void {
			return Receipt{Number: e.number}, nil
		}
		e.void = false // the file has it already: look again
	}
}

// storeRequest gives a request its number and place and submits it. It is called with
// mu held.
func (q *Queue) storeRequest(e *entry, r Request) *operation {
	q.last.request++
	e.number = q.last.request
	q.active[e.key] = e
	q.reserve(e, 1)
	head := requestHead{
		accepted: e.accepted.UnixNano(), document: e.document, image: e.image, digest: e.digest,
		id: e.id, way: e.way, client: e.client,
	}
	o := &operation{bytes: int(e.size())}
	o.write = func(tx *bolt.Tx) error {
		if e.void {
			return nil
		}
		b := tx.Bucket(bucketRequests)
		if err := b.SetSequence(e.number); err != nil {
			return err
		}
		return putRecord(b, e.number, head.encode(), r.Document, r.Image)
	}
	o.done = func(err error) error {
		switch {
		case e.void:
			return nil
		case err != nil:
			delete(q.active, e.key)
			q.reserve(e, -1)
			return err
		}
		e.state = queued
		q.lines.push(e, false)
		q.counts.Accepted++
		return nil
	}
	q.submit(o)
	return o
}

// full tells whether there is no place for e. It is called with mu held.
func (q *Queue) full(e *entry) bool {
	if w := q.ways[e.way]; w != nil && (w.waiting >= q.opts.MaxRequests || w.bytes+e.size() > q.opts.MaxBytes) {
		return true
	}
	// Old answers make room for new ones by themselves, unless they must still be
	// delivered.
	pending := 0
	for _, n := range q.pending {
		pending = max(pending, n)
	}
	most := q.opts.MaxAnswerBytes / 16 * 17 // beyond which they go where they can go
	return pending+len(q.active) >= q.opts.MaxAnswers || pending > 0 && q.answers.bytes > most
}

// answered is the receipt for a request with an answer. found is false where that
// is forgotten.
func (q *Queue) answered(number uint64, digest [32]byte) (receipt Receipt, found bool, err error) {
	var h answerHead
	document, err := q.readAnswer(number, &h)
	switch {
	case err != nil:
		return Receipt{}, false, err
	case document == nil:
		return Receipt{}, false, nil
	case h.digest != digest:
		return Receipt{}, false, ErrConflict
	}
	return Receipt{Number: h.request, Duplicate: true, Answer: document}, true, nil
}

// readAnswer reads an answer, nil if it is forgotten.
func (q *Queue) readAnswer(number uint64, h *answerHead) (document []byte, err error) {
	err = q.file.View(func(tx *bolt.Tx) error {
		document, err = getAnswer(tx.Bucket(bucketAnswers), number, h)
		return err
	})
	if err != nil {
		return nil, q.distrust(err)
	}
	return document, nil
}

// getAnswer returns a copy of an answer, nil if there is none.
func getAnswer(b *bolt.Bucket, number uint64, h *answerHead) ([]byte, error) {
	payload, err := getHead(b, number)
	if payload == nil {
		return nil, err
	}
	rest, err := h.decode(payload)
	if err != nil {
		return nil, err
	}
	contents, err := getContents(b, number, rest, h.document)
	if err != nil {
		return nil, err
	}
	return append([]byte{}, contents[0]...), nil
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
