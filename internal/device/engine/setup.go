package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/memory"
	"github.com/brainseg/brainseg/internal/device/models"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/device/store/objects"
	"github.com/brainseg/brainseg/internal/device/store/outputs"
	"github.com/brainseg/brainseg/internal/device/watchdog"
	"github.com/brainseg/brainseg/internal/imaging"
)

// setup is one configuration and what was opened for it, but for the model, which
// package models has. It does not change. Every request holds the one that it began
// with.
type setup struct {
	cfg    config.Config
	store  *opened
	limits imaging.Limits

	refs atomic.Int32 // the engine, and every request in work
}

// opened is a store that several setups may share.
type opened struct {
	it   Store
	refs atomic.Int32 // setups
}

func (o *opened) share() *opened {
	o.refs.Add(1)
	return o
}

func (o *opened) release() {
	if o.refs.Add(-1) == 0 {
		_ = o.it.Close() // there is nobody left to tell
	}
}

// newSetup opens what cfg needs and before, which may be nil, does not have.
func newSetup(cfg config.Config, before *setup, deps Deps) (*setup, error) {
	s := &setup{cfg: cfg, limits: imaging.Limits{
		MaxBytes: cfg.Images.MaxBytes, MaxPixels: cfg.Images.MaxPixels, Memory: memory.Available,
	}}
	s.refs.Store(1)
	if before != nil && sameStore(before.cfg, cfg) {
		s.store = before.store
	} else {
		images, err := deps.OpenStore(cfg)
		if err != nil {
			return nil, &parts.Error{Part: PartStore, Summary: "a folder for images or masks cannot be used", Err: err}
		}
		s.store = &opened{it: images}
	}
	s.store.share()
	return s, nil
}

// Read and the methods below make it an intake.Setup.
func (s *setup) Read(ctx context.Context, ref store.Reference) ([]byte, error) {
	return s.store.it.Read(ctx, ref)
}

func (s *setup) ObjectTimeout() time.Duration { return s.cfg.S3.Timeout }

func (s *setup) Retain() { s.refs.Add(1) }

func (s *setup) Release() {
	if s.refs.Add(-1) == 0 {
		s.store.release()
	}
}

// writer writes results of a request.
func (s *setup) writer(r request.Request) func(ctx context.Context, to string, data []byte) (*request.File, error) {
	options := store.WriteOptions{Source: store.Reference{Location: r.Image.Location()}, Overwrite: r.Output.Overwrite}
	return func(ctx context.Context, to string, data []byte) (*request.File, error) {
		written, err := s.store.it.Write(ctx, to, data, options)
		if err != nil {
			return nil, failure.Write(err)
		}
		return fileOf(written), nil
	}
}

// fileOf is what an answer says of a file.
func fileOf(written store.Written) *request.File {
	file := &request.File{SHA256: written.SHA256, Bytes: int(written.Bytes), Pending: written.Pending}
	if strings.HasPrefix(written.Location, "s3://") {
		file.URI = written.Location
	} else {
		file.Path = written.Location
	}
	return file
}

func sameStore(a, b config.Config) bool {
	a.Images.MaxPixels, a.Images.TotalBytes = b.Images.MaxPixels, b.Images.TotalBytes // are nothing to the store
	c := config.Diff(a, b)
	return !c.Images && !c.Output && !c.S3
}

// watched has a watchdog watch over the models that open opens.
func watched(dog *watchdog.Watchdog, open func(context.Context, config.Config, *zap.Logger) (Model, error)) func(context.Context, config.Config, *zap.Logger) (Model, error) {
	return func(ctx context.Context, cfg config.Config, logger *zap.Logger) (Model, error) {
		return dog.Open(ctx, func(ctx context.Context) (watchdog.Model, error) { return open(ctx, cfg, logger) })
	}
}

// openStore opens the folders. Input folders below the component's own working
// directory, such as the default one, are made where they are missing; others
// belong to somebody else.
func openStore(cfg config.Config, later store.Later, clock *outputs.Clock) (Store, error) {
	for _, root := range cfg.Images.Roots {
		if filepath.IsLocal(root) {
			if err := os.MkdirAll(root, 0o750); err != nil {
				return nil, fmt.Errorf("make the image folder: %w", err)
			}
		}
	}
	images, err := store.New(store.Options{
		InputRoots: cfg.Images.Roots, OutputRoot: cfg.Output.Root, MaxBytes: cfg.Images.MaxBytes,
		Retention: outputs.Retention{MaxAge: cfg.Output.RetainAge, MaxBytes: cfg.Output.RetainBytes, Clock: clock},
		S3:        objects.Of(cfg.S3), Later: later,
	})
	if err != nil {
		return nil, fmt.Errorf("open the image folders: %w", err)
	}
	return images, nil
}

// The engine's own parts that a *parts.Error may name.
const (
	PartModel = "model"
	PartStore = "store"
)

// modelError says that a model cannot be used.
func modelError(err error) error {
	return &parts.Error{Part: PartModel, Summary: models.Summary(err), Err: err}
}
