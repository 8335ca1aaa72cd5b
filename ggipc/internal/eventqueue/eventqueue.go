// Package eventqueue holds the events of a subscription between the goroutine that
// reads the connection, which must not wait, and the handler, which may take its
// time: up to a bound in number and bytes, the rest is counted or handed over.
//
// It does not know what an event is. Package ggipc has one for each subscription.
package eventqueue

import (
	"context"
	"sync"
	"sync/atomic"
)

// Queue holds events, none of which it keeps a copy of.
type Queue struct {
	handle   func(context.Context, []byte) error
	overflow func([]byte) error // nil where what does not fit is dropped
	told     func(error)        // of an event that was not understood

	events    chan []byte
	entering  sync.Mutex // held while an event enters the queue
	finishing bool       // by Finish: what is queued is still handled, and no more enters; guarded by entering

	most      atomic.Int64 // bytes
	queued    atomic.Int64 // bytes
	dropped   atomic.Uint64
	malformed atomic.Uint64
}

// New makes a queue for so many events and bytes. Run calls handle, and Put calls
// overflow, which may be nil, with those that have no room; told gets their errors,
// by which they say that an event is malformed.
func New(events int, bytes int64, handle func(context.Context, []byte) error, overflow func([]byte) error, told func(error)) *Queue {
	q := &Queue{handle: handle, overflow: overflow, told: told, events: make(chan []byte, events)}
	q.most.Store(bytes)
	return q
}

// SetBytes changes how many bytes there may be.
func (q *Queue) SetBytes(bytes int64) { q.most.Store(bytes) }

// Dropped counts the events for which there was no room, and no overflow.
func (q *Queue) Dropped() uint64 { return q.dropped.Load() }

// Malformed counts the events that were not understood.
func (q *Queue) Malformed() uint64 { return q.malformed.Load() }

// Finish lets no more events in, and has Run handle those that are in.
func (q *Queue) Finish() {
	q.entering.Lock()
	defer q.entering.Unlock()
	q.finishing = true
}

// Put hands an event to the goroutine of Run, or to whoever takes what
// overflows, or counts it as dropped.
func (q *Queue) Put(payload []byte) {
	if q.enter(payload) {
		return
	}
	if q.overflow == nil {
		q.dropped.Add(1)
		return
	}
	q.understood(q.overflow(payload))
}

// enter puts an event into the queue if there is room for it.
func (q *Queue) enter(payload []byte) bool {
	size := int64(len(payload))
	q.entering.Lock()
	defer q.entering.Unlock()
	if q.finishing || q.queued.Load()+size > q.most.Load() {
		return false
	}
	select {
	case q.events <- payload:
		q.queued.Add(size)
		return true
	default:
		return false
	}
}

// understood counts an event that was not.
func (q *Queue) understood(err error) {
	if err != nil {
		q.malformed.Add(1)
		q.told(err)
	}
}

// Run calls the handler, with ctx, for one event after the other until ctx ends.
// After Finish it goes on with what is left until the context owner ends.
func (q *Queue) Run(ctx, owner context.Context) {
	defer q.handleRest(owner)
	for {
		if ctx.Err() != nil {
			return
		}
		select {
		case payload := <-q.events:
			q.queued.Add(-int64(len(payload)))
			q.understood(q.handle(ctx, payload))
		case <-ctx.Done():
			return
		}
	}
}

// handleRest handles what is queued when the subscription is finished.
func (q *Queue) handleRest(owner context.Context) {
	q.entering.Lock()
	finishing := q.finishing
	q.entering.Unlock()
	for finishing && owner.Err() == nil {
		select {
		case payload := <-q.events:
			q.queued.Add(-int64(len(payload)))
			q.understood(q.handle(owner, payload))
		default:
			return
		}
	}
}
