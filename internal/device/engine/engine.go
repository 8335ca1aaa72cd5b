// Package engine is the component without Greengrass. It opens what a
// configuration names, carries requests through their life (accepted, read,
// decoded, segmented, encoded, written, answered) and goes over to another
// configuration while it works.
//
// What it leads a request through are packages of their own: a queue keeps it as a
// job, package intake fetches its image, and slicejob works on it. Whole scans are
// taken as well; package scanjob works on them, one after the other, and its slices
// let other requests go first.
//
// Everything that takes requests stands on it: package greengrass (messages from
// other components), package httpapi (the endpoint of the 2018 system), the
// command segment, the benchmark and their tests.
//
// A request that was submitted is answered exactly once, whatever happens to it:
// an error, a panic, a full queue and the end of the engine are answers too. A
// configuration that cannot be used changes nothing; one that can is in effect
// for the next request, and those in work keep the one that they began with.
//
// The package publishes nothing and reads no configuration documents; status
// messages go to a function that its owner gives it.
package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/intake"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/memoryqueue"
	"github.com/brainseg/brainseg/internal/device/models"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scanjob"
	"github.com/brainseg/brainseg/internal/device/slicejob"
	"github.com/brainseg/brainseg/internal/device/spool"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/device/store/outputs"
	"github.com/brainseg/brainseg/internal/device/watchdog"
)

// Model segments slices; see segmentation.Model.
type Model = models.Model

// Store reads images and writes results; see store.Store.
type Store interface {
	Read(ctx context.Context, ref store.Reference) ([]byte, error)
	Fetch(ctx context.Context, location, folder string) (string, error)
	Write(ctx context.Context, destination string, data []byte, options store.WriteOptions) (store.Written, error)
	Close() error
}

// Deps is what an engine is given beside its configuration. The zero value works.
type Deps struct {
	// Thing is the core device's thing name, for results and status. Default "".
	Thing string
	// Version of the program, for the DICOM objects that it makes. Default "".
	Version string
	// Spool is where scans lie that a way in was sent: they may be read, beside those
	// below the configured folders. Default: none.
	Spool *spool.Spool
	// Status takes status messages, in order for each request. It must not
	// block. Default: none.
	Status func(request.Status)
	// Watch is told of every request. It must not block. Default: nobody.
	Watch Watcher
	// Logger gets the fate of requests by number; ids and causes, which may name
	// a patient or a file, at debug level only. Default: none.
	Logger *zap.Logger
	// Queue keeps what is accepted. The engine stops it; whoever gave it closes it,
	// once the engine is closed. Default: in memory, where it ends with the process.
	Queue job.Queue
	// Later keeps results for S3 while it is away. Default: nobody.
	Later store.Later
	// OpenModel opens and tests the model that a configuration names. Default:
	// the real one.
	OpenModel func(context.Context, config.Config, *zap.Logger) (Model, error)
	// WatchModel is how often it is looked whether the folder that the configuration
	// names, or its link, has another model. Default: never.
	WatchModel time.Duration
	// KeepModel and AwaitModel are Keep and Await of models.Options.
	KeepModel  string
	AwaitModel time.Duration
	// OpenStore opens the folders and buckets that a configuration names.
	// Default: the real ones.
	OpenStore func(config.Config) (Store, error)
	// Timeout bounds the writing of one request's files. Default 60 s.
	Timeout time.Duration
	// ReadTimeout bounds the read of an image from a file. Default 30 s.
	ReadTimeout time.Duration
}

// Watcher counts requests by their numbers; see health.Health.
type Watcher interface {
	// Accepted tells of a request that will be answered later.
	Accepted(number uint64)
	// Answered tells of an answer, also to a request that was not accepted.
	Answered(number uint64, r request.Result)
}

type nobody struct{}

func (nobody) Accepted(uint64)                 {}
func (nobody) Answered(uint64, request.Result) {}

func (d Deps) withDefaults() Deps {
	if d.Watch == nil {
		d.Watch = nobody{}
	}
	if d.Status == nil {
		d.Status = func(request.Status) {}
	}
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	if d.OpenModel == nil {
		d.OpenModel = models.Open
	}
	if d.OpenStore == nil {
		clock := new(outputs.Clock) // which knows of all stores, one after the other
		d.OpenStore = func(cfg config.Config) (Store, error) { return openStore(cfg, d.Later, clock) }
	}
	return d
}

// Engine works on requests. Its methods may be called concurrently.
type Engine struct {
	deps   Deps
	queue  job.Queue
	models *models.Models
	budget *budget.Budget
	claims claim.Outputs
	dog    *watchdog.Watchdog // over every model
	intake *intake.Intake[*setup]
	writes slicejob.Writes
	lane   *scanjob.Lane      // of whole scans
	slices scanjob.Precedence // over whole scans
	ctx    context.Context    // ends the work in progress
	cancel context.CancelFunc
	scans  context.Context // ends that on whole scans, with ctx or before it
	leave  context.CancelFunc
	wg     sync.WaitGroup // the taker, the workers, the lane, and what waits for the disk
	count  atomic.Uint64  // requests that were given a number
	busy   atomic.Int64   // requests accepted and not answered

	// Those who wait for the disk, so that no worker and no way in does: each has a
	// place here. nil where the queue is in memory and nobody waits.
	storing, finishing chan struct{}

	submitting sync.Mutex // held while a job claims its outputs and its place
	closed     bool       // guarded by submitting

	applying sync.Mutex   // held by Apply, Attach and Close
	parts    []parts.Part // guarded by applying

	mu      sync.Mutex
	current *setup // guarded by mu; nil once the engine is closed
}

// Open opens model and folders, tests the model and starts the workers. Where
// the configuration cannot be used the error is a *parts.Error.
func Open(ctx context.Context, cfg config.Config, deps Deps) (*Engine, error) {
	deps = deps.withDefaults()
	dog := watchdog.New(cfg.Service.Inference, deps.Logger)
	e := &Engine{deps: deps, queue: deps.Queue, budget: budget.New(cfg.Images.TotalBytes), dog: dog}
	var err error
	if e.models, err = models.New(ctx, cfg, models.Options{
		Open: watched(dog, deps.OpenModel), After: e.slices.After, Keep: deps.KeepModel, Await: deps.AwaitModel, Logger: deps.Logger,
		Tell: func(message string) { e.Announce(message, e.State()) },
	}); err != nil {
		return nil, modelError(err)
	}
	if e.current, err = newSetup(cfg, nil, deps); err != nil {
		e.models.Close()
		return nil, err
	}
	if e.queue == nil {
		e.queue = memoryqueue.New(cfg)
	} else {
		e.storing, e.finishing = make(chan struct{}, maxStoring), make(chan struct{}, maxFinishing)
	}
	e.claims.SetRoot(cfg.Output.Root)
	for _, j := range e.queue.Restored() { // to what they claimed before, whoever came later
		j.Claim = e.claims.Retake(j.Key, claim.Names(j.Request), j.Request.Output.Overwrite)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.scans, e.leave = context.WithCancel(e.ctx)
	e.lane = scanjob.NewLane()
	e.intake = intake.New(e.ctx, intake.Options[*setup]{
		Queue: e.queue, Budget: e.budget, Admit: e.admit, ReadTimeout: deps.ReadTimeout, Logger: deps.Logger,
	})
	e.wg.Go(func() { e.intake.Run(); e.lane.End() })
	e.wg.Go(e.lane.Run)
	e.startWorkers(cfg.Service.Workers)
	e.Announce(request.MessageModelLoaded, request.StateStarting)
	if deps.WatchModel > 0 {
		e.models.Watch(deps.WatchModel)
	}
	return e, nil
}

// Bounds of those who wait for the disk.
const (
	maxStoring   = 256 // requests
	maxFinishing = 64  // answers
)

// startWorkers has n workers, no more and no fewer, once those that are too many
// have finished what they are at.
func (e *Engine) startWorkers(n int) {
	for range e.intake.Employ(n) {
		e.wg.Go(e.work)
	}
}

// Close refuses new requests and works, until ctx ends, on those that were
// accepted; where the queue is on disk, on the slices that it has handed out. The rest
// is answered with request.CodeStopping, or stays on disk: then only who waits here for
// its answer is told so. A whole scan would hardly be done in time, so it is left at once. It waits for everything but reads and writes that do not
// come back. The error is the context's where that ended first.
func (e *Engine) Close(ctx context.Context) error {
	e.models.Stop()
	e.applying.Lock()
	defer e.applying.Unlock()
	e.submitting.Lock()
	e.closed = true
	e.submitting.Unlock()
	for _, done := range e.queue.Stop() {
		done(e.failed("", failure.Stopping(nil)))
	}
	if e.finishing != nil { // the queue is on disk
		e.leave()
	}
	finished := make(chan struct{})
	go func() { e.wg.Wait(); close(finished) }()
	var err error
	select {
	case <-finished:
	case <-ctx.Done():
		err = ctx.Err()
		e.cancel()
		e.intake.Abort()
		<-finished
	}
	e.cancel()
	e.mu.Lock()
	last := e.current
	e.current = nil
	e.mu.Unlock()
	if last != nil {
		last.Release()
	}
	e.models.Close()
	return err
}

// begin returns the configuration in effect, for a job to be worked with: its outputs
// are settled in the folder of that one. It is nil where the engine is closed.
func (e *Engine) begin(j *job.Job) *setup {
	e.mu.Lock()
	defer e.mu.Unlock()
	j.Claim.Settle()
	if e.current != nil {
		e.current.refs.Add(1)
	}
	return e.current
}

// acquire returns the configuration in effect, nil where the engine is closed.
// Its user releases it.
func (e *Engine) acquire() *setup {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil {
		e.current.refs.Add(1)
	}
	return e.current
}

// Lend returns the model in effect, for work that is no request. It stays open
// until release is called, once. Where the engine is closed, that is an error.
func (e *Engine) Lend() (m Model, release func(), err error) {
	if lent := e.models.Use(); lent != nil {
		return lent.Network, lent.Release, nil
	}
	return nil, nil, failure.Stopping(nil)
}

// Watchdog tells of runs of the model that hung, and when the process should end.
func (e *Engine) Watchdog() *watchdog.Watchdog { return e.dog }

// Model identifies the model in use.
func (e *Engine) Model() request.Model { return e.models.Identity() }

// Models tells what became of new models.
func (e *Engine) Models() request.Models { return e.models.Health() }

// Config is the configuration in effect.
func (e *Engine) Config() config.Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil {
		return config.Config{}
	}
	return e.current.cfg
}

// Busy reports whether requests are waiting or in work.
func (e *Engine) Busy() bool { return e.busy.Load() > 0 }

// Announce sends a status message about the component as a whole.
func (e *Engine) Announce(message string, state request.State) {
	e.status(request.Status{Message: message, State: state})
}

// State is what a status message says of the engine while it takes requests.
func (e *Engine) State() request.State {
	if e.Busy() {
		return request.StateBusy
	}
	return request.StateReady
}

func (e *Engine) status(m request.Status) {
	model := e.Model()
	m.Time, m.Thing = time.Now().UTC(), e.deps.Thing
	m.Model = &request.Model{Name: model.Name, Version: model.Version}
	e.deps.Status(m)
}
