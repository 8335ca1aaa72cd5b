package engine

import (
	"context"
	"sync"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/turns"
)

// memoryQueue is a Queue that ends with the process, and forgets what is answered.
type memoryQueue struct {
	mu      sync.Mutex
	bound   int               // guarded by mu
	stopped bool              // guarded by mu
	waiting map[string]int    // jobs by way in, until Started; guarded by mu
	lines   turns.Turns[*Job] // guarded by mu
	changed chan struct{}     // holds one where Next should look again
}

func newMemoryQueue(cfg config.Config) *memoryQueue {
	return &memoryQueue{bound: cfg.Service.Queue, waiting: make(map[string]int), changed: make(chan struct{}, 1)}
}

func (q *memoryQueue) Restored() []*Job  { return nil }
func (q *memoryQueue) Knows(string) bool { return false }

func (q *memoryQueue) Accept(j *Job) func(context.Context) (Receipt, error) {
	err := q.accept(j)
	return func(context.Context) (Receipt, error) { return Receipt{}, err }
}

func (q *memoryQueue) accept(j *Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return ErrClosed
	case q.waiting[j.Line()] >= q.bound:
		return ErrQueueFull
	}
	q.waiting[j.Line()]++
	q.lines.Push(j.Line(), j.From.Client, j)
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
		j, stopped := q.lines.Pop(), q.stopped
		q.mu.Unlock()
		switch {
		case j != nil:
			return j, nil
		case stopped:
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
	q.waiting[j.Line()]--
}

func (q *memoryQueue) Finish(j *Job, _ request.Result) func(context.Context) ([]byte, []func(Outcome), error) {
	return func(context.Context) ([]byte, []func(Outcome), error) { return nil, q.Return(j), nil }
}

func (q *memoryQueue) Return(j *Job) []func(Outcome) { return []func(Outcome){j.Done} }

func (q *memoryQueue) Lookup(string) (Stage, []byte, error) { return StageUnknown, nil, nil }

func (q *memoryQueue) Forget(context.Context, string, request.Result) (*Job, []func(Outcome), error) {
	return nil, nil, ErrUnknownRequest
}

func (q *memoryQueue) Configure(cfg config.Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bound = cfg.Service.Queue
}

func (q *memoryQueue) Stop() []func(Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.wake()
	return nil
}
