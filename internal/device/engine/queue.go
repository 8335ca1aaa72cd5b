package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
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
	bound   int            // guarded by mu
	closed  bool           // guarded by mu
	waiting map[string]int // jobs by way in, until Started; guarded by mu
	lines   turns          // guarded by mu
	changed chan struct{}  // holds one where Next should look again
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
	q.lines.push(j)
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
		j, closed := q.lines.pop(), q.closed
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

// turns are the jobs that wait, one line for each client of each way in. Ways
// take turns, and within a way its clients do, so that nobody who asks much keeps
// others waiting. Only lines with somebody in them exist.
type turns struct {
	ways []*way // in the order of their turns
}

type way struct {
	name  string
	lines []*line // in the order of their turns
}

type line struct {
	client string
	jobs   []*Job
}

// push puts a job at the end of its requester's line.
func (t *turns) push(j *Job) {
	w := t.way(j.From.Way)
	for _, l := range w.lines {
		if l.client == j.From.Client {
			l.jobs = append(l.jobs, j)
			return
		}
	}
	w.lines = append(w.lines, &line{client: j.From.Client, jobs: []*Job{j}})
}

func (t *turns) way(name string) *way {
	for _, w := range t.ways {
		if w.name == name {
			return w
		}
	}
	t.ways = append(t.ways, &way{name: name})
	return t.ways[len(t.ways)-1]
}

// pop takes the job whose turn it is, nil if none waits. Whoever had a turn goes
// to the end, with what is left.
func (t *turns) pop() *Job {
	if len(t.ways) == 0 {
		return nil
	}
	w := t.ways[0]
	l := w.lines[0]
	j := l.jobs[0]
	l.jobs[0] = nil
	l.jobs = l.jobs[1:]
	w.lines = w.lines[1:]
	if len(l.jobs) > 0 {
		w.lines = append(w.lines, l)
	}
	t.ways = t.ways[1:]
	if len(w.lines) > 0 {
		t.ways = append(t.ways, w)
	}
	return j
}
