package engine

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/intake"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/slicejob"
	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// taken is a job on its way from the queue to its answer.
type taken = intake.Taken[*setup]

// admit readies a job that the queue has handed out: one of an earlier process has
// no number yet, and an image that was on disk no room. Scans go to their lane.
func (e *Engine) admit(j *job.Job) (*setup, bool) {
	if j.Received == nil {
		e.busy.Add(1)
		j.Number, j.Received = e.count.Add(1), make(chan struct{})
		close(j.Received)
		e.deps.Watch.Accepted(j.Number)
	}
	if n := len(j.Request.Image.Inline); n > 0 && j.Hold == nil {
		j.Hold, _ = e.budget.Wait(e.ctx, int64(n)) // without room only where the engine ends
	}
	s := e.begin(j)
	if j.Request.Scan != nil {
		e.takeScan(&taken{Job: j, Setup: s})
		return nil, false
	}
	e.slices.Begin()
	return s, true
}

// work is the life of a worker.
func (e *Engine) work() {
	w := slicejob.NewWorker(&e.writes)
	for j := e.intake.Next(); j != nil; j = e.intake.Next() {
		e.queue.Started(j.Job)
		o, err := e.attempt(w, j)
		e.complete(j, o, err)
		w.Trim()
	}
}

// complete has a job of a worker answered. The worker waits for no disk.
func (e *Engine) complete(j *taken, o job.Outcome, err error) {
	if e.finishing == nil {
		e.finish(j, o, err)()
		return
	}
	o.Mask, o.Overlay = bytes.Clone(o.Mask), bytes.Clone(o.Overlay) // the worker's
	e.finishing <- struct{}{}
	finish := e.finish(j, o, err)
	e.wg.Go(func() { finish(); <-e.finishing })
}

// finish gives the answer to a job its place in their order. What it returns waits
// until the answer is stored, and tells of it.
func (e *Engine) finish(j *taken, o job.Outcome, err error) func() {
	if o.Result.Mask == nil && o.Result.Scan == nil {
		j.Claim.Release() // nothing was written
	}
	if j.Request.Scan == nil {
		e.slices.End()
	}
	var stored func(context.Context) ([]byte, []func(job.Outcome), error)
	stopping := err != nil && request.AsError(err).Code == request.CodeStopping
	if !stopping {
		stored = e.queue.Finish(j.Job, o.Result)
	}
	return func() {
		<-j.Received
		if j.Request.Output.Discard && j.Done != nil && !stopping {
			j.Done(o) // it keeps nothing for later, so it waits for no disk
		}
		var tell []func(job.Outcome)
		if stopping {
			tell = e.queue.Return(j.Job)
		} else {
			var unstored error
			if o.Document, tell, unstored = stored(e.ctx); unstored != nil {
				e.deps.Logger.Error("an answer could not be stored, the request is worked on again after the next start", zap.Uint64("request", j.Number), zap.Error(unstored))
				stopping, err = true, failure.Stopping(unstored)
				o = e.failed(j.Request.ID, err)
			}
		}
		o.Claim = j.Claim
		// The answer first: somebody waits for it.
		for _, done := range tell {
			done(o)
		}
		if len(tell) == 0 && j.From.Way != job.WayIPC { // nobody waits for it, and nothing is delivered
			j.Claim.Release()
		}
		j.Hold.Release()
		j.Setup.Release()
		e.busy.Add(-1)
		if stopping && e.finishing != nil {
			e.deps.Logger.Info("request stays in the queue", zap.Uint64("request", j.Number))
			return
		}
		e.report(j.Number, o.Result, err)
	}
}

// attempt works on one request of a slice. The outcome is complete in any case; the
// error is for the report.
func (e *Engine) attempt(w *slicejob.Worker, j *taken) (o job.Outcome, err error) {
	switch {
	case e.ctx.Err() != nil:
		err = failure.Stopping(nil)
	case j.Err != nil:
		err = j.Err
	case j.Claim.Lost():
		err = failure.ErrClaimed
	default:
		if o, err = e.segment(w, j); err != nil && e.ctx.Err() != nil {
			err = failure.Stopping(err)
		}
	}
	if err != nil && o.Result.Mask == nil {
		o = e.failed(j.Request.ID, err)
	}
	return o, err
}

// segment has a worker segment the slice of a job.
func (e *Engine) segment(w *slicejob.Worker, j *taken) (job.Outcome, error) {
	s, m, kept := j.Setup, e.models.Use(), j.Claim
	defer m.Release()
	s.Retain()
	o, err := w.Run(e.ctx, slicejob.Job{
		Number: j.Number, Request: j.Request, Image: j.Image, Accepted: j.Accepted, Fetch: j.Fetch,
		Limits: s.limits, Network: m.Network, Palette: m.Palette,
		Decoded: func() {
			j.Image, j.Request.Image.Inline = nil, nil // the garbage collector's
			j.Hold.Release()
		},
		Write: s.writer(j.Request), Timeout: e.deps.Timeout,
		Done: func(left bool) {
			if left {
				kept.Release()
			}
			s.Release()
		},
		Logger: e.deps.Logger,
	})
	if errors.Is(err, slicejob.ErrLeft) {
		j.Claim = nil // until what was left behind comes back
	}
	e.sign(&o.Result, m.Identity)
	return o, err
}

// failed is the answer to a request that met err.
func (e *Engine) failed(id string, err error) job.Outcome {
	r := request.Failed(id, err)
	e.sign(&r, e.Model())
	return job.Outcome{Result: r}
}

// sign puts time, thing and model on a result that is sent for the first time.
func (e *Engine) sign(r *request.Result, model request.Model) {
	r.Model, r.Thing, r.Time, r.Attempt = &model, e.deps.Thing, time.Now().UTC(), 1
}

// Stuck counts the reads and writes that were given up and have not come back.
func (e *Engine) Stuck() int { return e.intake.Stuck() + e.writes.Stuck() }

// report tells status and log what became of a request.
func (e *Engine) report(number uint64, r request.Result, err error) {
	e.deps.Watch.Answered(number, r)
	if err == nil {
		e.status(request.Status{Message: request.MessageImageProcessed, State: e.State(), Request: number})
		e.deps.Logger.Info("image processed", zap.Uint64("request", number),
			zap.Float64("inferenceMs", r.Timings.Inference), zap.Float64("totalMs", r.Timings.Total))
		return
	}
	told := request.AsError(err)
	e.status(request.Status{Message: request.ErrorMessage(told.Summary()), State: e.State(), Request: number, Code: told.Code})
	e.deps.Logger.Warn("request failed", zap.Uint64("request", number), zap.String("code", string(told.Code)))
	e.deps.Logger.Debug("request failed, in detail", zap.Uint64("request", number), zap.String("id", r.ID), zap.String("cause", detail(err)))
}

// refuse answers and reports a request that is not worked on.
func (e *Engine) refuse(number uint64, id string, err error, done func(job.Outcome)) {
	o := e.failed(id, err)
	done(o)
	e.report(number, o.Result, err)
}

// detail tells everything of an error, for the log at debug level.
func detail(err error) string {
	var stored *fault.Error
	if errors.As(err, &stored) {
		return stored.Detail()
	}
	return err.Error()
}
