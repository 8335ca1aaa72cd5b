// Package backlog has, in memory, the requests without an answer: where each of them
// is, whose turn it is, how many places each way in takes, and which may be why the
// process died.
//
// It asks no disk and is not safe for concurrent use. Package queue calls it, with its
// lock held, and confirms nothing that the disk has not.
package backlog

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/brainseg/brainseg/internal/device/queue/records"
	"github.com/brainseg/brainseg/internal/device/turns"
)

// State is where a request is.
type State uint8

// The states of a request.
const (
	Storing   State = iota // waits for the disk
	Waiting                // in its line
	HandedOut              // by Next
	InWork                 // and started
	Answering              // its answer waits for the disk
)

// Request is a request without an answer. Its state is changed by the methods of
// Backlog only.
type Request struct {
	records.Request
	Key   records.Key
	State State
	// Void is set where a file that was opened again knew better: the request is in it
	// under another number, or has its answer. Operations on it do nothing.
	Void bool

	started bool // makes no more use of a place among those that wait
}

func (r *Request) size() int64 { return int64(r.Document) + int64(r.Image) }

// usage is what a way in has here: requests that were not started, and the bytes of
// all.
type usage struct {
	waiting int
	entries int
	bytes   int64
}

// Backlog is all of them.
type Backlog struct {
	requests map[records.Key]*Request
	working  map[uint64]struct{} // numbers of requests that were started
	lines    turns.Turns[*Request]
	suspects []*Request // wait apart: the process died with them in work
	suspect  *Request   // the one of them that is handed out
	ways     map[string]*usage
}

// New returns an empty backlog.
func New() *Backlog {
	return &Backlog{requests: map[records.Key]*Request{}, working: map[uint64]struct{}{}, ways: map[string]*usage{}}
}

// Get returns a request, nil if it is not here.
func (b *Backlog) Get(key records.Key) *Request { return b.requests[key] }

// Len is the number of requests.
func (b *Backlog) Len() int { return len(b.requests) }

// Fits tells whether a way in has a place for a request more, within bounds on those
// that were not started and on the bytes of all.
func (b *Backlog) Fits(r *Request, maxWaiting int, maxBytes int64) bool {
	w := b.ways[r.Way]
	return w == nil || w.waiting < maxWaiting && w.bytes+r.size() <= maxBytes
}

// Add gives a request that waits for the disk its place.
func (b *Backlog) Add(r *Request) {
	b.requests[r.Key] = r
	b.reserve(r, 1)
}

// Stored has a request that was added wait for its turn.
func (b *Backlog) Stored(r *Request) {
	r.State = Waiting
	b.line(r, false)
}

// Remove forgets a request.
func (b *Backlog) Remove(r *Request) {
	delete(b.requests, r.Key)
	b.letGo(r)
	b.reserve(r, -1)
}

// Next hands out the request whose turn it is, nil if there is none.
func (b *Backlog) Next() *Request {
	var r *Request
	if len(b.suspects) > 0 && b.suspect == nil {
		r = b.suspects[0]
		b.suspects = b.suspects[1:]
		b.suspect = r
	} else {
		r = b.lines.Pop()
	}
	if r != nil {
		r.State = HandedOut
	}
	return r
}

// Start notes that the work on a request begins, if it is handed out.
func (b *Backlog) Start(r *Request) bool {
	if r.State != HandedOut {
		return false
	}
	b.reserve(r, -1)
	r.State, r.started = InWork, true
	b.reserve(r, 1)
	b.working[r.Number] = struct{}{}
	return true
}

// PutBack has a request that is handed out be the next of its client again.
func (b *Backlog) PutBack(r *Request) bool {
	if r.State != HandedOut && r.State != InWork || r.Void {
		return false
	}
	b.reserve(r, -1)
	r.State, r.started = Waiting, false
	b.reserve(r, 1)
	b.letGo(r)
	b.line(r, true)
	return true
}

// Answer notes that a request, waiting or handed out, gets its answer now. Where that
// is not stored, undo has it be what it was.
func (b *Backlog) Answer(r *Request) (undo func()) {
	before := r.State
	if before == Waiting {
		b.leave(r)
	}
	r.State = Answering
	return func() {
		r.State = before
		if before == Waiting {
			b.line(r, true)
		}
	}
}

// Adopt takes over the requests that stand in the file. Those that are in work, or on
// their way into the file, stay; those that have an answer there go.
func (b *Backlog) Adopt(stored []records.Request, answered map[records.Key]uint64) {
	inFile := make(map[records.Key]*Request, len(stored))
	inOrder := make([]records.Key, len(stored))
	for i, r := range stored {
		inOrder[i] = records.KeyOf(r.ID)
		inFile[inOrder[i]] = &Request{Request: r, Key: inOrder[i], State: Waiting}
	}
	for key, r := range b.requests {
		_, answered := answered[key]
		s := inFile[key]
		switch {
		case answered, s != nil && s.Number != r.Number:
			r.Void = true
			delete(b.requests, key)
			b.letGo(r)
		case s != nil:
			inFile[key] = r
		case r.State == Waiting: // it went with a damaged file
			delete(b.requests, key)
		}
	}
	b.lines, b.suspects = turns.Turns[*Request]{}, nil
	for _, key := range inOrder {
		r := inFile[key]
		b.requests[key] = r
		if r.State == Waiting {
			b.line(r, false)
		}
	}
	clear(b.ways)
	for _, r := range b.requests {
		b.reserve(r, 1)
	}
}

// Blame notes that the process before this one died with requests, given by their
// numbers, in work. Those that are here it returns.
func (b *Backlog) Blame(numbers []uint64) []*Request {
	var died []*Request
	for _, r := range b.requests {
		if slices.Contains(numbers, r.Number) {
			r.Crashes += min(1, math.MaxUint8-r.Crashes)
			b.lines.Remove(r.Way, r.Client, r)
			died = append(died, r)
		}
	}
	slices.SortFunc(died, byNumber)
	for _, r := range died {
		if !slices.Contains(b.suspects, r) {
			b.suspects = append(b.suspects, r)
		}
	}
	return died
}

// Working are the numbers of the requests that were started.
func (b *Backlog) Working() []uint64 { return slices.Collect(maps.Keys(b.working)) }

// Waiting are the requests that wait for their turn, in the order of their numbers.
func (b *Backlog) Waiting() []*Request {
	var list []*Request
	for _, r := range b.requests {
		if r.State == Waiting {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, byNumber)
	return list
}

// Count tells how many wait for their turn, how many were started, how many each way
// in has, and when the oldest was accepted; zero if there is none.
func (b *Backlog) Count() (waiting, working int, ways map[string]int, oldest time.Time) {
	ways = make(map[string]int, len(b.ways))
	for name, w := range b.ways {
		ways[name] = w.entries
	}
	for _, r := range b.requests {
		if oldest.IsZero() || r.Accepted.Before(oldest) {
			oldest = r.Accepted
		}
	}
	return b.lines.Len() + len(b.suspects), len(b.working), ways, oldest
}

func byNumber(a, b *Request) int { return cmp.Compare(a.Number, b.Number) }

// line has a request wait for its turn, at the end of its client's line or at its
// head. Those with which the process died wait apart, and only one of them is in
// work at a time: when the process dies again, it is known of which.
func (b *Backlog) line(r *Request, head bool) {
	switch {
	case r.Crashes == 0 && head:
		b.lines.PushFirst(r.Way, r.Client, r)
	case r.Crashes == 0:
		b.lines.Push(r.Way, r.Client, r)
	case head:
		b.suspects = slices.Insert(b.suspects, 0, r)
	default:
		b.suspects = append(b.suspects, r)
	}
}

// leave takes a request that waits out of its line.
func (b *Backlog) leave(r *Request) {
	if r.Crashes == 0 {
		b.lines.Remove(r.Way, r.Client, r)
		return
	}
	b.suspects = slices.DeleteFunc(b.suspects, func(o *Request) bool { return o == r })
}

// letGo notes that nobody works on a request any more.
func (b *Backlog) letGo(r *Request) {
	delete(b.working, r.Number)
	if b.suspect == r {
		b.suspect = nil
	}
}

// reserve counts a request in or, with -1, out.
func (b *Backlog) reserve(r *Request, sign int) {
	w := b.ways[r.Way]
	if w == nil {
		w = &usage{}
		b.ways[r.Way] = w
	}
	w.entries += sign
	if !r.started {
		w.waiting += sign
	}
	w.bytes += int64(sign) * r.size()
	if w.entries == 0 {
		delete(b.ways, r.Way)
	}
}
