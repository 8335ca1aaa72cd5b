package slicejob

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Bounds of the writing.
const (
	maxLost    = 32                     // writes given up that may hang in the system
	writeGrace = 500 * time.Millisecond // for which a write may go on once it was called off
	hungGrace  = 1 * time.Second        // for a write to a file while another one hangs
)

// ErrLeft is of writes that are left behind: they have not come back.
var ErrLeft = fmt.Errorf("%w, and the write is left behind", failure.ErrNotWritten)

// Writes knows the writes that hang, of all workers. The zero value is ready, and
// its methods may be called concurrently.
type Writes struct {
	mu   sync.Mutex
	lost int // given up and not come back; guarded by mu
}

// Stuck counts the writes that were given up and have not come back.
func (w *Writes) Stuck() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// saving is the writing of the results of one job: on a goroutine of its own, for a
// write to a file system that does not answer heeds no context. Once it is given up,
// data and what the job was given are its own until it comes back.
type saving struct {
	*Writes
	job   *Job
	to    []string // the mask, and the overlay where one is asked for
	data  [][]byte
	ended chan struct{} // closed when the writes have come back

	written  [2]*request.File // guarded by mu
	err      error            // guarded by mu
	returned bool             // guarded by mu
	left     bool             // behind; guarded by mu
}

// save stores mask and overlay and notes them in the result. Where the storage
// does not answer in time, save leaves the writes behind, with the worker's buffers.
func (w *Worker) save(ctx context.Context, j *Job, result *request.Result) error {
	maskTo, overlayTo := j.Request.Destinations()
	s := &saving{Writes: w.writes, job: j, ended: make(chan struct{}), to: []string{maskTo}, data: [][]byte{w.mask.Bytes()}}
	if j.Request.Output.Overlay {
		s.to, s.data = append(s.to, overlayTo), append(s.data, w.overlay.Bytes())
	}
	if j.Request.Classic2018 {
		result.Bucket, result.Prefix, _ = strings.Cut(strings.TrimPrefix(maskTo, "s3://"), "/")
	}

	lost := w.writes.Stuck()
	if lost >= maxLost {
		return failure.ErrNotWritten
	}
	ctx, cancel := context.WithTimeout(ctx, j.Timeout)
	defer cancel()
	if lost > 0 && !strings.HasPrefix(maskTo, "s3://") { // one long wait at a time is enough
		ctx, cancel = context.WithTimeout(ctx, hungGrace)
		defer cancel()
	}
	go s.run(ctx)
	select {
	case <-s.ended:
	case <-ctx.Done():
		select {
		case <-s.ended:
		case <-time.After(writeGrace):
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	result.Mask, result.Overlay = s.written[0], s.written[1]
	if s.returned {
		return s.err
	}
	s.lost++
	s.left, w.lent = true, true
	return ErrLeft
}

// run writes one after the other. It may outlive the job; nobody waits for it then.
func (s *saving) run(ctx context.Context) {
	var err error
	for i := range s.to {
		var file *request.File
		if file, err = s.write(ctx, s.to[i], s.data[i]); err != nil {
			break
		}
		s.mu.Lock()
		s.written[i] = file
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.err, s.returned = err, true
	left := s.left
	s.mu.Unlock()
	close(s.ended)
	if !left {
		return
	}
	if s.job.Done != nil {
		s.job.Done(true)
	}
	s.mu.Lock()
	s.lost--
	s.mu.Unlock()
	s.job.Logger.Info("a write that was given up has come back", zap.Uint64("request", s.job.Number))
}

// write writes one file, and turns a panic of the storage into an error.
func (s *saving) write(ctx context.Context, to string, data []byte) (file *request.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			s.job.Logger.Error("a write failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
		}
	}()
	return s.job.Write(ctx, to, data)
}
