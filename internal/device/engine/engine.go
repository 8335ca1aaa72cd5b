// Package engine carries requests through their life: accepted, read, decoded,
// segmented, encoded, written, answered. It is the one path through the code
// for every way in: package greengrass (messages from other components), package
// httpapi (the endpoint of the 2018 system) and the segment command.
//
// A request that was submitted is answered exactly once, whatever happens to it:
// an error, a panic, a full queue and the end of the service are answers too.
// The package publishes nothing and parses no configuration; status messages go
// to a function that its owner gives it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// Options are the settings of a Service.
type Options struct {
	// Model segments. Required; the service does not close it.
	Model *segmentation.Model
	// Store reads images and writes masks. Required; the service does not close it.
	Store *store.Store
	// Limits bound the images that are decoded. Default: those of package imaging.
	Limits imaging.Limits
	// Workers is the number of requests in work at the same time. Default 1.
	Workers int
	// Queue is the number of requests that wait for a worker. One more is
	// answered with request.CodeBusy. Default 64.
	Queue int
	// Timeout bounds the work on one request, waiting in the queue aside.
	// Default 60 s.
	Timeout time.Duration
	// Thing is the core device's thing name, for results and status. Default "".
	Thing string
	// Status takes status messages, in order for each request. It must not
	// block. Default: none.
	Status func(request.Status)
	// Logger gets the fate of requests by number; ids and causes, which may name
	// a patient or a file, at debug level only. Default: none.
	Logger *zap.Logger
}

// Outcome is what became of a request.
type Outcome struct {
	Result request.Result
	// Mask is the encoded mask, nil where Result.Status is failed. It is valid
	// until Done returns.
	Mask []byte
}

// Service works on requests. Its methods may be called concurrently.
type Service struct {
	opts   Options
	model  request.Model
	ctx    context.Context // ends the work in progress
	cancel context.CancelFunc
	wg     sync.WaitGroup
	count  atomic.Uint64
	busy   atomic.Int64 // requests accepted and not answered

	mu     sync.Mutex
	closed bool     // guarded by mu
	queue  chan job // sends guarded by mu; closed with closed
}

type job struct {
	number   uint64
	request  request.Request
	accepted time.Time
	done     func(Outcome)
}

// New starts the workers.
func New(opts Options) (*Service, error) {
	if opts.Model == nil || opts.Store == nil {
		return nil, errors.New("start the service: model and store are required")
	}
	if opts.Workers <= 0 {
		opts.Workers = 1
	}
	if opts.Queue <= 0 {
		opts.Queue = 64
	}
	if opts.Timeout <= 0 {
		opts.Timeout = 60 * time.Second
	}
	if opts.Status == nil {
		opts.Status = func(request.Status) {}
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	m := opts.Model.Manifest()
	s := &Service{
		opts:  opts,
		model: request.Model{Name: m.Name, Version: m.Version, SHA256: m.SHA256},
		queue: make(chan job, opts.Queue),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for range opts.Workers {
		s.wg.Go(s.work)
	}
	s.status(request.Status{Message: request.MessageModelLoaded, State: request.StateStarting})
	return s, nil
}

// Model identifies the model in use.
func (s *Service) Model() request.Model { return s.model }

// Handle parses a request document and submits it.
func (s *Service) Handle(document []byte, done func(Outcome)) {
	r, err := request.Parse(document)
	if err != nil {
		s.refuse(s.count.Add(1), r.ID, err, done)
		return
	}
	s.Submit(r, done)
}

// Submit queues a request. done is called exactly once, by a worker, or before
// Submit returns where the request is refused. It should return soon: the worker
// waits for it.
func (s *Service) Submit(r request.Request, done func(Outcome)) {
	j := job{number: s.count.Add(1), request: r, accepted: time.Now(), done: done}
	if err := s.enqueue(j); err != nil {
		s.refuse(j.number, r.ID, err, done)
	}
}

// Refuse reports a request that could not even be read, and so has no document,
// to status and log.
func (s *Service) Refuse(err error) { s.refuse(s.count.Add(1), "", err, func(Outcome) {}) }

// Busy reports whether requests are waiting or in work.
func (s *Service) Busy() bool { return s.busy.Load() > 0 }

func (s *Service) enqueue(j job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return request.NewError(request.CodeStopping, "the component is being stopped", nil)
	}
	// The worker may answer before this returns, so the status comes first.
	if len(s.queue) == cap(s.queue) {
		return request.NewError(request.CodeBusy, "the queue is full, try again later", nil)
	}
	s.busy.Add(1)
	s.status(request.Status{Message: request.MessageImageReceived, State: request.StateBusy, Request: j.number})
	s.queue <- j // has room: only senders fill it, and they hold mu
	return nil
}

// Close refuses new requests, works off those that were accepted until ctx ends,
// and answers the rest with request.CodeStopping.
func (s *Service) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() { s.wg.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-ctx.Done():
		s.cancel()
		<-finished
	}
	s.cancel()
	return ctx.Err()
}

func (s *Service) work() {
	w := worker{s: s}
	for j := range s.queue {
		o, err := w.attempt(j)
		// The answer first: somebody waits for it.
		j.done(o)
		s.busy.Add(-1)
		s.report(j.number, o.Result, err)
	}
}

// attempt works on one request; neither an error nor a panic gets past it. The
// outcome is complete in any case; the error is for the report.
func (w *worker) attempt(j job) (o Outcome, err error) {
	s := w.s
	defer func() {
		if p := recover(); p != nil {
			s.opts.Logger.Error("request failed by a fault of the component", zap.Uint64("request", j.number), zap.ByteString("stack", debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			o = s.failed(j.request.ID, err)
		}
	}()
	stopping := func(cause error) error {
		return request.NewError(request.CodeStopping, "the component is being stopped", cause)
	}
	if s.ctx.Err() != nil {
		return o, stopping(nil)
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Timeout)
	defer cancel()
	o, err = w.process(ctx, j)
	switch {
	case err == nil:
	case s.ctx.Err() != nil:
		err = stopping(err)
	case ctx.Err() != nil:
		err = request.NewError(request.CodeInternal, "the request took too long", err)
	}
	return o, err
}

// failed is the answer to a request that met err.
func (s *Service) failed(id string, err error) Outcome {
	r := request.Failed(id, err)
	s.sign(&r)
	return Outcome{Result: r}
}

// report tells status and log what became of a request.
func (s *Service) report(number uint64, r request.Result, err error) {
	if err == nil {
		s.status(request.Status{Message: request.MessageImageProcessed, State: s.state(), Request: number})
		s.opts.Logger.Info("image processed", zap.Uint64("request", number),
			zap.Float64("inferenceMs", r.Timings.Inference), zap.Float64("totalMs", r.Timings.Total))
		return
	}
	e := request.AsError(err)
	s.status(request.Status{Message: request.ErrorMessage(e.Message), State: s.state(), Request: number, Code: e.Code})
	s.opts.Logger.Warn("request failed", zap.Uint64("request", number), zap.String("code", string(e.Code)))
	s.opts.Logger.Debug("request failed, in detail", zap.Uint64("request", number), zap.String("id", r.ID), zap.String("cause", detail(err)))
}

// refuse answers and reports a request that is not worked on.
func (s *Service) refuse(number uint64, id string, err error, done func(Outcome)) {
	o := s.failed(id, err)
	done(o)
	s.report(number, o.Result, err)
}

// sign puts time, thing and model on a result.
func (s *Service) sign(r *request.Result) {
	model := s.model
	r.Model, r.Thing, r.Time = &model, s.opts.Thing, time.Now().UTC()
}

// state is the state of the service as a status message has it.
func (s *Service) state() request.State {
	if s.Busy() {
		return request.StateBusy
	}
	return request.StateReady
}

func (s *Service) status(m request.Status) {
	m.Time, m.Thing = time.Now().UTC(), s.opts.Thing
	m.Model = &request.Model{Name: s.model.Name, Version: s.model.Version}
	s.opts.Status(m)
}

// Announce sends a status message about the component as a whole.
func (s *Service) Announce(message string, state request.State) {
	s.status(request.Status{Message: message, State: state})
}
