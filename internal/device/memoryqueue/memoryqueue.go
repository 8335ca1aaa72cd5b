// Package memoryqueue is the engine's queue in memory, for commands and tests: it is
// fair between requesters, ends with the process, and forgets what is answered.
//
// It keeps nothing for another process and delivers nothing; package diskqueue does.
// Package engine opens it where it is given no other queue.
package memoryqueue

import (
	"context"
	"sync"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/turns"
)

// Queue is a job.Queue in memory. Its methods may be called concurrently.
type Queue struct {
	mu      sync.Mutex
	bound   int                   // guarded by mu
	stopped bool                  // guarded by mu
	waiting map[string]int        // jobs by way in, until Started; guarded by mu
	lines   turns.Turns[*job.Job] // guarded by mu
	changed chan struct{}         // holds one where Next should look again
}

// New makes a queue with the bound of a configuration.
func New(cfg config.Config) *Queue {
	return &Queue{bound: cfg.Service.Queue, waiting: make(map[string]int), changed: make(chan struct{}, 1)}
}

// Restored is job.Queue's.
func (q *Queue) Restored() []*job.Job { return nil }

// Knows is job.Queue's.
func (q *Queue) Knows(string) bool { return false }

// Accept is job.Queue's.
func (q *Queue) Accept(j *job.Job) func(context.Context) (job.Receipt, error) {
	err := q.accept(j)
	return func(context.Context) (job.Receipt, error) { return job.Receipt{}, err }
}

func (q *Queue) accept(j *job.Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return job.ErrClosed
	case q.waiting[j.Line()] >= q.bound:
		return job.ErrQueueFull
	}
	q.waiting[j.Line()]++
	q.lines.Push(j.Line(), j.From.Client, j)
	q.wake()
	return nil
}

func (q *Queue) wake() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}

// Next is job.Queue's. It has one caller at a time.
func (q *Queue) Next(ctx context.Context) (*job.Job, error) {
	for {
		q.mu.Lock()
		j, stopped := q.lines.Pop(), q.stopped
		q.mu.Unlock()
		switch {
		case j != nil:
			return j, nil
		case stopped:
			return nil, job.ErrClosed
		}
		select {
		case <-q.changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Started is job.Queue's.
func (q *Queue) Started(j *job.Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting[j.Line()]--
}

// Finish is job.Queue's.
func (q *Queue) Finish(j *job.Job, _ request.Result) func(context.Context) ([]byte, []func(job.Outcome), error) {
	return func(context.Context) ([]byte, []func(job.Outcome), error) { return nil, q.Return(j), nil }
}

// Return is job.Queue's.
func (q *Queue) Return(j *job.Job) []func(job.Outcome) { return []func(job.Outcome){j.Done} }

// Lookup is job.Queue's.
func (q *Queue) Lookup(string) (job.Stage, []byte, error) { return job.StageUnknown, nil, nil }

// Forget is job.Queue's.
func (q *Queue) Forget(context.Context, string, request.Result) (*job.Job, []func(job.Outcome), error) {
	return nil, nil, job.ErrUnknownRequest
}

// Configure is job.Queue's.
func (q *Queue) Configure(cfg config.Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bound = cfg.Service.Queue
}

// Stop is job.Queue's.
func (q *Queue) Stop() []func(job.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.wake()
	return nil
}
