// Package greengrass is the component as a nucleus sees it: it connects over
// IPC, reads the configuration, opens the model, takes requests from the request
// topic, publishes results and status messages, and reports RUNNING once all of
// that works.
//
// The work itself is package engine's. Whether the nucleus is a real one or
// package nucleus makes no difference here. The commands component and local
// call it.
package greengrass

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// ComponentName is the name of the component in recipes.
const ComponentName = "io.brainseg.BrainSegmentation"

// Options are the settings of Run. The zero value is that of a component which
// a nucleus started.
type Options struct {
	// IPC says how to reach the nucleus. MaxFrame is taken from the
	// configuration. Default: the environment.
	IPC ggipc.Options
	// ConnectTimeout is for how long an unreachable nucleus is tried at start.
	// Default 30 s.
	ConnectTimeout time.Duration
	// StopTimeout is how long accepted requests may take at the end; what is
	// not done by then is answered as stopping. Default 10 s.
	StopTimeout time.Duration
	// Logger is the log. Default: none.
	Logger *zap.Logger
	// Level, if not nil, is set to the configured log level.
	Level *zap.AtomicLevel
	// Ready, if not nil, is called once when requests are taken.
	Ready func()
}

func (o Options) withDefaults() Options {
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	o.IPC.Logger = o.Logger
	return o
}

// Run is the component from start to end. It returns nil when ctx ends, an
// error that wraps ggipc.ErrTokenRefused where only a new process can go on, and
// what went wrong where the component could not start.
func Run(ctx context.Context, opts Options) error {
	opts = opts.withDefaults()
	opts.Ready = sync.OnceFunc(opts.Ready)
	cfg, err := fetchConfiguration(ctx, opts)
	if err == nil {
		err = live(ctx, opts, cfg)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped while it started
	}
	return err
}

// run is the component with one configuration. It returns the next one where a
// deployment changed what cannot change under way. started is called when
// requests are taken; refused is a configuration that did not get that far.
func run(ctx context.Context, opts Options, s *session, cfg config.Config, refused *config.Config, started func()) (next *config.Config, err error) {
	if opts.Level != nil {
		opts.Level.SetLevel(cfg.Log.Level)
	}
	thing := os.Getenv("AWS_IOT_THING_NAME")
	svc, closeService, err := openService(ctx, opts, cfg, thing, s.out)
	if err != nil {
		// Whoever watches the topic from afar learns that the component did not
		// start; the details are for the log on the device.
		s.out.status(request.Status{Message: request.ErrorMessage(startFailure(err)), State: request.StateStopping, Code: request.CodeInternal, Time: time.Now().UTC(), Thing: thing})
		return nil, err
	}
	defer closeService()
	svc.Announce(request.MessageAppStarting, request.StateStarting)

	watcher := newConfigurationWatcher(s, opts, cfg, refused)
	err = serve(ctx, opts, cfg, s, svc, watcher, started)
	return watcher.next, err
}

// serve takes requests until ctx ends, the client gives up or the watcher has
// another configuration.
func serve(ctx context.Context, opts Options, cfg config.Config, s *session, svc *engine.Service, watcher *configurationWatcher, started func()) error {
	if cfg.HTTP.Address != "" {
		endpoint, err := httpapi.Listen(cfg.HTTP.Address, httpapi.Options{Service: svc, MaxBytes: cfg.Images.MaxBytes, Logger: opts.Logger})
		if err != nil {
			return err
		}
		defer endpoint.Close()
		opts.Logger.Info("HTTP endpoint is listening", zap.String("address", endpoint.Addr()))
	}
	defer s.attach(svc)()
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	if err := s.client.UpdateState(ctx, ggipc.StateRunning); err != nil {
		return fmt.Errorf("report the state RUNNING: %w", err)
	}
	svc.Announce("Ready.", request.StateReady)
	opts.Logger.Info("component is running", zap.String("model", svc.Model().Name), zap.String("modelVersion", svc.Model().Version),
		zap.String("requestTopic", cfg.Topics.Request))
	started()
	opts.Ready()

	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			svc.Announce("App stopping.", request.StateStopping)
			return nil
		case <-s.changes:
			settled = time.After(configurationSettles)
		case <-settled:
			settled = nil
			if watcher.look(ctx, svc) {
				return nil
			}
		case <-s.requests.Done():
			if err := s.client.Err(); err != nil {
				return err
			}
			return fmt.Errorf("subscription to requests ended: %w", s.requests.Err())
		case <-s.client.Done():
			return s.client.Err()
		}
	}
}

// openService opens folders and model, tests the model and starts the service.
// The function that it returns works off what was accepted and closes all three.
func openService(ctx context.Context, opts Options, cfg config.Config, thing string, out *publisher) (*engine.Service, func(), error) {
	images, err := openStore(cfg)
	if err != nil {
		return nil, nil, err
	}
	model, err := segmentation.Open(cfg.Model.Path, segmentation.Options{
		Library: cfg.Model.Library, Threads: cfg.Service.Threads, MaxPixels: cfg.Images.MaxPixels,
	})
	if err != nil {
		images.Close()
		return nil, nil, fmt.Errorf("open the model: %w", err)
	}
	if err := selfTest(ctx, model, cfg.Model.Path, opts.Logger); err != nil {
		model.Close()
		images.Close()
		return nil, nil, err
	}
	svc, err := engine.New(engine.Options{
		Model: model, Store: images, Workers: cfg.Service.Workers, Queue: cfg.Service.Queue,
		Limits: imaging.Limits{MaxBytes: cfg.Images.MaxBytes, MaxPixels: cfg.Images.MaxPixels},
		Thing:  thing, Status: out.status, Logger: opts.Logger,
	})
	if err != nil {
		model.Close()
		images.Close()
		return nil, nil, err
	}
	return svc, func() {
		stopping, cancel := context.WithTimeout(context.Background(), opts.StopTimeout)
		defer cancel()
		svc.Close(stopping)
		model.Close()
		images.Close()
	}, nil
}

// startFailure says in one sentence, without paths, why the component did not
// start.
func startFailure(err error) string {
	for _, sentinel := range []error{segmentation.ErrManifest, segmentation.ErrChecksum, segmentation.ErrRuntime, segmentation.ErrModel, errSelfTest} {
		if errors.Is(err, sentinel) {
			return sentinel.Error()
		}
	}
	return "the component cannot start; its log on the device says why"
}

// fetchConfiguration reads the configuration over a connection of its own, for
// the configuration decides about the connection that stays.
func fetchConfiguration(ctx context.Context, opts Options) (config.Config, error) {
	client, err := connect(ctx, opts)
	if err != nil {
		return config.Config{}, err
	}
	defer client.Close()
	return readConfiguration(ctx, client, opts.Logger)
}

func connect(ctx context.Context, opts Options) (*ggipc.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.ConnectTimeout)
	defer cancel()
	return ggipc.Connect(ctx, opts.IPC)
}

// openStore opens the folders. Input folders below the component's own working
// directory, such as the default one, are made where they are missing; others
// belong to somebody else.
func openStore(cfg config.Config) (*store.Store, error) {
	for _, root := range cfg.Images.Roots {
		if filepath.IsLocal(root) {
			if err := os.MkdirAll(root, 0o750); err != nil {
				return nil, fmt.Errorf("make the image folder: %w", err)
			}
		}
	}
	images, err := store.New(store.Options{
		InputRoots: cfg.Images.Roots, OutputRoot: cfg.Output.Root, MaxBytes: cfg.Images.MaxBytes,
		S3: store.S3Options{
			AllowedBuckets: cfg.S3.Buckets, Region: cfg.S3.Region, Endpoint: cfg.S3.Endpoint,
			PathStyle: cfg.S3.PathStyle, Timeout: cfg.S3.Timeout,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("open the image folders: %w", err)
	}
	return images, nil
}
