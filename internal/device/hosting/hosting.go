// Package hosting serves a model as Amazon SageMaker asks of a container: an
// endpoint, real-time or asynchronous, and Batch Transform.
//
// Run plays the container's whole part: it finds the model that the service
// unpacked, listens, opens an engine while the service is told to wait, and on
// SIGTERM finishes what it has. Package invocations answers the calls of the
// service, package httpapi those of others, and package listener lets them in.
// Nothing here makes models; model-build does. The command serve calls it.
package hosting

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/hosting/invocations"
	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/listener"
	"github.com/brainseg/brainseg/internal/device/page"
	"github.com/brainseg/brainseg/internal/device/spool"
	"github.com/brainseg/brainseg/internal/device/watchdog"
)

// The places and bounds of the contract.
const (
	// ModelFolder is where the service unpacks a model's archive.
	ModelFolder = "/opt/ml/model"
	// DefaultAddress is listened on where nothing else is said: outside a
	// container, nobody but this machine gets in.
	DefaultAddress = "127.0.0.1:8080"
	// maxPayload is the largest body: that of an asynchronous invocation.
	maxPayload = 1 << 30
)

// Options are the settings of Run. The zero value works outside a container
// where Fallback is set; see FromEnvironment for what a container's is.
type Options struct {
	// Address to listen on. Default http.address of Configuration, else
	// DefaultAddress.
	Address string
	// Model is the folder to look for the model in. Default ModelFolder.
	Model string
	// Fallback is the folder of the model to take where Model is missing or empty.
	// Default none, which is an error then.
	Fallback string
	// Library is the path of libonnxruntime. Default: beside the executable.
	Library string
	// Configuration is a document with the keys of a deployment, of which those
	// of topics and folders mean nothing here. Default "{}".
	Configuration string
	// Batch tells that a transform job calls.
	Batch bool
	// MaxPayload is the largest body in bytes. Default, and at most, 1 GiB.
	MaxPayload int64
	// Drain is how long work may go on once ctx has ended. Default 25 s: the
	// service kills after 30.
	Drain time.Duration
	// Version of the program, for DICOM objects. Default "".
	Version string
	// Logger gets the fate of requests by number. Default none.
	Logger *zap.Logger
	// Level, if not nil, is set to the log level of the configuration.
	Level *zap.AtomicLevel
	// Trusted lets everybody in who can reach Address: the service's network is the
	// guard. Default false, where beyond this machine http.tokenFile or the like is
	// needed.
	Trusted bool
	// Listening, if not nil, is told the address once it is listened on.
	Listening func(address string)
}

func (o Options) withDefaults() Options {
	if o.Model == "" {
		o.Model = ModelFolder
	}
	if o.MaxPayload <= 0 || o.MaxPayload > maxPayload {
		o.MaxPayload = maxPayload
	}
	if o.Drain <= 0 {
		o.Drain = 25 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Listening == nil {
		o.Listening = func(string) {}
	}
	return o
}

// stopGrace is for how long answers may be written once the work was called off.
const stopGrace = 2 * time.Second

// Run serves until ctx ends, and then finishes what was taken. It returns nil
// where it ended as asked, and watchdog.ErrGaveUp where only a new process can go on.
func Run(ctx context.Context, o Options) (err error) {
	o = o.withDefaults()
	cfg, err := o.configuration()
	if err != nil {
		return err
	}
	if o.Level != nil {
		o.Level.SetLevel(cfg.Log.Level)
	}
	places := new(spool.Spool)
	defer func() { err = errors.Join(err, places.Close()) }()
	s := invocations.New(invocations.Options{Batch: o.Batch, MaxPayload: o.MaxPayload, Spool: places, Version: o.Version, Logger: o.Logger})
	defer s.Stop()
	api := httpapi.New(httpapi.Options{Version: o.Version, Spool: places})
	s.Mount(api.Handle)
	var activity page.Activity
	activity.Mount(api.Handle)
	l := listener.New(api, o.Logger)
	l.OnShutdown(activity.Disconnect)
	if err := l.Listen(ctx, o.settings(cfg)); err != nil {
		return err
	}
	o.Listening(l.Addr())

	// The model while the service is already told to wait.
	var e *engine.Engine
	if cfg.Model.Path, err = o.findModel(); err == nil {
		e, err = engine.Open(ctx, cfg, engine.Deps{Version: o.Version, Spool: places, Status: activity.Note, Logger: o.Logger})
	}
	if err != nil {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		l.Close(over) // there is nothing to finish
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	s.Begin(e)
	api.SetEngine(e)
	o.Logger.Info("ready", zap.String("model", e.Model().Name), zap.String("modelVersion", e.Model().Version),
		zap.Int("workers", cfg.Service.Workers), zap.Bool("batch", o.Batch))
	select {
	case <-ctx.Done():
	case <-e.Watchdog().GaveUp():
		err = watchdog.ErrGaveUp
	}
	drain(l, s, e, o.Drain)
	return err
}

// drain takes nothing new and finishes what was taken, for as long as there is
// time; what is left is answered as stopped.
func drain(l *listener.Listener, s *invocations.Service, e *engine.Engine, patience time.Duration) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	soon, enough := context.WithTimeout(context.Background(), patience)
	defer enough()
	called := make(chan struct{})
	stop := context.AfterFunc(soon, func() { // the work is called off
		defer close(called)
		s.Stop()
		e.Close(over)
	})
	last, cancel := context.WithTimeout(context.Background(), patience+min(stopGrace, patience))
	defer cancel()
	l.Close(last) // an error says that answers were not fetched in time
	if !stop() {
		<-called
	}
	e.Close(over) // nobody waits for an answer any more
}
