package eventqueue

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
		q := New(2*events, 1000,
			func(context.Context, []byte) error { handled.Add(1); return nil },
			func([]byte) error { overflowed.Add(1); return nil }, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { q.Run(ctx, t.Context()) })
		for range events {
			all.Go(func() { q.Put([]byte("event")) })
		}
		all.Go(func() { q.Finish(); cancel() })
		all.Wait()
		if h, o := handled.Load(), overflowed.Load(); h+o != events {
			t.Fatalf("round %d: of %d events %d were handled and %d overflowed", round, events, h, o)
		}
	}
}
