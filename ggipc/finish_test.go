package ggipc

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAnEventThatMeetsFinishIsHandledOrOverflows has events come at the moment
// of the end, so often that they meet it between any two steps.
func TestAnEventThatMeetsFinishIsHandledOrOverflows(t *testing.T) {
	const rounds, events = 10_000, 2
	for round := range rounds {
		var handled, overflowed atomic.Int64
		c := &Client{ctx: t.Context()}
		s := &Subscription{
			client: c, queue: make(chan []byte, 2*events),
			handle:   func(context.Context, []byte) error { handled.Add(1); return nil },
			overflow: func([]byte) error { overflowed.Add(1); return nil },
		}
		s.queueBytes.Store(1000)
		s.ctx, s.cancel = context.WithCancelCause(c.ctx)
		var all sync.WaitGroup
		all.Go(s.handleEvents)
		for range events {
			all.Go(func() { s.enqueue([]byte("event")) })
		}
		all.Go(s.Finish)
		all.Wait()
		if h, o := handled.Load(), overflowed.Load(); h+o != events {
			t.Fatalf("round %d: of %d events %d were handled and %d overflowed", round, events, h, o)
		}
	}
}
