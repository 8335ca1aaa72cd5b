// Package watchdog lets nobody wait for a model that does not come to an end with a
// slice: a fault of ONNX Runtime or of the processor, or a network that loops.
//
// It stands before every model that it opens. A run that takes too long fails with
// ErrHung; it is called off and left behind with the session in which it hangs, for
// nothing in a process can end it, and the model is opened anew for the slices after
// it. The time counts while the process runs: one that was stopped has not hung.
//
// What happens twice within a minute no new session heals, but perhaps a new process
// does: then, and where too many runs are left behind, GaveUp tells whoever owns the
// process to end it. The package ends no process, and knows nothing of requests.
// Package engine calls it.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"image"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// ErrHung says that the model did not come to an end with a slice in time.
var ErrHung = errors.New("the model did not come to an end with this image in time")

// ErrGaveUp says why a process ends whose watchdog has given up.
var ErrGaveUp = errors.New("the model hangs again and again, which only a new process may cure")

// The bounds of what is waited for.
const (
	again      = time.Minute // a second hang within it is one too many
	maxLeft    = 3           // runs left behind; each keeps its session and a core
	leastLimit = time.Minute // where the limit is automatic
	multiple   = 20          // of the time that opening took, likewise
	grace      = time.Second // for a run that was called off to come back
	steps      = 20          // by which the time of a run is counted
	keepPixels = 1 << 20     // of masks that are kept for later runs
)

// Model segments slices; see segmentation.Model.
type Model interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
	Manifest() *model.Manifest
	Close() error
}

// Watchdog watches over the models that it opens, one after the other or several.
// Its methods may be called concurrently.
type Watchdog struct {
	logger *zap.Logger
	limit  atomic.Int64 // time.Duration
	masks  sync.Pool    // of *[]uint8
	gaveUp chan struct{}

	mu   sync.Mutex
	hung uint64    // guarded by mu
	last time.Time // of the last hang; guarded by mu
	left int       // hung runs that have not come back; guarded by mu
}

// New makes a Watchdog; see SetLimit. logger may be nil.
func New(limit time.Duration, logger *zap.Logger) *Watchdog {
	if logger == nil {
		logger = zap.NewNop()
	}
	w := &Watchdog{logger: logger, gaveUp: make(chan struct{})}
	w.SetLimit(limit)
	return w
}

// SetLimit sets how long a run that begins now may take. 0 is automatic: 20 times as
// long as it took to open the model and let it pass its self-test, at least a minute.
func (w *Watchdog) SetLimit(limit time.Duration) { w.limit.Store(int64(limit)) }

// Hung counts the runs that were given up.
func (w *Watchdog) Hung() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hung
}

// GaveUp is closed when the process should end.
func (w *Watchdog) GaveUp() <-chan struct{} { return w.gaveUp }

// Open has open open a model, which must be another one each time, and watches over
// it. After a hang open is called again, with a context that ends with the model.
func (w *Watchdog) Open(ctx context.Context, open func(context.Context) (Model, error)) (Model, error) {
	start := time.Now()
	first, err := open(ctx)
	if err != nil {
		return nil, err
	}
	g := &guarded{w: w, open: open, manifest: first.Manifest(), opening: time.Since(start), current: &session{Model: first, users: 1}}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

// guarded is a model over which the watchdog watches.
type guarded struct {
	w        *Watchdog
	open     func(context.Context) (Model, error)
	manifest *model.Manifest
	opening  time.Duration // that it took
	ctx      context.Context
	cancel   context.CancelFunc
	renewing sync.WaitGroup

	mu      sync.Mutex
	current *session // guarded by mu; nil once it is closed
	renewal bool     // is under way; guarded by mu
}

// session is an opened model. The last of its users closes it.
type session struct {
	Model
	users int // runs, and guarded while it is the current one; guarded by guarded.mu
}

var _ segmentation.Detailed = (*guarded)(nil)

func (g *guarded) Manifest() *model.Manifest { return g.manifest }

// errClosed is a fault of the program: a model is used after its end.
var errClosed = errors.New("the model is closed")

// Segment has the model segment a slice, which stays as it is also after an error.
// The error may wrap ErrHung.
func (g *guarded) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, err := g.SegmentDetailed(ctx, slice, mask, nil)
	return err
}

// SegmentDetailed is Segment for all that the model gives; see segmentation.Detail.
func (g *guarded) SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	g.mu.Lock()
	s := g.current
	if s == nil {
		g.mu.Unlock()
		return nil, errClosed
	}
	s.users++
	g.mu.Unlock()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := run{ended: make(chan struct{}), mask: g.w.mask(len(mask))} // the caller's is not written to later
	if scores != nil {
		r.scores = g.w.mask(len(scores))
	}
	go func() {
		defer close(r.ended)
		defer g.release(s)
		r.said, r.err = g.w.segment(ctx, s.Model, slice, &r)
	}()
	switch g.w.wait(ctx, r.ended, g.limit()) {
	case came:
		if r.err == nil {
			copy(mask, *r.mask)
			if r.scores != nil {
				copy(scores, *r.scores)
			}
		}
		g.w.keep(r.mask)
		g.w.keep(r.scores)
		return r.said, r.err
	case calledOff:
		return nil, fmt.Errorf("segment: %w", context.Cause(ctx))
	}
	cancel(ErrHung)
	g.w.hang(r.ended)
	g.renew(s)
	return nil, ErrHung
}

// run is the work on one slice, on a goroutine of its own: where it is left behind
// nobody waits for it.
type run struct {
	ended  chan struct{} // closed when it has come back
	mask   *[]uint8
	scores *[]uint8 // nil where nobody asked
	said   *model.Judgement
	err    error // once it has
}

func (w *Watchdog) mask(n int) *[]uint8 {
	m, _ := w.masks.Get().(*[]uint8)
	if m == nil || cap(*m) < n {
		m = new([]uint8)
		*m = make([]uint8, n)
	}
	*m = (*m)[:n]
	return m
}

// keep keeps a mask for later runs, unless it is nil or large.
func (w *Watchdog) keep(mask *[]uint8) {
	if mask != nil && cap(*mask) <= keepPixels {
		w.masks.Put(mask)
	}
}

// segment turns a panic of the model into an error.
func (w *Watchdog) segment(ctx context.Context, m Model, slice *image.Gray, r *run) (said *model.Judgement, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the model: %v", p)
			w.logger.Error("the model failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
		}
	}()
	var scores []uint8
	if r.scores != nil {
		scores = *r.scores
	}
	return segmentation.Detail(ctx, m, slice, *r.mask, scores)
}

// limit is how long a run may take.
func (g *guarded) limit() time.Duration {
	if limit := time.Duration(g.w.limit.Load()); limit > 0 {
		return limit
	}
	return max(leastLimit, multiple*g.opening)
}

type end int

const (
	came end = iota
	calledOff
	hung
)

// wait waits for a run. The limit passes in steps: what passes while the process is
// stopped is one of them at most.
func (w *Watchdog) wait(ctx context.Context, ended <-chan struct{}, limit time.Duration) end {
	timer := time.NewTimer(limit / steps)
	defer timer.Stop()
	for range steps {
		select {
		case <-ended:
			return came
		case <-timer.C:
			timer.Reset(limit / steps)
		case <-ctx.Done():
			timer.Reset(grace)
			select {
			case <-ended:
				return came
			case <-timer.C:
				return calledOff
			}
		}
	}
	return hung
}

// hang counts a run that is left behind, until it comes back.
func (w *Watchdog) hang(ended <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hung++
	w.left++
	now := time.Now()
	enough := w.hung > 1 && now.Sub(w.last) < again || w.left > maxLeft
	w.last = now
	w.logger.Error("the model hangs: the run is left behind, and the model opened anew", zap.Uint64("hung", w.hung), zap.Int("left", w.left))
	if enough {
		select {
		case <-w.gaveUp:
		default:
			close(w.gaveUp)
		}
	}
	go func() {
		<-ended
		w.mu.Lock()
		defer w.mu.Unlock()
		w.left--
		w.logger.Info("a run of the model that was given up has come back")
	}()
}

// release ends the use of a session.
func (g *guarded) release(s *session) {
	g.mu.Lock()
	s.users--
	last := s.users == 0
	g.mu.Unlock()
	if last {
		if err := s.Close(); err != nil {
			g.w.logger.Warn("a model could not be closed", zap.Error(err))
		}
	}
}

// renew opens the model anew, in place of a session in which a run hangs. Until that
// is done the runs after it use the old one, as those beside it do.
func (g *guarded) renew(old *session) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.current != old || g.renewal {
		return
	}
	g.renewal = true
	g.renewing.Go(func() {
		next, err := g.open(g.ctx)
		if err == nil && next.Manifest().SHA256 != g.manifest.SHA256 {
			err = errors.Join(errors.New("its folder holds another version by now"), next.Close())
		}
		g.mu.Lock()
		g.renewal = false
		closed := g.current == nil
		if err == nil && !closed {
			g.current = &session{Model: next, users: 1}
		}
		g.mu.Unlock()
		switch {
		case closed && err == nil:
			_ = next.Close() // nobody knows of it
		case closed:
		case err != nil:
			g.w.logger.Error("the model could not be opened anew, and the session in which it hangs stays", zap.Error(err))
		default:
			g.w.logger.Info("the model is opened anew")
			g.release(old)
		}
	})
}

// Close lets go of the model when the runs in progress have come back; it waits for
// one that is being opened only, and not long.
func (g *guarded) Close() error {
	g.mu.Lock()
	last := g.current
	g.current = nil
	g.mu.Unlock()
	if last == nil {
		return nil
	}
	g.cancel()
	opened := make(chan struct{})
	go func() { g.renewing.Wait(); close(opened) }()
	select {
	case <-opened:
	case <-time.After(grace): // it hangs, too
	}
	g.release(last)
	return nil
}
