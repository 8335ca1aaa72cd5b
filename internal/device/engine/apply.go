package engine

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
)

// ErrClosed says that the engine is closed or closing.
var ErrClosed = errors.New("the engine is closed")

// Attach has a part follow the configuration: the one in effect at once, and the
// next ones with Apply.
func (e *Engine) Attach(ctx context.Context, p parts.Part) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	current := e.acquire()
	if current == nil {
		return ErrClosed
	}
	defer current.Release()
	change, err := parts.Prepare(ctx, current.cfg, p)
	if err != nil {
		return err
	}
	change.Commit()
	e.parts = append(e.parts, p)
	return nil
}

// Apply goes over to another configuration: it opens and tests whatever is
// different, and only when all of that works lets go of what it replaces. No
// request is lost, refused or held up meanwhile. Where next cannot be used the
// error is a *parts.Error, or the context's, and nothing has changed.
func (e *Engine) Apply(ctx context.Context, next config.Config) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	old := e.acquire()
	if old == nil {
		return ErrClosed
	}
	defer old.Release()
	changes := config.Diff(old.cfg, next)
	if !changes.Any() {
		return nil
	}
	commit, abort, err := e.models.Prepare(ctx, next)
	if err != nil {
		return modelError(err)
	}
	replacement, err := newSetup(next, old, e.deps)
	if err != nil {
		abort()
		return err
	}
	change, err := parts.Prepare(ctx, next, e.parts...)
	if err != nil {
		abort()
		replacement.Release()
		return err
	}

	e.mu.Lock()
	e.current = replacement
	e.claims.SetRoot(next.Output.Root) // those of requests that wait: they are worked with it
	e.mu.Unlock()
	old.Release() // the engine's hold; that of this function stays
	e.queue.Configure(next)
	e.budget.SetLimit(next.Images.TotalBytes)
	e.dog.SetLimit(next.Service.Inference)
	e.startWorkers(next.Service.Workers)
	commit()
	change.Commit()
	e.deps.Logger.Info("configuration applied", zap.Strings("changed", changes.Groups()))
	return nil
}
