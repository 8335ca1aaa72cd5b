package engine

import (
	"context"
	"errors"
	"time"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scanjob"
)

// scanTimeout bounds the work on one scan: the largest one takes some minutes on a
// fast device.
const scanTimeout = 2 * time.Hour

var (
	errCancelled = request.NewError(request.CodeCancelled, "the scan was called off", nil)
	errNoScan    = request.NewError(request.CodeCancelled, "there is no scan with this id that could be called off: it is answered, or has not come yet", nil)
)

// takeScan puts a scan into the lane for scans.
func (e *Engine) takeScan(j *taken) {
	e.lane.Put(e.scans, j.From.Way, j.From.Client, j.Request.ID, func(ctx context.Context) {
		e.queue.Started(j.Job)
		o, err := e.attemptScan(ctx, j)
		e.finish(j, o, err)()
	})
}

// Cancel calls off the scan with an id, and any other request with it that nobody
// has begun with: it is answered as cancelled. It is false where there is none.
func (e *Engine) Cancel(ctx context.Context, id string) bool {
	if e.lane.Cancel(id) > 0 {
		return true
	}
	stage, _, err := e.Lookup(ctx, id)
	return err == nil && stage == job.StageWaiting && e.Forget(ctx, id) == nil
}

// attemptScan works on a scan, as attempt on a slice.
func (e *Engine) attemptScan(ctx context.Context, j *taken) (o job.Outcome, err error) {
	if j.Poisoned {
		return e.failed(j.Request.ID, failure.ErrPoisoned), failure.ErrPoisoned
	}
	if j.Claim.Lost() {
		return e.failed(j.Request.ID, failure.ErrClaimed), failure.ErrClaimed
	}
	ctx, cancel := context.WithTimeout(ctx, scanTimeout)
	defer cancel()
	began := time.Now()
	s, m, kept := j.Setup, e.models.Use(), j.Claim
	s.Retain()
	roots := e.deps.Spool.And(s.cfg.Images.Roots)
	if j.From.Way == job.WayDICOM { // received series lie in a folder of their own
		roots = []string{s.cfg.DICOM.Folder}
	}
	write := s.writer(j.Request)
	var inMemory scanjob.Kept // instead of written results
	if j.Request.Output.Discard {
		write = func(_ context.Context, _ string, data []byte) (*request.File, error) {
			return inMemory.Write(data), nil
		}
	}
	o.Result, err = scanjob.Job{
		Request: j.Request, Roots: roots, Network: m.Network, Workers: s.cfg.Service.Workers,
		Slices: &e.slices, Version: e.deps.Version, Logger: e.deps.Logger,
		Fetch: func(ctx context.Context, location, folder string) (string, error) {
			path, err := s.store.it.Fetch(ctx, location, folder)
			return path, failure.Read(err)
		},
		Write: write,
		Progress: func(share float64) {
			e.status(request.Status{Message: request.MessageScanInWork, State: request.StateBusy, Request: j.Number, Progress: share})
		},
		Done: func(left bool) {
			if left {
				kept.Release()
			}
			s.Release()
			m.Release()
		},
	}.Run(ctx)
	err = failure.Segment(err)
	if errors.Is(err, scanjob.ErrLeft) {
		j.Claim = nil // until what was left behind comes back
	}
	switch {
	case err == nil:
		o.Files = inMemory.Files
		o.Result.Timings.Queue, o.Result.Timings.Total = request.Milliseconds(began.Sub(j.Accepted)), request.Milliseconds(time.Since(j.Accepted))
		e.sign(&o.Result, m.Identity)
		return o, nil
	case e.scans.Err() != nil:
		err = failure.Stopping(err)
	case errors.Is(context.Cause(ctx), scanjob.ErrCancelled):
		err = errCancelled
	case ctx.Err() != nil:
		err = request.NewError(request.CodeInternal, "the scan took too long", err)
	}
	return e.failed(j.Request.ID, err), err
}
