package engine

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
)

// Bounds of the writing.
const (
	maxLost    = 32                     // writes given up that may hang in the system
	writeGrace = 500 * time.Millisecond // for which a write may go on once it was called off
	hungGrace  = 1 * time.Second        // for a write to a file while another one hangs
)

// writes are those that hang.
type writes struct {
	mu   sync.Mutex
	lost int // given up and not come back; guarded by mu
}

// saving is the storing of the results of one request: on a goroutine of its own,
// for a write to a file system that does not answer heeds no context. Once it is
// given up, setup, claim and data are its own until it comes back.
type saving struct {
	e       *Engine
	number  uint64 // of the request
	setup   *setup
	options store.WriteOptions
	to      []string // the mask, and the overlay where one is asked for
	data    [][]byte
	ended   chan struct{} // closed when the writes have come back

	written  [2]*request.File // guarded by writes.mu
	err      error            // guarded by writes.mu
	returned bool             // guarded by writes.mu
	lost     bool             // given up; guarded by writes.mu
	claim    *claim.Claim     // once it is lost; guarded by writes.mu
}

// save stores mask and overlay and notes them in the result. Where the storage
// does not answer in Deps.Timeout, save leaves the writes behind, with the worker's
// buffers.
func (w *worker) save(ctx context.Context, j *taken, result *request.Result) error {
	e, r := w.e, j.Request
	maskTo, overlayTo := r.Destinations()
	s := &saving{
		e: e, number: j.Number, setup: j.Setup, ended: make(chan struct{}),
		options: store.WriteOptions{Source: store.Reference{Location: r.Image.Location()}, Overwrite: r.Output.Overwrite},
		to:      []string{maskTo}, data: [][]byte{w.mask.Bytes()},
	}
	if r.Output.Overlay {
		s.to, s.data = append(s.to, overlayTo), append(s.data, w.overlay.Bytes())
	}
	if r.Classic2018 {
		result.Bucket, result.Prefix, _ = strings.Cut(strings.TrimPrefix(maskTo, "s3://"), "/")
	}

	e.writes.mu.Lock()
	lost := e.writes.lost
	e.writes.mu.Unlock()
	if lost >= maxLost {
		return failure.ErrNotWritten
	}
	ctx, cancel := context.WithTimeout(ctx, e.deps.Timeout)
	defer cancel()
	if lost > 0 && !strings.HasPrefix(maskTo, "s3://") { // one long wait at a time is enough
		ctx, cancel = context.WithTimeout(ctx, hungGrace)
		defer cancel()
	}
	s.setup.Retain()
	go s.run(ctx)
	select {
	case <-s.ended:
	case <-ctx.Done():
		select {
		case <-s.ended:
		case <-time.After(writeGrace):
		}
	}

	e.writes.mu.Lock()
	defer e.writes.mu.Unlock()
	result.Mask, result.Overlay = s.written[0], s.written[1]
	if s.returned {
		return s.err
	}
	e.writes.lost++
	s.lost, s.claim, j.Claim, w.lent = true, j.Claim, nil, true
	return failure.ErrNotWritten
}

// run writes one after the other. It may outlive the request; nobody waits for it
// then.
func (s *saving) run(ctx context.Context) {
	var err error
	for i := range s.to {
		var file *request.File
		if file, err = s.write(ctx, s.to[i], s.data[i]); err != nil {
			break
		}
		s.e.writes.mu.Lock()
		s.written[i] = file
		s.e.writes.mu.Unlock()
	}
	s.setup.Release() // before anybody hears of the end
	s.e.writes.mu.Lock()
	defer s.e.writes.mu.Unlock()
	s.err, s.returned = err, true
	close(s.ended)
	if s.lost {
		s.e.writes.lost--
		s.claim.Release()
		s.e.deps.Logger.Info("a write that was given up has come back", zap.Uint64("request", s.number))
	}
}

// write writes one file, and turns a panic of the storage into an error.
func (s *saving) write(ctx context.Context, to string, data []byte) (file *request.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			s.e.deps.Logger.Error("a write failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
		}
	}()
	written, err := s.setup.store.it.Write(ctx, to, data, s.options)
	if err != nil {
		return nil, failure.Write(err)
	}
	return fileOf(written), nil
}

// fileOf is what an answer says of a file.
func fileOf(written store.Written) *request.File {
	file := &request.File{SHA256: written.SHA256, Bytes: int(written.Bytes)}
	if strings.HasPrefix(written.Location, "s3://") {
		file.URI = written.Location
	} else {
		file.Path = written.Location
	}
	return file
}
