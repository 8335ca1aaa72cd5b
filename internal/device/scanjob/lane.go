package scanjob

import (
	"context"
	"errors"
	"sync"

	"github.com/brainseg/brainseg/internal/device/turns"
)

// ErrCancelled is the cause of a context whose scan was called off.
var ErrCancelled = errors.New("the scan was called off")

// Lane works on one scan after the other, beside whatever works on slices. Those
// who ask take turns.
type Lane struct {
	mu      sync.Mutex
	changed *sync.Cond          // on mu: the lane waits for it
	lines   turns.Turns[*place] // that wait; guarded by mu
	places  map[*place]struct{} // that wait or are in work; guarded by mu
	ended   bool                // nothing comes any more; guarded by mu
}

// place is a scan in the lane.
type place struct {
	id     string
	work   func(context.Context)
	ctx    context.Context
	cancel context.CancelCauseFunc
	begun  bool // guarded by the lane's mu
}

// NewLane makes a lane, which works where Run is called.
func NewLane() *Lane {
	l := &Lane{places: make(map[*place]struct{})}
	l.changed = sync.NewCond(&l.mu)
	return l
}

// Put has work called by Run, in a context that ends with ctx, and with the cause
// ErrCancelled when the scan is called off. It is called even then, at once. way
// and client say who asks, and id names the scan for Cancel.
func (l *Lane) Put(ctx context.Context, way, client, id string, work func(context.Context)) {
	p := &place{id: id, work: work}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places[p] = struct{}{}
	l.lines.Push(way, client, p)
	l.changed.Signal()
}

// Run works on scans until End is called and none is left.
func (l *Lane) Run() {
	for p := l.next(); p != nil; p = l.next() {
		l.do(p)
	}
}

// next waits for a scan; nil where there will be none.
func (l *Lane) next() *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if p := l.lines.Pop(); p == nil && l.ended {
			return nil
		} else if p == nil {
			l.changed.Wait()
		} else if !p.begun {
			p.begun = true
			return p
		}
	}
}

func (l *Lane) do(p *place) {
	defer func() {
		p.cancel(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.places, p)
		p.work = nil // it may stay in its line until its turn comes
	}()
	p.work(p.ctx)
}

// Cancel calls off the scans with an id, and returns how many there were. Those
// that wait are answered before it returns.
func (l *Lane) Cancel(id string) int {
	found := 0
	var waiting []*place
	l.mu.Lock()
	for p := range l.places {
		if p.id != id {
			continue
		}
		found++
		p.cancel(ErrCancelled)
		if !p.begun {
			p.begun = true
			waiting = append(waiting, p)
		}
	}
	l.mu.Unlock()
	for _, p := range waiting {
		l.do(p)
	}
	return found
}

// Waiting is the number of scans that are not in work yet.
func (l *Lane) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for p := range l.places {
		if !p.begun {
			n++
		}
	}
	return n
}

// End lets Run return once the lane is empty. Nothing may be put into it any more.
func (l *Lane) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.changed.Broadcast()
}
