package engine

import (
	"context"
	"sync"

	"github.com/brainseg/brainseg/internal/device/request"
)

// budget bounds the bytes of encoded images that are in memory. One image is
// always let in, however large, so that there is no standstill.
type budget struct {
	mu      sync.Mutex
	limit   int64         // guarded by mu
	used    int64         // guarded by mu
	waiting int           // reads that wait for room; guarded by mu
	freed   chan struct{} // closed, and replaced, when there may be room; guarded by mu
}

func newBudget(limit int64) *budget { return &budget{limit: limit, freed: make(chan struct{})} }

func (b *budget) setLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.tell()
}

func (b *budget) tell() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// fits is called with mu held.
func (b *budget) fits(n int64) bool { return b.used == 0 || b.used+n <= b.limit }

// take takes n bytes, or none where there is no room. Reads that wait for room
// come before what is new.
func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting > 0 || !b.fits(n) {
		return false
	}
	b.used += n
	return true
}

// wait takes n bytes once there is room for them.
func (b *budget) wait(ctx context.Context, n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting++
	defer func() { b.waiting-- }()
	for !b.fits(n) {
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	b.used += n
	return nil
}

func (b *budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.waiting > 0 {
		b.tell()
	}
}

// Hold is room for an encoded image that is on its way into memory.
type Hold struct {
	e *Engine

	mu    sync.Mutex
	bytes int64 // guarded by mu
}

var errNoRoom = request.NewError(request.CodeBusy, "there is no room for another image now, try again later", nil)

// Hold makes room for an image of that many bytes, before it is read. The error
// is request.CodeBusy where there is none. The hold must be released, or
// submitted, which releases it in time.
func (e *Engine) Hold(bytes int64) (*Hold, error) {
	if !e.budget.take(bytes) {
		return nil, errNoRoom
	}
	return &Hold{e: e, bytes: bytes}, nil
}

// Shrink gives back what the image turned out not to need.
func (h *Hold) Shrink(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if bytes < h.bytes {
		h.e.budget.release(h.bytes - bytes)
		h.bytes = bytes
	}
}

// Release gives everything back. A second call does nothing.
func (h *Hold) Release() {
	if h != nil {
		h.Shrink(0)
	}
}

// Submit submits a request whose image is what the hold is for.
func (h *Hold) Submit(ctx context.Context, from Requester, r request.Request, done func(Outcome)) {
	h.e.submit(ctx, h.e.count.Add(1), from, r, h, done)
}
