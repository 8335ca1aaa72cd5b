package engine

import (
	"context"
	"errors"
	"time"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Outcome is what became of a request.
type Outcome struct {
	Result request.Result
	// Mask is the encoded mask, nil where there is none. It is valid
	// until the function that took the outcome returns.
	Mask []byte
	// Claim keeps the files that Result names from other requests. Whoever takes
	// the outcome must release it when the result is on its way.
	Claim *claim.Claim
}

// Submit queues a request. ctx bounds the wait to be accepted, which takes time
// only where the queue does. done is called exactly once, by a worker, or before
// Submit returns where the request is refused. It should return soon: the worker
// waits for it.
func (e *Engine) Submit(ctx context.Context, from Requester, r request.Request, done func(Outcome)) {
	e.submit(ctx, e.count.Add(1), from, r, nil, done)
}

// Hold makes room for an image of that many bytes, before it is read. The error
// is request.CodeBusy where there is none. The hold must be released, or
// submitted, which releases it in time.
func (e *Engine) Hold(bytes int64) (*budget.Hold, error) {
	hold, room := e.budget.Take(bytes)
	if !room {
		return nil, errNoRoom
	}
	return hold, nil
}

// SubmitHeld submits a request whose image is what the hold is for.
func (e *Engine) SubmitHeld(ctx context.Context, from Requester, r request.Request, hold *budget.Hold, done func(Outcome)) {
	e.submit(ctx, e.count.Add(1), from, r, hold, done)
}

// SubmitDocument parses a request document and submits it.
func (e *Engine) SubmitDocument(ctx context.Context, from Requester, document []byte, done func(Outcome)) {
	number := e.count.Add(1)
	r, err := request.Parse(document)
	if err != nil {
		e.refuse(number, r.ID, err, done)
		return
	}
	if r.Cancel {
		if !e.Cancel(r.ID) {
			e.refuse(number, r.ID, errNoScan, done)
		}
		return
	}
	e.submit(ctx, number, from, r, nil, done)
}

// TurnAway answers a request document for which there is no time: as busy, where
// it can be parsed at all. It never waits.
func (e *Engine) TurnAway(document []byte, done func(Outcome)) {
	number := e.count.Add(1)
	r, err := request.Parse(document)
	if err == nil {
		err = acceptError(ErrQueueFull)
	}
	e.refuse(number, r.ID, err, done)
}

// Refuse reports a request that could not even be read, and so has no document,
// to status and log.
func (e *Engine) Refuse(err error) { e.refuse(e.count.Add(1), "", err, func(Outcome) {}) }

func (e *Engine) submit(ctx context.Context, number uint64, from Requester, r request.Request, hold *budget.Hold, done func(Outcome)) {
	j := &Job{Number: number, From: from, Request: r, Accepted: time.Now()}
	j.done, j.received, j.hold = done, make(chan struct{}), hold
	if n := len(r.Image.Inline); hold == nil && n > 0 {
		var room bool
		if j.hold, room = e.budget.Take(int64(n)); !room {
			e.refuse(number, r.ID, errNoRoom, done)
			return
		}
	}
	if names := claim.Names(e.Config().Output.Root, r); len(names) > 0 {
		var free bool
		if j.claim, free = e.claims.Take(names, r.Output.Overwrite); !free {
			j.hold.Release()
			e.refuse(number, r.ID, errClaimed, done)
			return
		}
	}
	e.busy.Add(1)
	if err := e.queue.Accept(ctx, j); err != nil {
		e.busy.Add(-1)
		j.hold.Release()
		j.claim.Release()
		e.refuse(number, r.ID, acceptError(err), done)
		return
	}
	e.status(request.Status{Message: request.MessageImageReceived, State: request.StateBusy, Request: number})
	close(j.received)
}

func acceptError(err error) error {
	switch {
	case errors.Is(err, ErrQueueFull):
		return request.NewError(request.CodeBusy, "the queue is full, try again later", err)
	case errors.Is(err, ErrClosed):
		return errStopping(err)
	}
	return err
}
