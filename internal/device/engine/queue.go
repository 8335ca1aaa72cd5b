package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/turns"
)

// The ways in by which requests come.
const (
	WayIPC     = "ipc"     // other components
	WayHTTP    = "http"    // the HTTP endpoint
	WayScan    = "scan"    // slices of a whole scan
	WayCommand = "command" // the command line
)

// Requester says whose request it is: ways in take turns, and so do the clients
// of one way.
type Requester struct {
	Way    string // WayIPC and so on
	Client string // tells those apart who come the same way; "" where that cannot be told
}

// Job is a request on its way from Submit to its answer.
type Job struct {
	Number   uint64 // counts the requests since the engine was opened
	From     Requester
	Request  request.Request
	Accepted time.Time

	state
}

// Queue keeps accepted jobs until they are answered. It outlives configurations.
type Queue interface {
	// Accept takes a job, or refuses it with ErrQueueFull or ErrClosed. It may be
	// handed out before Accept returns.
	Accept(ctx context.Context, j *Job) error
	// Next waits for the job whose turn it is and hands it out once. It returns
	// ErrClosed when the queue is closed and, where it cannot keep them for
	// another process, all jobs were handed out.
	Next(ctx context.Context) (*Job, error)
	// Started tells that a job no longer waits: it makes room for another.
	Started(j *Job)
	// Finish notes the answer of a job, which has reached nobody yet.
	Finish(ctx context.Context, j *Job, answer request.Result) error
	// SetBound changes how many jobs of one way in may wait.
	SetBound(jobs int)
	// Close has Accept refuse whatever comes.
	Close()
}

// ErrQueueFull says that no more jobs of that way in can wait now.
var ErrQueueFull = errors.New("the queue is full")

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
