package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Submit queues a request. ctx bounds the wait for a place among those that are
// being stored. done is called exactly once with the answer, before Submit returns
// or at any time after it, and should return soon: others wait for it. Where the
// request asks for an acknowledgement, done is called once more before that, as soon
// as the request is accepted, with request.StatusAccepted.
//
// Where the queue is on disk, its requests keep their ids for as long as their
// answers: the same request again gets the answer of the first, another one of the
// same id request.CodeConflict. Answers to requests of job.WayIPC are delivered by the
// queue, over restarts, instead of being given to done.
func (e *Engine) Submit(ctx context.Context, from job.Requester, r request.Request, done func(job.Outcome)) {
	e.submit(ctx, e.count.Add(1), from, r, nil, done)
}

// Hold makes room for an image of that many bytes, before it is read. The error
// is request.CodeBusy where there is none. The hold must be released, or
// submitted, which releases it in time.
func (e *Engine) Hold(bytes int64) (*budget.Hold, error) {
	hold, room := e.budget.Take(bytes)
	if !room {
		return nil, failure.ErrNoRoom
	}
	return hold, nil
}

// SubmitHeld submits a request whose image is what the hold is for.
func (e *Engine) SubmitHeld(ctx context.Context, from job.Requester, r request.Request, hold *budget.Hold, done func(job.Outcome)) {
	e.submit(ctx, e.count.Add(1), from, r, hold, done)
}

// SubmitDocument parses a request document and submits it.
func (e *Engine) SubmitDocument(ctx context.Context, from job.Requester, document []byte, done func(job.Outcome)) {
	number := e.count.Add(1)
	r, err := request.Parse(document)
	if err != nil {
		e.refuse(number, r.ID, err, done)
		return
	}
	if r.Cancel {
		if !e.Cancel(ctx, r.ID) {
			e.refuse(number, r.ID, errNoScan, done)
		}
		return
	}
	e.submit(ctx, number, from, r, nil, done)
}

// TurnAway answers a request document for which there is no time: as busy, where
// it can be parsed at all. It never waits.
func (e *Engine) TurnAway(document []byte, done func(job.Outcome)) {
	number := e.count.Add(1)
	r, err := request.Parse(document)
	if err == nil {
		err = acceptError(job.ErrQueueFull)
	}
	e.refuse(number, r.ID, err, done)
}

// Refuse reports a request that could not even be read, and so has no document,
// to status and log.
func (e *Engine) Refuse(err error) { e.refuse(e.count.Add(1), "", err, func(job.Outcome) {}) }

func (e *Engine) submit(ctx context.Context, number uint64, from job.Requester, r request.Request, hold *budget.Hold, done func(job.Outcome)) {
	j := &job.Job{Key: r.ID, Number: number, From: from, Request: r, Accepted: time.Now(), Done: answerOnce(done)}
	if j.Received = make(chan struct{}); j.Key == "" {
		j.Key = "\x00" + rand.Text() // as no id is
	}
	if n := len(r.Image.Inline); hold == nil && n > 0 {
		var room bool
		if hold, room = e.budget.Take(int64(n)); !room {
			e.refuse(number, r.ID, failure.ErrNoRoom, done)
			return
		}
	}
	if e.storing == nil {
		j.Hold = hold
	} else if !e.mayStore(ctx) {
		hold.Release()
		e.refuse(number, r.ID, failure.Stopping(context.Cause(ctx)), done)
		return
	}
	stored, err := e.place(j)
	if err != nil {
		if e.storing != nil {
			<-e.storing
		}
		hold.Release()
		e.refuse(number, r.ID, acceptError(err), done)
		return
	}
	accept := func() {
		defer e.wg.Done()
		receipt, err := stored(e.ctx)
		if err == nil && !receipt.Known {
			e.accepted(j)
			return
		}
		e.busy.Add(-1)
		hold.Release()
		j.Claim.Release()
		e.decline(j, receipt, err)
		close(j.Received) // nobody waits for a status of it
	}
	if e.storing == nil {
		accept()
		return
	}
	go func() {
		accept()
		hold.Release() // the image is on disk
		<-e.storing
	}()
}

// mayStore waits for a place among those that store, until ctx ends. A place that is
// free is taken all the same: the request has come, though its topic was just left.
func (e *Engine) mayStore(ctx context.Context) bool {
	select {
	case e.storing <- struct{}{}:
		return true
	default:
	}
	select {
	case e.storing <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// answerOnce has done called with one answer, whoever comes first at the end of the
// engine; acknowledgements pass.
func answerOnce(done func(job.Outcome)) func(job.Outcome) {
	if done == nil {
		return nil
	}
	var once sync.Once
	return func(o job.Outcome) {
		if o.Result.Status == request.StatusAccepted {
			done(o)
			return
		}
		once.Do(func() { done(o) })
	}
}

// place has a job claim its outputs and take its place among the others. What it
// returns waits until the job is stored; then e.wg.Done is to be called.
func (e *Engine) place(j *job.Job) (stored func(context.Context) (job.Receipt, error), err error) {
	e.submitting.Lock()
	defer e.submitting.Unlock()
	if e.closed {
		return nil, job.ErrClosed
	}
	if !e.queue.Knows(j.Key) { // a request that comes again has its outputs already
		if names := claim.Names(j.Request); len(names) > 0 {
			var free bool
			if j.Claim, free = e.claims.Take(j.Key, names, j.Request.Output.Overwrite); !free {
				if e.storing != nil && e.claims.Own(j.Key, names) { // it is kept by its id, but for a moment
					return nil, failure.ErrBeingRefused
				}
				return nil, failure.ErrClaimed
			}
		}
	}
	e.busy.Add(1)
	e.wg.Add(1) // Close has not begun to wait
	return e.queue.Accept(j), nil
}

// accepted tells that a job is accepted: from now on it is not lost.
func (e *Engine) accepted(j *job.Job) {
	e.deps.Watch.Accepted(j.Number)
	e.status(request.Status{Message: request.MessageImageReceived, State: request.StateBusy, Request: j.Number})
	e.acknowledge(j)
	close(j.Received)
}

func (e *Engine) acknowledge(j *job.Job) {
	if j.Request.Acknowledge && j.Done != nil {
		r := request.Accepted(j.Request.ID)
		r.Thing, r.Time, r.Attempt = e.deps.Thing, time.Now().UTC(), 1
		j.Done(job.Outcome{Result: r})
	}
}

// decline tells what became of a job that is not accepted as a new one.
func (e *Engine) decline(j *job.Job, receipt job.Receipt, err error) {
	switch {
	case err != nil:
		e.refuse(j.Number, j.Request.ID, acceptError(err), j.Done)
	case receipt.Answer == nil:
		if !receipt.Joined || j.From.Way != job.WayIPC {
			e.acknowledge(j)
		}
	default:
		document := request.WithAttempt(receipt.Answer, 2) // at least: it is not the first time
		result, err := request.ParseResult(document)
		if err != nil {
			e.refuse(j.Number, j.Request.ID, err, j.Done)
			return
		}
		j.Done(job.Outcome{Result: result, Document: document})
	}
}

func acceptError(err error) error {
	switch {
	case errors.Is(err, job.ErrQueueFull):
		return request.NewError(request.CodeBusy, "the queue is full, try again later", err)
	case errors.Is(err, job.ErrClosed), errors.Is(err, context.Canceled):
		return failure.Stopping(err)
	}
	return err
}
