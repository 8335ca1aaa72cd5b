package intake

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/store"
)

// lagging reports whether a file system keeps somebody waiting: one grace a time
// is enough. mu is held.
func (in *Intake[S]) lagging() bool {
	for _, j := range in.taken {
		if j.source == fromFile && j.phase == reading && !j.fresh {
			return true
		}
	}
	return in.lost[fromFile] > 0
}

// launch starts the fetches for which there is a place. mu is held.
func (in *Intake[S]) launch() {
	for _, j := range in.taken {
		switch {
		case j.phase != parked:
		case in.lost[j.source] >= maxLost:
			in.settle(j, nil, failure.ErrGivenUp, false)
		case in.fetching[j.source] < maxFetching:
			in.fetching[j.source]++
			j.phase, j.began = reading, time.Now()
			j.Setup.Retain()
			var ctx context.Context
			ctx, j.cancel = context.WithCancel(in.ctx)
			go in.fetch(ctx, j, j.Setup)
		}
	}
}

// lag has a job lose its place in the order, and later the read given up.
func (in *Intake[S]) lag(j *Taken[S]) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if j.phase == fetched {
		return
	}
	if rest := in.opts.ReadTimeout - fileGrace; !j.lagged && rest > 0 {
		j.fresh, j.lagged = false, true
		j.timer.Reset(rest)
		in.changed.Broadcast()
		return
	}
	err := failure.ErrGivenUp
	if j.crowded {
		err = failure.ErrNoRoom
	}
	in.settle(j, nil, err, false)
}

// settle ends the fetch of a job that is not fetched yet, and reports whether it
// did. back tells that the read has come back. mu is held.
func (in *Intake[S]) settle(j *Taken[S], data []byte, err error, back bool) bool {
	if j.phase == fetched {
		return false
	}
	if j.phase == reading {
		in.fetching[j.source]--
		j.Fetch = time.Since(j.began)
		j.cancel()
		if !back {
			in.lost[j.source]++
		}
	}
	j.timer.Stop()
	j.phase, j.Image, j.Err = fetched, data, err
	in.changed.Broadcast()
	return true
}

// fetch reads the image of a job. It may outlive the job, for a read from a file
// system that does not answer comes back when that does; nobody waits for it.
func (in *Intake[S]) fetch(ctx context.Context, j *Taken[S], s S) {
	data, hold, err := in.read(ctx, j, s)
	s.Release() // before anybody hears of the end
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.settle(j, data, err, true) {
		j.Hold = hold
	} else {
		hold.Release()
		in.lost[j.source]--
		if !in.aborted {
			in.opts.Logger.Info("a read that was given up has come back", zap.Uint64("request", j.Number))
		}
	}
	in.launch()
}

// read reads an image once there is room for it, and turns a panic of the storage
// into an error.
func (in *Intake[S]) read(ctx context.Context, j *Taken[S], s S) (data []byte, hold *budget.Hold, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			in.opts.Logger.Error("a read failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
		}
	}()
	ref := store.Reference{Location: j.Request.Image.Location()}
	ref.Room = func(ctx context.Context, bytes int64) (err error) {
		var room bool
		if hold, room = in.opts.Budget.Take(bytes); room {
			return nil
		}
		in.crowd(j, true)
		defer in.crowd(j, false)
		hold, err = in.opts.Budget.Wait(ctx, bytes)
		return err
	}
	data, err = s.Read(ctx, ref)
	if err != nil {
		return nil, hold, failure.Read(err)
	}
	return data, hold, nil
}

// crowd notes whether a job waits for room: then it keeps nobody behind it.
func (in *Intake[S]) crowd(j *Taken[S], waits bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	j.crowded, j.fresh = waits, j.fresh && !waits
	in.changed.Broadcast()
}
