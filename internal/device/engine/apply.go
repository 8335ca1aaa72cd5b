package engine

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
)

// Part is something beside the engine that follows the configuration, such as a
// listener or a subscription.
type Part interface {
	// Prepare gets ready for next and leaves what runs as it is. The error, best
	// a *PartError, says why next cannot be used. Otherwise exactly one of the
	// functions of the Change is called soon after.
	Prepare(ctx context.Context, next config.Config) (Change, error)
}

// Change is a change that was prepared. A nil function does nothing.
type Change struct {
	Commit func() // go over to what was prepared; it cannot fail
	Abort  func() // let go of what was prepared
}

// ErrClosed says that the engine is closed or closing.
var ErrClosed = errors.New("the engine is closed")

// Attach has a part follow the configuration: the one in effect at once, and the
// next ones with Apply.
func (e *Engine) Attach(ctx context.Context, p Part) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	current := e.acquire()
	if current == nil {
		return ErrClosed
	}
	defer current.release()
	change, err := p.Prepare(ctx, current.cfg)
	if err != nil {
		return err
	}
	run(change.Commit)
	e.parts = append(e.parts, p)
	return nil
}

// Apply goes over to another configuration: it opens and tests whatever is
// different, and only when all of that works lets go of what it replaces. No
// request is lost, refused or held up meanwhile. Where next cannot be used the
// error is a *PartError, or the context's, and nothing has changed.
func (e *Engine) Apply(ctx context.Context, next config.Config) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	old := e.acquire()
	if old == nil {
		return ErrClosed
	}
	defer old.release()
	changes := config.Diff(old.cfg, next)
	if !changes.Any() {
		return nil
	}
	commit, abort, err := e.models.Prepare(ctx, next)
	if err != nil {
		return modelError(err)
	}
	prepared := []Change{{Commit: commit, Abort: abort}}
	replacement, err := newSetup(next, old, e.deps)
	if err != nil {
		abort()
		return err
	}
	for _, p := range e.parts {
		change, err := p.Prepare(ctx, next)
		if err != nil {
			for _, c := range prepared {
				run(c.Abort)
			}
			replacement.release()
			return err
		}
		prepared = append(prepared, change)
	}

	e.mu.Lock()
	e.current = replacement
	e.mu.Unlock()
	old.release() // the engine's hold; that of this function stays
	e.queue.Configure(next)
	e.budget.SetLimit(next.Images.TotalBytes)
	e.dog.SetLimit(next.Service.Inference)
	e.startWorkers(next.Service.Workers)
	for _, c := range prepared {
		run(c.Commit)
	}
	e.deps.Logger.Info("configuration applied", zap.Strings("changed", changes.Groups()))
	return nil
}

func run(f func()) {
	if f != nil {
		f()
	}
}
