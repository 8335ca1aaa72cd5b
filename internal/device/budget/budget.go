// Package budget bounds the bytes of encoded images that are in memory at the same
// time, wherever they come from: uploads are refused and reads wait where there is
// no room. It holds no bytes itself. Package engine has the one budget of a
// process; package httpapi takes from it what it is about to read.
package budget

import (
	"context"
	"sync"
)

// Budget bounds the bytes of encoded images that are in memory. One image is
// always let in, however large, so that there is no standstill.
type Budget struct {
	mu      sync.Mutex
	limit   int64         // guarded by mu
	used    int64         // guarded by mu
	waiting int           // reads that wait for room; guarded by mu
	freed   chan struct{} // closed, and replaced, when there may be room; guarded by mu
}

// New returns a budget of that many bytes.
func New(limit int64) *Budget { return &Budget{limit: limit, freed: make(chan struct{})} }

// SetLimit changes the limit. What is held stays held.
func (b *Budget) SetLimit(limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
	b.tell()
}

func (b *Budget) tell() {
	close(b.freed)
	b.freed = make(chan struct{})
}

// fits is called with mu held.
func (b *Budget) fits(n int64) bool { return b.used == 0 || b.used+n <= b.limit }

// Take takes n bytes, or none where there is no room. Reads that wait for room
// come before what is new.
func (b *Budget) Take(n int64) (*Hold, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting > 0 || !b.fits(n) {
		return nil, false
	}
	b.used += n
	return &Hold{budget: b, bytes: n}, true
}

// grow takes n bytes for who holds some, as Take does: whoever is alone is let in.
func (b *Budget) grow(held, n int64) (int64, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if alone := b.used == held; !alone && (b.waiting > 0 || b.used+n > b.limit) {
		return 0, false
	}
	b.used += n
	return n, true
}

// Wait takes n bytes once there is room for them.
func (b *Budget) Wait(ctx context.Context, n int64) (*Hold, error) {
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
			return nil, context.Cause(ctx)
		}
	}
	b.used += n
	return &Hold{budget: b, bytes: n}, nil
}

func (b *Budget) release(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.waiting > 0 {
		b.tell()
	}
}

// Used is the number of bytes that are held.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Hold is room for an image that is in memory, or on its way there. Its methods
// may be called on nil, which holds nothing.
type Hold struct {
	budget *Budget

	mu    sync.Mutex
	bytes int64 // guarded by mu
}

// Grow takes that many bytes more, or none where there is no room. Reads that wait
// for room come before it. It must not be called on nil.
func (h *Hold) Grow(bytes int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	more, room := h.budget.grow(h.bytes, bytes)
	h.bytes += more
	return room
}

// Shrink gives back what the image turned out not to need.
func (h *Hold) Shrink(bytes int64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if bytes < h.bytes {
		h.budget.release(h.bytes - bytes)
		h.bytes = bytes
	}
}

// Release gives everything back. A second call does nothing.
func (h *Hold) Release() { h.Shrink(0) }
