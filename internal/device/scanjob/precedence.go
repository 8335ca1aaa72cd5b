package scanjob

import (
	"context"
	"sync"
	"time"
)

// Precedence lets requests of slices go before the slices of scans. While any
// request of a slice waits or is in work, the slices of scans come one at a time,
// each after a pause of patience times what the last one took: they take a fifth
// of one core then, and a scan still comes to its end. The zero value is ready.
type Precedence struct {
	mu     sync.Mutex
	slices int           // requests that wait or are in work; guarded by mu
	none   chan struct{} // closed when there are none any more; guarded by mu
	last   time.Duration // that a slice of a scan took; guarded by mu

	one sync.Mutex // held by the slice of a scan that comes while requests wait
}

const patience = 4

// Begin notes a request of a slice, and End that it is answered.
func (p *Precedence) Begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices++; p.slices == 1 {
		p.none = make(chan struct{})
	}
}

// End notes that a request of a slice is answered.
func (p *Precedence) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices--; p.slices == 0 {
		close(p.none)
	}
}

// waiting is nil where no request of a slice is there, else closed when none is
// any more.
func (p *Precedence) waiting() (none <-chan struct{}, pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slices == 0 {
		return nil, 0
	}
	return p.none, patience * p.last
}

// After does the work on a slice of a scan when its turn has come.
func (p *Precedence) After(ctx context.Context, work func() error) error {
	if none, _ := p.waiting(); none == nil {
		return p.measured(work)
	}
	p.one.Lock()
	none, pause := p.waiting()
	if none == nil { // all that waited for their turn may go at once
		p.one.Unlock()
		return p.measured(work)
	}
	defer p.one.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.measured(work)
}

func (p *Precedence) measured(work func() error) error {
	start := time.Now()
	err := work()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Since(start)
	return err
}
