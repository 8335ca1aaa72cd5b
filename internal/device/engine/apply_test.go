package engine

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
)

// counted counts what was opened and is not closed yet.
type counted struct {
	models, stores atomic.Int32 // that were ever opened
	open           atomic.Int32
}

type countedModel struct {
	Model
	c *counted
}

func (m countedModel) Close() error { m.c.open.Add(-1); return m.Model.Close() }

type countedStore struct {
	Store
	c *counted
}

func (s countedStore) Close() error { s.c.open.Add(-1); return s.Store.Close() }

func (c *counted) into(_ *config.Config, d *Deps) {
	d.OpenModel = func(ctx context.Context, cfg config.Config, logger *zap.Logger) (Model, error) {
		m, err := openModel(ctx, cfg, logger)
		if err != nil {
			return nil, err
		}
		c.models.Add(1)
		c.open.Add(1)
		return countedModel{m, c}, nil
	}
	d.OpenStore = func(cfg config.Config) (Store, error) {
		s, err := openStore(cfg, nil, nil)
		if err != nil {
			return nil, err
		}
		c.stores.Add(1)
		c.open.Add(1)
		return countedStore{s, c}, nil
	}
}

func TestOnlyWhatChangedIsOpenedAgainAndWhatIsNoLongerUsedIsClosed(t *testing.T) {
	var c counted
	b := start(t, c.into)
	image := request.Image{Inline: ramp(t, 12, 5)}
	tests := []struct {
		name           string
		change         func(*config.Config)
		models, stores int32 // ever opened
	}{
		{"nothing", func(*config.Config) {}, 1, 1},
		{"the queue, the log, the topics", func(cfg *config.Config) {
			cfg.Service.Queue, cfg.Log.Level, cfg.Topics.Request = 7, zap.DebugLevel, "other"
		}, 1, 1},
		{"more workers", func(cfg *config.Config) { cfg.Service.Workers = 3 }, 1, 1},
		{"the output folder", func(cfg *config.Config) { cfg.Output.Root = filepath.Join(b.out, "next") }, 1, 2},
		{"the largest image", func(cfg *config.Config) { cfg.Images.MaxPixels = 1000 }, 2, 2},
		{"the model", func(cfg *config.Config) { cfg.Model.Path = modelDir("threshold") }, 3, 2},
		{"fewer workers and buckets", func(cfg *config.Config) { cfg.Service.Workers, cfg.S3.Buckets = 1, []string{"b"} }, 3, 3},
	}
	for _, tt := range tests {
		next := b.Config()
		tt.change(&next)
		if err := b.Apply(t.Context(), next); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if config.Diff(b.Config(), next).Any() {
			t.Errorf("%s: the configuration is %+v", tt.name, b.Config())
		}
		r := b.ask(t, request.Request{ID: "a", Image: image})
		if r.Error != nil || filepath.Dir(r.Mask.Path) != next.Output.Root || r.Model.Name != filepath.Base(next.Model.Path) {
			t.Errorf("%s: result %+v, error %+v", tt.name, r, r.Error)
		}
		if models, stores := c.models.Load(), c.stores.Load(); models != tt.models || stores != tt.stores {
			t.Errorf("%s: %d models and %d stores were opened, want %d and %d", tt.name, models, stores, tt.models, tt.stores)
		}
	}
	b.Close(t.Context())
	if n := c.open.Load(); n != 0 {
		t.Errorf("%d are not closed", n)
	}
	if err := b.Apply(t.Context(), config.Default()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// part is a parts.Part that notes what happens to it.
type part struct {
	fault              error
	committed, aborted int
}

func (p *part) Prepare(context.Context, config.Config) (parts.Change, error) {
	if p.fault != nil {
		return parts.Change{}, p.fault
	}
	return parts.Change{Commit: func() { p.committed++ }, Abort: func() { p.aborted++ }}, nil
}

func TestAConfigurationThatCannotBeUsedChangesNothing(t *testing.T) {
	var c counted
	b := start(t, c.into)
	good, bad := &part{}, &part{}
	for _, p := range []parts.Part{good, bad} {
		if err := b.Attach(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	bad.fault = &parts.Error{Part: "bad", Summary: "it is bad", Err: errors.New("it is bad at /some/path")}
	before := b.Config()
	tests := []struct {
		name   string
		change func(*config.Config)
		part   string
		wraps  error
	}{
		{"no model", func(cfg *config.Config) { cfg.Model.Path = "/nowhere" }, PartModel, model.ErrManifest},
		{"no image folder", func(cfg *config.Config) { cfg.Images.Roots = []string{"/nowhere"} }, PartStore, nil},
		{"a good model, no image folder", func(cfg *config.Config) {
			cfg.Model.Path, cfg.Images.Roots = modelDir("threshold"), []string{"/nowhere"}
		}, PartStore, nil},
		{"a part", func(cfg *config.Config) { cfg.Output.Root, cfg.Service.Workers = t.TempDir(), 4 }, "bad", bad.fault},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next := before
			tt.change(&next)
			err := b.Apply(t.Context(), next)
			var refused *parts.Error
			if !errors.As(err, &refused) || refused.Part != tt.part || refused.Summary == "" || tt.wraps != nil && !errors.Is(err, tt.wraps) {
				t.Errorf("error is %#v", err)
			}
			if config.Diff(b.Config(), before).Any() {
				t.Errorf("the configuration is %+v", b.Config())
			}
			if r := b.ask(t, request.Request{ID: "a", Image: request.Image{Inline: ramp(t, 12, 5)}}); r.Error != nil || filepath.Dir(r.Mask.Path) != b.out {
				t.Errorf("result %+v, error %+v", r, r.Error)
			}
		})
	}
	if good.committed != 1 || good.aborted != 1 {
		t.Errorf("the good part was committed %d times and aborted %d times", good.committed, good.aborted)
	}
	if n := c.open.Load(); n != 2 {
		t.Errorf("%d are open, want the model and the store in use", n)
	}
}

func TestNoRequestIsLostOrRefusedWhileConfigurationsChange(t *testing.T) {
	b := start(t, func(cfg *config.Config, _ *Deps) { cfg.Service.Queue = 10_000 })
	write(t, b.in, "slice.png", ramp(t, 12, 5))
	stop := make(chan struct{})
	var asking sync.WaitGroup
	var asked, answered atomic.Int32
	for client := range 3 {
		asking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				asked.Add(1)
				done := make(chan struct{})
				b.Submit(t.Context(), job.Requester{Way: job.WayIPC, Client: strconv.Itoa(client)},
					request.Request{ID: strconv.Itoa(client), Image: request.Image{Path: "slice.png"}, Output: request.Output{Overlay: true}},
					func(o job.Outcome) {
						if o.Result.Error != nil {
							t.Errorf("a request failed: %+v", o.Result.Error)
						}
						answered.Add(1)
						o.Claim.Release()
						close(done)
					})
				<-done
			}
		})
	}
	for i := range 12 {
		next := b.Config()
		next.Model.Path = modelDir([]string{"values", "threshold"}[i%2])
		next.Output.Root = filepath.Join(b.out, strconv.Itoa(i))
		next.Service.Workers = 1 + i%3
		if err := b.Apply(t.Context(), next); err != nil {
			t.Error(err)
		}
		next.Model.Path = "/nowhere"
		if err := b.Apply(t.Context(), next); err == nil {
			t.Error("a model that is not there was accepted")
		}
	}
	close(stop)
	asking.Wait()
	if asked.Load() != answered.Load() || asked.Load() == 0 {
		t.Errorf("%d requests, %d answers", asked.Load(), answered.Load())
	}
}
