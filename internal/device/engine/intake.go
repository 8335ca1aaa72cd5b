package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
)

// intake takes jobs from the queue, has their images fetched, and hands them to
// the workers. Fetching has places of its own: an image that does not come keeps
// one of those, never a worker.
//
// Jobs reach the workers in the order in which they were taken, as long as their
// files come at once (within fileGrace); what takes longer is overtaken, and the
// order is no longer kept until it has come.
type intake struct {
	e *Engine

	mu         sync.Mutex
	changed    *sync.Cond // on mu: workers and the taker wait for it
	taken      []*taken   // not yet with a worker, in order; guarded by mu
	fetching   [2]int     // places in use, by kind of source; guarded by mu
	lost       [2]int     // reads that were given up and have not come back; guarded by mu
	lostWrites int        // likewise; guarded by mu
	aborted    bool       // nothing is fetched any more; guarded by mu
	ended      bool       // nothing more comes from the queue; guarded by mu
	workers    int        // that run; guarded by mu
	wanted     int        // workers; guarded by mu
}

// Bounds of the fetching.
const (
	maxTaken    = 32              // jobs, fetched or not, that no worker has
	maxFetching = 8               // reads at the same time, of each kind of source
	maxLost     = 32              // reads given up that may hang in the system, of each kind; and writes
	fileGrace   = 1 * time.Second // for which a file keeps its place in the order
)

// taken is a job on its way from the queue to its answer, and what the intake notes
// of it; guarded by intake.mu until a worker has it.
type taken struct {
	*job.Job

	setup   *setup
	phase   phase
	source  source
	fresh   bool // may keep its place in the order
	lagged  bool // has had its grace
	began   time.Time
	timer   *time.Timer // of the fetch
	cancel  context.CancelFunc
	crowded bool   // the fetch waits for room
	data    []byte // the encoded image
	err     error  // instead of it
	fetch   time.Duration
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

func newIntake(e *Engine) *intake {
	in := &intake{e: e}
	in.changed = sync.NewCond(&in.mu)
	return in
}

// run takes jobs until the queue has no more.
func (in *intake) run() {
	defer func() {
		in.mu.Lock()
		in.ended = true
		in.mu.Unlock()
		in.changed.Broadcast()
		in.e.lane.End()
	}()
	for {
		in.mu.Lock()
		for !in.room() {
			in.changed.Wait()
		}
		in.mu.Unlock()
		j, err := in.e.queue.Next(in.e.ctx)
		if err != nil {
			return
		}
		in.e.admit(j)
		in.take(&taken{Job: j, setup: in.e.acquire()})
	}
}

// admit readies a job that the queue has handed out: one of an earlier process has
// no number yet, and an image that was on disk no room.
func (e *Engine) admit(j *job.Job) {
	if j.Received == nil {
		e.busy.Add(1)
		j.Number, j.Received = e.count.Add(1), make(chan struct{})
		close(j.Received)
		e.deps.Watch.Accepted(j.Number)
	}
	if n := len(j.Request.Image.Inline); n > 0 && j.Hold == nil {
		j.Hold, _ = e.budget.Wait(e.ctx, int64(n)) // without room only where the engine ends
	}
}

// room reports whether another job should be taken: as many as there are workers
// are fetched ahead, those aside that have to be waited for.
func (in *intake) room() bool {
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

func (in *intake) take(j *taken) {
	if j.Request.Scan != nil {
		in.e.takeScan(j)
		return
	}
	in.e.slices.Begin()
	in.mu.Lock()
	defer in.mu.Unlock()
	in.taken = append(in.taken, j)
	image := &j.Request.Image
	switch {
	case j.Poisoned:
		j.phase, j.err = fetched, failure.ErrPoisoned
		in.changed.Broadcast()
		return
	case j.Done == nil && j.Request.Output.Discard: // who waited for the mask is gone
		j.phase, j.err = fetched, failure.ErrNobodyWaits
		in.changed.Broadcast()
		return
	case image.Inline != nil:
		j.source, j.phase, j.data = fromRequest, fetched, image.Inline
		in.changed.Broadcast()
		return
	case image.S3 != "":
		j.source, j.lagged = fromObject, true
		limit := 2 * j.setup.cfg.S3.Timeout // the store's own limit, after some waiting for a place
		j.timer = time.AfterFunc(limit, func() { in.lag(j) })
	default:
		j.source, j.fresh = fromFile, !in.lagging()
		j.lagged = !j.fresh
		grace := in.e.deps.ReadTimeout
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

// lagging reports whether a file system keeps somebody waiting: one grace a time
// is enough. mu is held.
func (in *intake) lagging() bool {
	for _, j := range in.taken {
		if j.source == fromFile && j.phase == reading && !j.fresh {
			return true
		}
	}
	return in.lost[fromFile] > 0
}

// launch starts the fetches for which there is a place. mu is held.
func (in *intake) launch() {
	for _, j := range in.taken {
		switch {
		case j.phase != parked:
		case in.lost[j.source] >= maxLost:
			in.settle(j, nil, failure.ErrGivenUp, false)
		case in.fetching[j.source] < maxFetching:
			in.fetching[j.source]++
			j.phase, j.began = reading, time.Now()
			j.setup.refs.Add(1)
			var ctx context.Context
			ctx, j.cancel = context.WithCancel(in.e.ctx)
			go in.fetch(ctx, j, j.setup)
		}
	}
}

// lag has a job lose its place in the order, and later the read given up.
func (in *intake) lag(j *taken) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if j.phase == fetched {
		return
	}
	if rest := in.e.deps.ReadTimeout - fileGrace; !j.lagged && rest > 0 {
		j.fresh, j.lagged = false, true
		j.timer.Reset(rest)
		in.changed.Broadcast()
		return
	}
	err := failure.ErrGivenUp
	if j.crowded {
		err = failure.ErrNoRoom
	}
	in.settle(j, nil, err, false)
}

// abort settles whatever is not fetched, and what is taken from now on.
func (in *intake) abort() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.aborted = true
	for _, j := range in.taken {
		in.settle(j, nil, failure.Stopping(nil), false)
	}
	in.changed.Broadcast()
}

// settle ends the fetch of a job that is not fetched yet, and reports whether it
// did. back tells that the read has come back. mu is held.
func (in *intake) settle(j *taken, data []byte, err error, back bool) bool {
	if j.phase == fetched {
		return false
	}
	if j.phase == reading {
		in.fetching[j.source]--
		j.fetch = time.Since(j.began)
		j.cancel()
		if !back {
			in.lost[j.source]++
		}
	}
	j.timer.Stop()
	j.phase, j.data, j.err = fetched, data, err
	in.changed.Broadcast()
	return true
}

// next waits for a job that can be worked on. It returns nil to a worker that is
// no longer wanted.
func (in *intake) next() *taken {
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
func (in *intake) candidate() int {
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

// employ sets how many workers are wanted and returns how many must be started.
func (in *intake) employ(n int) (more int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wanted = n
	more = max(0, n-in.workers)
	in.workers += more
	in.changed.Broadcast()
	return more
}

// Stuck counts the reads and writes that were given up and have not come back.
func (e *Engine) Stuck() int {
	e.intake.mu.Lock()
	defer e.intake.mu.Unlock()
	return e.intake.lost[fromFile] + e.intake.lost[fromObject] + e.intake.lostWrites
}

// fetch reads the image of a job. It may outlive the job, for a read from a file
// system that does not answer comes back when that does; nobody waits for it.
func (in *intake) fetch(ctx context.Context, j *taken, s *setup) {
	data, hold, err := in.read(ctx, j, s)
	s.release() // before anybody hears of the end
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.settle(j, data, err, true) {
		j.Hold = hold
	} else {
		hold.Release()
		in.lost[j.source]--
		if !in.aborted {
			in.e.deps.Logger.Info("a read that was given up has come back", zap.Uint64("request", j.Number))
		}
	}
	in.launch()
}

// read reads an image once there is room for it, and turns a panic of the storage
// into an error.
func (in *intake) read(ctx context.Context, j *taken, s *setup) (data []byte, hold *budget.Hold, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			in.e.deps.Logger.Error("a read failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
		}
	}()
	ref := reference(j.Request)
	ref.Room = func(ctx context.Context, bytes int64) (err error) {
		var room bool
		if hold, room = in.e.budget.Take(bytes); room {
			return nil
		}
		in.crowd(j, true)
		defer in.crowd(j, false)
		hold, err = in.e.budget.Wait(ctx, bytes)
		return err
	}
	data, err = s.store.it.Read(ctx, ref)
	if err != nil {
		return nil, hold, failure.Read(err)
	}
	return data, hold, nil
}

// crowd notes whether a job waits for room: then it keeps nobody behind it.
func (in *intake) crowd(j *taken, waits bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	j.crowded, j.fresh = waits, j.fresh && !waits
	in.changed.Broadcast()
}
