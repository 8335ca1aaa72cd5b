package engine

import (
	"context"
	"fmt"

	"github.com/brainseg/brainseg/internal/device/failure"
)

// Stage is how far a request has come.
type Stage int

// The stages of a request.
const (
	StageUnknown  Stage = iota // never accepted, or forgotten
	StageWaiting               // accepted
	StageInWork                // has a worker, or is about to
	StageAnswered              // has an answer
)

// Keeps reports whether requests and their answers are kept on disk.
func (e *Engine) Keeps() bool { return e.storing != nil }

// Lookup tells how far the request of an id has come and, where it is answered, the
// document of its answer, byte for byte as it is stored. In memory nothing is known.
func (e *Engine) Lookup(_ context.Context, id string) (Stage, []byte, error) {
	stage, document, err := e.queue.Lookup(id)
	if err != nil {
		return StageUnknown, nil, fmt.Errorf("look up a request: %w", err)
	}
	return stage, document, nil
}

// Forget withdraws the request of an id, or forgets its answer: the id is free. One
// that waits is answered with request.CodeCancelled; where that answer has to be
// delivered, to other components, it is kept as any other. The error is
// ErrUnknownRequest or ErrInWork where that is so.
func (e *Engine) Forget(ctx context.Context, id string) error {
	o := e.failed(id, failure.ErrWithdrawn)
	j, tell, err := e.queue.Forget(ctx, id, o.Result)
	if err != nil {
		return fmt.Errorf("forget a request: %w", err)
	}
	if j == nil {
		return nil
	}
	j.Claim.Release()
	if j.received != nil { // of this process
		e.busy.Add(-1)
		select { // the status tells of it first
		case <-j.received:
		case <-ctx.Done():
		}
	}
	for _, done := range tell {
		done(o)
	}
	if j.received != nil {
		e.report(j.Number, o.Result, failure.ErrWithdrawn)
	}
	if j.From.Way != WayIPC {
		return e.Forget(ctx, id)
	}
	return nil
}
