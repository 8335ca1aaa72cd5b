package engine

import (
	"context"
	"sync"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/turns"
)

// memoryQueue is a Queue that ends with the process.
type memoryQueue struct {
	mu      sync.Mutex
	bound   int               // guarded by mu
	closed  bool              // guarded by mu
	waiting map[string]int    // jobs by way in, until Started; guarded by mu
	lines   turns.Turns[*Job] // guarded by mu
	changed chan struct{}     // holds one where Next should look again
}

func newMemoryQueue(bound int) *memoryQueue {
	return &memoryQueue{bound: bound, waiting: make(map[string]int), changed: make(chan struct{}, 1)}
}

func (q *memoryQueue) Accept(_ context.Context, j *Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return ErrClosed
	case q.waiting[j.From.Way] >= q.bound:
		return ErrQueueFull
	}
	q.waiting[j.From.Way]++
	q.lines.Push(j.From.Way, j.From.Client, j)
	q.wake()
	return nil
}

func (q *memoryQueue) wake() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// Next has one caller at a time.
func (q *memoryQueue) Next(ctx context.Context) (*Job, error) {
	for {
		q.mu.Lock()
		j, closed := q.lines.Pop(), q.closed
		q.mu.Unlock()
		switch {
		case j != nil:
			return j, nil
		case closed:
			return nil, ErrClosed
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (q *memoryQueue) Started(j *Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting[j.From.Way]--
}

func (q *memoryQueue) Finish(context.Context, *Job, request.Result) error { return nil }

func (q *memoryQueue) SetBound(jobs int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bound = jobs
}

func (q *memoryQueue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}
