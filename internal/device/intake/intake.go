// Package intake takes jobs from the queue, has their images fetched, and hands them
// to the workers. Fetching has places of its own: an image that does not come keeps
// one of those, never a worker. A read that hangs in the system is given up and left
// behind; how many may be is bounded.
//
// Jobs reach the workers in the order in which they were taken, as long as their
// files come at once (within fileGrace); what takes longer is overtaken, and the
// order is no longer kept until it has come.
//
// It opens no storage, decodes no image and answers nothing: package engine, which
// calls it, gives it what a job is worked on with, and its workers do the rest.
package intake

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/store"
)

// Setup is what a job is worked on with: for the intake, where its image is read.
type Setup interface {
	// Read reads an image; see store.Store.
	Read(ctx context.Context, ref store.Reference) ([]byte, error)
	// ObjectTimeout is for how long a read from S3 may take.
	ObjectTimeout() time.Duration
	// Retain keeps it open until Release is called once more.
	Retain()
	Release()
}

// Options are the settings of an Intake. Queue, Budget and Admit must be set.
type Options[S Setup] struct {
	// Queue has the jobs. The intake ends with it.
	Queue job.Queue
	// Budget is of the encoded images in memory.
	Budget *budget.Budget
	// Admit readies a job that the queue has handed out, and returns what it is worked
	// on with, retained; false where the job is not for the workers.
	Admit func(*job.Job) (S, bool)
	// ReadTimeout bounds the read of an image from a file. Default 30 s.
	ReadTimeout time.Duration
	// Logger is told of reads that come back late, and of faults of the component.
	// Default: none.
	Logger *zap.Logger
}

// Intake is between a queue and the workers. Its methods may be called concurrently.
type Intake[S Setup] struct {
	opts Options[S]
	ctx  context.Context // ends the taking and the reads

	mu       sync.Mutex
	changed  *sync.Cond  // on mu: workers and the taker wait for it
	taken    []*Taken[S] // not yet with a worker, in order; guarded by mu
	fetching [2]int      // places in use, by kind of source; guarded by mu
	lost     [2]int      // reads that were given up and have not come back; guarded by mu
	aborted  bool        // nothing is fetched any more; guarded by mu
	ended    bool        // nothing more comes from the queue; guarded by mu
	workers  int         // that run; guarded by mu
	wanted   int         // workers; guarded by mu
}

// Bounds of the fetching.
const (
	maxTaken    = 32              // jobs, fetched or not, that no worker has
	maxFetching = 8               // reads at the same time, of each kind of source
	maxLost     = 32              // reads given up that may hang in the system, of each kind
	fileGrace   = 1 * time.Second // for which a file keeps its place in the order
)

// Taken is a job that was taken from the queue, with its image or why that did not
// come. It belongs to the intake until Next returns it.
type Taken[S Setup] struct {
	*job.Job
	Setup S
	Image []byte        // encoded
	Err   error         // instead of it
	Fetch time.Duration // for which the image was read

	phase   phase
	source  source
	fresh   bool // may keep its place in the order
	lagged  bool // has had its grace
	began   time.Time
	timer   *time.Timer // of the fetch
	cancel  context.CancelFunc
	crowded bool // the fetch waits for room
}

type phase uint8

const (
	parked  phase = iota // waits for a place among the fetches
	reading              // has one
	fetched              // data or err is there
)

type source uint8

const (
	fromFile source = iota
	fromObject
	fromRequest
)

// New makes an intake without workers. ctx ends the taking and the reads.
func New[S Setup](ctx context.Context, opts Options[S]) *Intake[S] {
	if opts.ReadTimeout <= 0 {
		opts.ReadTimeout = 30 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	in := &Intake[S]{opts: opts, ctx: ctx}
	in.changed = sync.NewCond(&in.mu)
	return in
}

// Run takes jobs until the queue has no more.
func (in *Intake[S]) Run() {
	defer func() {
		in.mu.Lock()
		in.ended = true
		in.mu.Unlock()
		in.changed.Broadcast()
	}()
	for {
		in.mu.Lock()
		for !in.room() {
			in.changed.Wait()
		}
		in.mu.Unlock()
		j, err := in.opts.Queue.Next(in.ctx)
		if err != nil {
			return
		}
		if s, ok := in.opts.Admit(j); ok {
			in.take(&Taken[S]{Job: j, Setup: s})
		}
	}
}

// room reports whether another job should be taken: as many as there are workers
// are fetched ahead, those aside that have to be waited for.
func (in *Intake[S]) room() bool {
	if in.aborted {
		return true
	}
	ahead := 0
	for _, j := range in.taken {
		if j.fresh || j.phase == fetched {
			ahead++
		}
	}
	return ahead < in.wanted && len(in.taken) < maxTaken
}

func (in *Intake[S]) take(j *Taken[S]) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taken = append(in.taken, j)
	image := &j.Request.Image
	switch {
	case j.Poisoned:
		j.phase, j.Err = fetched, failure.ErrPoisoned
		in.changed.Broadcast()
		return
	case j.Done == nil && j.Request.Output.Discard: // who waited for the mask is gone
		j.phase, j.Err = fetched, failure.ErrNobodyWaits
		in.changed.Broadcast()
		return
	case image.Inline != nil:
		j.source, j.phase, j.Image = fromRequest, fetched, image.Inline
		in.changed.Broadcast()
		return
	case image.S3 != "":
		j.source, j.lagged = fromObject, true
		limit := 2 * j.Setup.ObjectTimeout() // the store's own limit, after some waiting for a place
		j.timer = time.AfterFunc(limit, func() { in.lag(j) })
	default:
		j.source, j.fresh = fromFile, !in.lagging()
		j.lagged = !j.fresh
		grace := in.opts.ReadTimeout
		if j.fresh {
			grace = min(fileGrace, grace)
		}
		j.timer = time.AfterFunc(grace, func() { in.lag(j) })
	}
	if in.aborted {
		in.settle(j, nil, failure.Stopping(nil), false)
		return
	}
	in.launch()
}

// Abort settles whatever is not fetched, and what is taken from now on.
func (in *Intake[S]) Abort() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.aborted = true
	for _, j := range in.taken {
		in.settle(j, nil, failure.Stopping(nil), false)
	}
	in.changed.Broadcast()
}

// Next waits for a job that can be worked on. It returns nil to a worker that is
// no longer wanted.
func (in *Intake[S]) Next() *Taken[S] {
	in.mu.Lock()
	defer in.mu.Unlock()
	for {
		if in.workers > in.wanted || in.ended && len(in.taken) == 0 {
			in.workers--
			return nil
		}
		if i := in.candidate(); i >= 0 {
			j := in.taken[i]
			in.taken = append(in.taken[:i], in.taken[i+1:]...)
			in.changed.Broadcast()
			return j
		}
		in.changed.Wait()
	}
}

// candidate is the first job that is fetched, unless one before it may keep its
// place; -1 for none.
func (in *Intake[S]) candidate() int {
	for i, j := range in.taken {
		switch {
		case j.phase == fetched:
			return i
		case j.fresh:
			return -1
		}
	}
	return -1
}

// Employ sets how many workers are wanted and returns how many must be started.
func (in *Intake[S]) Employ(n int) (more int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wanted = n
	more = max(0, n-in.workers)
	in.workers += more
	in.changed.Broadcast()
	return more
}

// Stuck counts the reads that were given up and have not come back.
func (in *Intake[S]) Stuck() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.lost[fromFile] + in.lost[fromObject]
}
