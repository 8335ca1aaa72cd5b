package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/request"
)

// Outcome is what became of a request.
type Outcome struct {
	Result request.Result
	// Mask is the encoded mask, nil where Result.Status is failed. It is valid
	// until the function that took the outcome returns.
	Mask []byte
}

// Submit queues a request. ctx bounds the wait to be accepted, which takes time
// only where the queue does. done is called exactly once, by a worker, or before
// Submit returns where the request is refused. It should return soon: the worker
// waits for it.
func (e *Engine) Submit(ctx context.Context, from Requester, r request.Request, done func(Outcome)) {
	e.submit(ctx, e.count.Add(1), from, r, done)
}

// SubmitDocument parses a request document and submits it.
func (e *Engine) SubmitDocument(ctx context.Context, from Requester, document []byte, done func(Outcome)) {
	number := e.count.Add(1)
	r, err := request.Parse(document)
	if err != nil {
		e.refuse(number, r.ID, err, done)
		return
	}
	e.submit(ctx, number, from, r, done)
}

// Refuse reports a request that could not even be read, and so has no document,
// to status and log.
func (e *Engine) Refuse(err error) { e.refuse(e.count.Add(1), "", err, func(Outcome) {}) }

func (e *Engine) submit(ctx context.Context, number uint64, from Requester, r request.Request, done func(Outcome)) {
	j := &Job{Number: number, From: from, Request: r, Accepted: time.Now()}
	j.done, j.received = done, make(chan struct{})
	e.busy.Add(1)
	if err := e.queue.Accept(ctx, j); err != nil {
		e.busy.Add(-1)
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

// work is the life of a worker.
func (e *Engine) work() {
	w := worker{e: e}
	for j := e.intake.next(); j != nil; j = e.intake.next() {
		e.queue.Started(j)
		o, err := w.attempt(j)
		e.finish(j, o, err)
		w.trim()
	}
}

// finish answers a job and tells of it. Only the first call for a job does.
func (e *Engine) finish(j *Job, o Outcome, err error) {
	if !e.intake.answer(j) {
		return
	}
	if failure := e.queue.Finish(e.ctx, j, o.Result); failure != nil {
		e.deps.Logger.Error("an answer could not be stored", zap.Uint64("request", j.Number), zap.Error(failure))
	}
	// The answer first: somebody waits for it.
	j.done(o)
	j.setup.release()
	e.busy.Add(-1)
	<-j.received
	e.report(j.Number, o.Result, err)
}

// attempt works on one request; neither an error nor a panic gets past it. The
// outcome is complete in any case; the error is for the report.
func (w *worker) attempt(j *Job) (o Outcome, err error) {
	e := w.e
	defer func() {
		if p := recover(); p != nil {
			e.deps.Logger.Error("request failed by a fault of the component", zap.Uint64("request", j.Number), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			o = e.failed(j.Request.ID, err)
		}
	}()
	if e.ctx.Err() != nil {
		return o, errStopping(nil)
	}
	if j.err != nil {
		return o, j.err
	}
	ctx, cancel := context.WithTimeout(e.ctx, e.deps.Timeout)
	defer cancel()
	o, err = w.process(ctx, j)
	switch {
	case err == nil:
	case e.ctx.Err() != nil:
		err = errStopping(err)
	case ctx.Err() != nil:
		err = request.NewError(request.CodeInternal, "the request took too long", err)
	}
	return o, err
}

// failed is the answer to a request that met err.
func (e *Engine) failed(id string, err error) Outcome {
	r := request.Failed(id, err)
	e.sign(&r, e.Model())
	return Outcome{Result: r}
}

// sign puts time, thing and model on a result that is sent for the first time.
func (e *Engine) sign(r *request.Result, model request.Model) {
	r.Model, r.Thing, r.Time, r.Attempt = &model, e.deps.Thing, time.Now().UTC(), 1
}

// report tells status and log what became of a request.
func (e *Engine) report(number uint64, r request.Result, err error) {
	if err == nil {
		e.status(request.Status{Message: request.MessageImageProcessed, State: e.state(), Request: number})
		e.deps.Logger.Info("image processed", zap.Uint64("request", number),
			zap.Float64("inferenceMs", r.Timings.Inference), zap.Float64("totalMs", r.Timings.Total))
		return
	}
	failure := request.AsError(err)
	e.status(request.Status{Message: request.ErrorMessage(failure.Summary()), State: e.state(), Request: number, Code: failure.Code})
	e.deps.Logger.Warn("request failed", zap.Uint64("request", number), zap.String("code", string(failure.Code)))
	e.deps.Logger.Debug("request failed, in detail", zap.Uint64("request", number), zap.String("id", r.ID), zap.String("cause", detail(err)))
}

// refuse answers and reports a request that is not worked on.
func (e *Engine) refuse(number uint64, id string, err error, done func(Outcome)) {
	o := e.failed(id, err)
	done(o)
	e.report(number, o.Result, err)
}
