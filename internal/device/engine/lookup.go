package engine

import (
	"context"
	"fmt"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
)

// Keeps reports whether requests and their answers are kept on disk.
func (e *Engine) Keeps() bool { return e.storing != nil }

// Lookup tells how far the request of an id has come and, where it is answered, the
// document of its answer, byte for byte as it is stored. In memory nothing is known.
func (e *Engine) Lookup(_ context.Context, id string) (job.Stage, []byte, error) {
	stage, document, err := e.queue.Lookup(id)
	if err != nil {
		return job.StageUnknown, nil, fmt.Errorf("look up a request: %w", err)
	}
	return stage, document, nil
}

// Forget withdraws the request of an id, or forgets its answer: the id is free. One
// that waits is answered with request.CodeCancelled; where that answer has to be
// delivered, to other components, it is kept as any other. The error is
// job.ErrUnknownRequest or job.ErrInWork where that is so.
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
	if j.Received != nil { // of this process
		e.busy.Add(-1)
		select { // the status tells of it first
		case <-j.Received:
		case <-ctx.Done():
		}
	}
	for _, done := range tell {
		done(o)
	}
	if j.Received != nil {
		e.report(j.Number, o.Result, failure.ErrWithdrawn)
	}
	if j.From.Way != job.WayIPC {
		return e.Forget(ctx, id)
	}
	return nil
}
