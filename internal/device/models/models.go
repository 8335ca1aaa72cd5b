// Package models has the model that requests are segmented with, and changes it
// while they are. A new one is opened beside the one in use and tested; where the
// configuration asks for it, it is then on trial: it segments the next slices after
// the one in use has, and only its agreement is of interest. In the end it takes
// over between two requests, or it is refused and the one in use stays.
//
// A new model comes by another configuration (Prepare), or because the folder that
// the configuration names, or the link, leads to another one (Watch). No more than
// maxModels are in memory at the same time.
//
// Package engine calls it, and lends a model to each request for as long as the
// request is in work. It runs no request, makes no answer, and knows no nucleus.
package models

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/selftest"
	"github.com/brainseg/brainseg/internal/model"
)

// Model segments slices; see segmentation.Model.
type Model interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
	Manifest() *model.Manifest
	Close() error
}

// maxModels is how many are in memory at most: the one in use, one before it that a
// request has not finished with, and a new one.
const maxModels = 3

// roomTimeout bounds the wait for a model of before to be let go of.
const roomTimeout = 30 * time.Second

// Bounds of the opening of a model with its self-test, and of the end.
const (
	openTimeout = 2 * time.Minute
	openGrace   = time.Second     // once it was called off
	endGrace    = 2 * time.Second // for whoever watches
)

// ErrNoRoom says that requests still use the models of before.
var ErrNoRoom = errors.New("models are changed faster than requests are done with them")

// Options are the settings of New. The zero value works.
type Options struct {
	// Open opens and tests the model that a configuration names. Default: Open.
	Open func(context.Context, config.Config, *zap.Logger) (Model, error)
	// Tell takes status messages, with message alone. It must not block. Default: none.
	Tell func(message string)
	// After does the work of a model on trial when answers are not held up by it; see
	// scanjob.Precedence. Default: at once.
	After func(ctx context.Context, work func() error) error
	// Keep is a folder for a copy of the model in use, and nothing else: where the one
	// that the configuration names cannot be used, New begins with it. Default: none.
	Keep string
	// Await is how long New waits for a model that is not there yet. Default: not at all.
	Await time.Duration
	// Logger is the log. Default: none.
	Logger *zap.Logger
}

// Models has the model in use. Its methods may be called concurrently, but for
// Prepare and what it returns.
type Models struct {
	opts   Options
	ctx    context.Context // ends watching, opening and trials
	cancel context.CancelFunc
	wg     sync.WaitGroup // the watcher and trials
	room   chan struct{}  // holds one for each model in memory

	unusable error      // why New began with another model than the configured one; set by New
	keeping  sync.Mutex // held while a copy is made

	mu      sync.Mutex
	cfg     config.Config // in effect; guarded by mu
	changes uint64        // of cfg; guarded by mu
	seen    fingerprint   // of the model that was decided on last; guarded by mu
	current *opened       // nil once closed; guarded by mu
	trial   *trial        // nil for none; guarded by mu
	loaded  uint64        // that took over; guarded by mu
	refused uint64        // guarded by mu
	last    request.Trial // that ended; guarded by mu
}

// opened is a model in memory.
type opened struct {
	Model
	folder   string // that it came from
	identity request.Model
	palette  []color.RGBA
	room     <-chan struct{}
	refs     atomic.Int32 // Models, and whoever it is lent to
}

func (o *opened) release() {
	if o.refs.Add(-1) == 0 {
		_ = o.Close() // there is nobody left to tell
		<-o.room
	}
}

// New opens and tests the model that cfg names, or the one that is kept.
func New(ctx context.Context, cfg config.Config, opts Options) (*Models, error) {
	if opts.Open == nil {
		opts.Open = Open
	}
	if opts.Tell == nil {
		opts.Tell = func(string) {}
	}
	if opts.After == nil {
		opts.After = func(_ context.Context, work func() error) error { return work() }
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	m := &Models{opts: opts, cfg: cfg, room: make(chan struct{}, maxModels)}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	first, err := m.first(ctx, cfg)
	if err != nil {
		m.cancel()
		return nil, err
	}
	m.current = first
	m.wg.Go(func() { m.keep(first) })
	return m, nil
}

// open opens a model once there is room for it.
func (m *Models) open(ctx context.Context, cfg config.Config) (*opened, error) {
	select {
	case m.room <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(roomTimeout):
		return nil, ErrNoRoom
	}
	if real, err := filepath.EvalSymlinks(cfg.Model.Path); err == nil {
		cfg.Model.Path = real // a deployment may set the link anew at any time
	}
	it, err := m.openSoon(ctx, cfg)
	if err != nil {
		return nil, err
	}
	manifest := it.Manifest()
	o := &opened{
		Model: it, folder: cfg.Model.Path, palette: manifest.Palette(), room: m.room,
		identity: request.Model{Name: manifest.Name, Version: manifest.Version, SHA256: manifest.SHA256},
	}
	o.refs.Store(1)
	return o, nil
}

// openSoon opens a model for which there is room. What hangs in a network, as in a
// self-test, heeds no context: it is left behind, with its room, until it comes back.
func (m *Models) openSoon(ctx context.Context, cfg config.Config) (Model, error) {
	type outcome struct {
		it  Model
		err error
	}
	came, left := make(chan outcome), make(chan struct{})
	go func() {
		var o outcome
		o.it, o.err = m.opts.Open(ctx, cfg, m.opts.Logger)
		if o.err != nil {
			<-m.room
		}
		select {
		case came <- o:
		case <-left:
			if o.err == nil {
				_ = o.it.Close() // nobody knows of it
				<-m.room
			}
		}
	}()
	timer := time.NewTimer(openTimeout)
	defer timer.Stop()
	for over := ctx.Done(); ; over = nil {
		select {
		case o := <-came:
			return o.it, o.err
		case <-timer.C:
			close(left)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("%w: it does not come to an end", selftest.ErrFailed)
		case <-over:
			timer.Reset(openGrace)
		}
	}
}

// Lease is a model that is lent. It is the same until Release is called, which must
// be, once, when nothing uses it any more.
type Lease struct {
	Network  Model
	Identity request.Model // what answers say of it
	Palette  []color.RGBA  // of its classes
	Release  func()
}

// Use lends the model in use; nil where it is closed.
func (m *Models) Use() *Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.current
	if o == nil {
		return nil
	}
	o.refs.Add(1)
	l := &Lease{Network: o.Model, Identity: o.identity, Palette: o.palette, Release: o.release}
	if m.trial != nil {
		l.Network = shadowed{o.Model, m.trial}
	}
	return l
}

// Identity is of the model in use; zero where it is closed.
func (m *Models) Identity() request.Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return request.Model{}
	}
	return m.current.identity
}

// Prepare opens and tests the model that next names, where that is to be opened
// anew. Without an error exactly one of commit and abort is to be called: the one has
// it take over, or puts it on trial, and the other lets go of it. The error wraps
// those of Open, ErrNoRoom or the context's.
func (m *Models) Prepare(ctx context.Context, next config.Config) (commit, abort func(), err error) {
	m.mu.Lock()
	same := sameModel(m.cfg, next)
	m.mu.Unlock()
	if same {
		return func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.cfg = next
		}, func() {}, nil
	}
	seen := look(next.Model.Path)
	o, err := m.open(ctx, next)
	if err != nil && ctx.Err() == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.refused++
	}
	if err != nil {
		return nil, nil, err
	}
	commit = func() {
		m.mu.Lock()
		m.cfg, m.seen = next, seen
		m.changes++
		changes := m.changes
		m.mu.Unlock()
		m.introduce(o, next.Model.Canary, changes)
	}
	return commit, o.release, nil
}

// sameModel reports whether a model that is open for a serves for b too.
func sameModel(a, b config.Config) bool {
	a.Model.Canary = b.Model.Canary
	return a.Model == b.Model && a.Service.Threads == b.Service.Threads && a.Images.MaxPixels == b.Images.MaxPixels
}

// introduce has a new model take over or puts it on trial, unless the configuration
// for which it was opened is no longer in effect.
func (m *Models) introduce(o *opened, canary int, changes uint64) {
	m.mu.Lock()
	if m.current == nil || m.changes != changes {
		m.mu.Unlock()
		o.release()
		return
	}
	m.withdraw()
	if canary == 0 || reflect.DeepEqual(m.current.Manifest(), o.Manifest()) {
		tell := m.takeOver(o)
		m.mu.Unlock()
		tell()
		return
	}
	t, err := newTrial(m.current, o, canary)
	if err != nil {
		m.mu.Unlock()
		o.release()
		m.refuse(o.identity, err)
		return
	}
	t.ctx, t.cancel = context.WithCancel(m.ctx)
	m.trial = t
	m.wg.Go(func() { m.try(t) })
	m.mu.Unlock()
	m.opts.Logger.Info("new model is on trial", zap.String("version", o.identity.Version), zap.Int("slices", canary))
	m.opts.Tell(request.MessageModelOnTrial)
}

// takeOver has requests use another model from the next one on. m.mu is held; tell
// is to be called without it.
func (m *Models) takeOver(o *opened) (tell func()) {
	before := m.current
	m.current = o
	m.loaded++
	return func() {
		before.release()
		m.opts.Logger.Info("model took over", zap.String("model", o.identity.Name), zap.String("version", o.identity.Version),
			zap.String("before", before.identity.Version))
		m.opts.Tell(request.MessageModelLoaded)
		m.wg.Go(func() { m.keep(o) })
	}
}

// refuse counts and tells of a model that is not used.
func (m *Models) refuse(which request.Model, err error) {
	m.mu.Lock()
	m.refused++
	m.mu.Unlock()
	m.opts.Logger.Error("the new model is refused, the one before stays in use",
		zap.String("model", which.Name), zap.String("version", which.Version), zap.Error(err))
	m.opts.Tell(request.ErrorMessage("the new model is refused and the one before stays in use: " + Summary(err)))
}

// Stop ends watching and trials, without waiting for them.
func (m *Models) Stop() { m.cancel() }

// Close waits for what Stop ends, though not for a file system that does not answer,
// and lets go of the model once it is lent to nobody.
func (m *Models) Close() {
	m.cancel()
	ended := make(chan struct{})
	go func() { m.wg.Wait(); close(ended) }()
	timer := time.NewTimer(endGrace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		m.opts.Logger.Warn("the folder of the model does not answer, and is left alone")
	}
	m.mu.Lock()
	last := m.current
	m.current = nil
	m.mu.Unlock()
	if last != nil {
		last.release()
	}
}
