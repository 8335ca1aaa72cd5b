package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/request"
)

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

// finish answers a job and tells of it.
func (e *Engine) finish(j *Job, o Outcome, err error) {
	if failure := e.queue.Finish(e.ctx, j, o.Result); failure != nil {
		e.deps.Logger.Error("an answer could not be stored", zap.Uint64("request", j.Number), zap.Error(failure))
	}
	if o.Claim = j.claim; o.Result.Mask == nil && o.Result.Scan == nil {
		j.claim.Release() // nothing was written
	}
	if j.Request.Scan == nil {
		e.slices.End()
	}
	// The answer first: somebody waits for it.
	j.done(o)
	j.hold.Release()
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
		if err != nil && o.Result.Mask == nil {
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
	case ctx.Err() != nil && request.AsError(err).Code != request.CodeStorageUnavailable:
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
		e.status(request.Status{Message: request.MessageImageProcessed, State: e.State(), Request: number})
		e.deps.Logger.Info("image processed", zap.Uint64("request", number),
			zap.Float64("inferenceMs", r.Timings.Inference), zap.Float64("totalMs", r.Timings.Total))
		return
	}
	failure := request.AsError(err)
	e.status(request.Status{Message: request.ErrorMessage(failure.Summary()), State: e.State(), Request: number, Code: failure.Code})
	e.deps.Logger.Warn("request failed", zap.Uint64("request", number), zap.String("code", string(failure.Code)))
	e.deps.Logger.Debug("request failed, in detail", zap.Uint64("request", number), zap.String("id", r.ID), zap.String("cause", detail(err)))
}

// refuse answers and reports a request that is not worked on.
func (e *Engine) refuse(number uint64, id string, err error, done func(Outcome)) {
	o := e.failed(id, err)
	done(o)
	e.report(number, o.Result, err)
}
