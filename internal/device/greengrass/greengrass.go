// Package greengrass is the component as a nucleus sees it: it connects over
// IPC, reads the configuration, has an engine opened for it, takes requests from
// the request topic, publishes results and status messages, and reports RUNNING
// once all of that works. When a deployment changes the configuration it has the
// engine go over to the new one.
//
// The work itself is package engine's. Whether the nucleus is a real one or
// package nucleus makes no difference here. The commands component and local
// call it.
package greengrass

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/delivery"
	"github.com/brainseg/brainseg/internal/device/dicomservice"
	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/keptconfig"
	"github.com/brainseg/brainseg/internal/device/listener"
	"github.com/brainseg/brainseg/internal/device/objectspool"
	"github.com/brainseg/brainseg/internal/device/outbox"
	"github.com/brainseg/brainseg/internal/device/page"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/processors"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/spool"
	"github.com/brainseg/brainseg/internal/device/updates"
	"github.com/brainseg/brainseg/internal/device/watchdog"
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
	// StopTimeout is how long the end may take: finishing what is in work and sending
	// the answers. Default 3.5 s, for the classic nucleus kills what is left 5 s
	// after it asked for the end.
	StopTimeout time.Duration
	// LookInterval is how often the configuration is looked at though no change was
	// told, on nucleus lite. Default a minute.
	LookInterval time.Duration
	// WatchInterval is how often it is looked whether there is another model where the
	// configuration says. Default a second.
	WatchInterval time.Duration
	// KeepModel is a folder for a copy of the model in use, for a start at which the
	// configured one cannot be used. Default: none is kept.
	KeepModel string
	// KeepConfiguration is a file for a copy of the configuration in effect, for a start
	// on nucleus lite at which the configured one cannot be used. Default: none is kept.
	KeepConfiguration string
	// AwaitModel is how long the start waits for a model that is not there yet: nothing
	// says which of two components is started first. Default: not at all.
	AwaitModel time.Duration
	// Version of the program, for the DICOM objects that it makes and for GET
	// /version. Default "".
	Version string
	// Logger is the log. Default: none.
	Logger *zap.Logger
	// Level, if not nil, is set to the configured log level.
	Level *zap.AtomicLevel
	// OwnProcess tells that the process does nothing else: Go's own code gets as
	// many processors as the engine has workers.
	OwnProcess bool
	// Ready, if not nil, is called once when requests are taken.
	Ready func()
}

func (o Options) withDefaults() Options {
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 30 * time.Second
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = 3500 * time.Millisecond
	}
	if o.LookInterval <= 0 {
		o.LookInterval = time.Minute
	}
	if o.WatchInterval <= 0 {
		o.WatchInterval = time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Ready == nil {
		o.Ready = func() {}
	}
	if o.Level == nil {
		level := zap.NewAtomicLevel()
		o.Level = &level
	}
	o.IPC.Logger = o.Logger
	return o
}

// Run is the component from start to end. It returns nil when ctx ends, an
// error that wraps ggipc.ErrTokenRefused or watchdog.ErrGaveUp where only a new
// process can go on, and what went wrong where the component could not start.
func Run(ctx context.Context, opts Options) error {
	opts = opts.withDefaults()
	err := run(ctx, opts)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped while it started
	}
	return err
}

func run(ctx context.Context, opts Options) error {
	client, err := connect(ctx, opts)
	if err != nil {
		return err
	}
	defer client.Close()
	document, err := fetchConfiguration(ctx, client)
	if err != nil {
		return err
	}
	p := process{opts: opts, client: client, requests: &requests{opened: make(chan struct{})}, awaited: time.Now().Add(opts.AwaitModel)}
	if p.lite, err = updates.Watch(ctx, client, p.requests.busy, opts.Logger); err != nil {
		return err
	}
	p.kept = keptconfig.File{Logger: opts.Logger}
	if p.lite { // the classic nucleus goes back by itself where a start fails
		p.kept.Path = opts.KeepConfiguration
	}
	c, err := p.begin(ctx, document)
	if c != nil {
		defer c.end()
	}
	if err != nil {
		if c != nil {
			// Whoever watches the topic from afar learns that the component did not
			// start; the details are for the log on the device.
			c.out.status(request.Status{
				Message: request.ErrorMessage(summary(err, "the component cannot start; its log on the device says why")), State: request.StateStopping,
				Code: request.CodeInternal, Time: time.Now().UTC(), Thing: thing(),
			})
		}
		return err
	}
	return c.serve(ctx, document)
}

func thing() string { return os.Getenv("AWS_IOT_THING_NAME") }

// process is what there is once, however many configurations are tried.
type process struct {
	opts     Options
	client   *ggipc.Client
	requests *requests
	lite     bool            // the nucleus is nucleus lite
	kept     keptconfig.File // for a start that fails
	awaited  time.Time       // the model, at the latest
}

// try starts a component that works by cfg. It is to be closed, also with an error.
func (p process) try(ctx context.Context, cfg config.Config) (*component, error) {
	p.opts.Level.SetLevel(cfg.Log.Level)
	p.client.SetMaxFrame(cfg.IPC.MaxFrame)
	c := &component{process: p, out: newPublisher(p.client, cfg, p.opts.Logger), changes: make(chan struct{}, 1)}
	return c, c.start(ctx, cfg)
}

// component is the engine, and all else that a configuration has opened.
type component struct {
	process
	out      *publisher
	queue    *diskqueue.Queue      // nil before start, and where it is in memory
	objects  *objectspool.Spool    // nil likewise
	answers  []*delivery.Sender    // on their way out of the queue
	engine   *engine.Engine        // nil before start
	listener *listener.Listener    // of the service over HTTP; nil before start
	activity page.Activity         // what pages are told
	spool    spool.Spool           // scans that were sent over HTTP
	dicom    *dicomservice.Service // nil before start
	health   *health.Health
	refused  atomic.Bool         // the configuration that is set has no effect
	updates  *ggipc.Subscription // to changes of the configuration; nil where none are told
	changes  chan struct{}       // holds one where the configuration may have changed

	cloudWatch *outbox.Outbox // metrics; nil before the first
}

// start opens everything and returns when requests are taken; they are heard from its
// beginning.
func (c *component) start(ctx context.Context, cfg config.Config) (err error) {
	c.health = health.New(health.Options{Version: c.opts.Version})
	c.requests.component = c
	if err := c.requests.hear(ctx, cfg); err != nil {
		return err
	}
	deps := engine.Deps{Thing: thing(), Version: c.opts.Version, Spool: &c.spool, Status: c.status, Watch: c.health, WatchModel: c.opts.WatchInterval, KeepModel: c.opts.KeepModel, AwaitModel: time.Until(c.awaited), Logger: c.opts.Logger}
	if cfg.Queue.Folder != "" {
		if c.queue, err = diskqueue.Open(ctx, diskqueue.Options{Config: cfg, Damaged: c.tellDamage("the queue was damaged and is set aside; requests that waited in it must be sent again")}); err != nil {
			return err
		}
		c.out.keep(cfg.Queue.Folder, c.tellDamage("status messages that waited for AWS IoT Core were damaged and are set aside"))
		c.answers = c.out.deliver(c.queue)
		c.objects = objectspool.Open(filepath.Join(cfg.Queue.Folder, "objects.db"), cfg, c.opts.Logger, c.tellDamage("results that waited for S3 were damaged and are set aside"))
		deps.Queue, deps.Later = c.queue, c.objects
	}
	if c.engine, err = engine.Open(ctx, cfg, deps); err != nil {
		return err
	}
	c.engine.Announce(request.MessageAppStarting, request.StateStarting)
	api := httpapi.New(httpapi.Options{Version: c.opts.Version, Spool: &c.spool})
	api.SetEngine(c.engine)
	api.Handle("GET /metrics", c.health.Handler())
	c.activity.Mount(api.Handle)
	c.listener = listener.New(api, c.opts.Logger)
	c.listener.OnShutdown(c.activity.Disconnect)
	c.dicom = dicomservice.New(c.engine, c.opts.Logger)
	following := []parts.Part{c.listener, c.dicom, c.requests}
	if c.objects != nil {
		following = append(following, c.objects)
	}
	if c.opts.OwnProcess {
		following = append(following, processors.New())
	}
	for _, part := range following {
		if err := c.engine.Attach(ctx, part); err != nil {
			return err
		}
	}
	c.requests.open()
	c.gatherHealth()
	if err := c.watchConfiguration(ctx); err != nil {
		return err
	}
	c.configurationMayHaveChanged() // since it was read
	if err := c.client.UpdateState(ctx, ggipc.StateRunning); err != nil {
		return fmt.Errorf("report the state RUNNING: %w", err)
	}
	c.engine.Announce(messageReady, request.StateReady)
	model := c.engine.Model()
	c.opts.Logger.Info("component is running", zap.String("model", model.Name), zap.String("modelVersion", model.Version),
		zap.String("requestTopic", cfg.Topics.Request))
	c.opts.Ready()
	return nil
}

// status tells of the engine: the topics, and whoever looks at the page.
func (c *component) status(s request.Status) {
	c.out.status(s)
	c.activity.Note(s)
}

const messageReady = "Ready."

// tellDamage returns what tells that a file was damaged: what was in it is not known
// any more.
func (c *component) tellDamage(told string) func(setAside string, cause error) {
	return func(setAside string, cause error) {
		c.opts.Logger.Error("a file is lost to the component: "+told, zap.String("kept", setAside), zap.Error(cause))
		c.out.status(request.Status{
			Message: request.ErrorMessage(told), State: request.StateBusy, Code: request.CodeInternal, Time: time.Now().UTC(), Thing: thing(),
		})
	}
}

// tellReturn tells that AWS IoT Core is reachable again, and what did not wait for it.
func (c *component) tellReturn(away time.Duration) {
	dropped := c.out.cloud.Told()
	c.opts.Logger.Info("AWS IoT Core is reachable again", zap.Duration("away", away.Round(time.Second)), zap.Uint64("droppedStatus", dropped))
	if dropped > 0 {
		c.engine.Announce(request.ErrorMessage(fmt.Sprintf("%d status messages to AWS IoT Core were dropped while it was away", dropped)), c.engine.State())
	}
}

// serve goes along with the configuration until ctx ends or the client gives up.
func (c *component) serve(ctx context.Context, document json.RawMessage) error {
	watcher := configurationWatcher{component: c, seen: document, when: time.Now()}
	teller := healthTeller{component: c, told: time.Now()}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	var lost, undelivered, dropped, unwritten, renewed uint64 // that were told, and seen
	var settled <-chan time.Time
	for {
		subscription := c.requests.subscription()
		select {
		case <-ctx.Done():
			c.engine.Announce("App stopping.", request.StateStopping)
			return nil
		case <-c.changes:
			settled = time.After(configurationSettles)
		case <-settled:
			settled = nil
			watcher.look(ctx)
		case <-second.C:
			teller.look()
			watcher.remind()
			if c.updates != nil && c.updates.Renewed() != renewed { // what changed in between was not told
				renewed = c.updates.Renewed()
				c.configurationMayHaveChanged()
			}
			lost = c.tellLoss(lost, c.requests.seen().lost, "requests could not be taken")
			undelivered = c.tellLoss(undelivered, c.lostResults(diskqueue.ToIPC), "results could not be sent")
			dropped = c.tellLoss(dropped, c.lostResults(diskqueue.ToIoTCore), "results could not be sent to AWS IoT Core")
			if c.objects != nil {
				unwritten = c.tellLoss(unwritten, c.objects.Stats().Lost, "results could not be written to S3")
			}
			if away := c.out.wasAway(); away > 0 {
				c.tellReturn(away)
			}
		case <-subscription.Done():
			if err := c.client.Err(); err != nil {
				return err
			}
			return fmt.Errorf("subscription to requests ended: %w", subscription.Err())
		case <-c.client.Done():
			return c.client.Err()
		case <-c.engine.Watchdog().GaveUp():
			c.engine.Announce(request.ErrorMessage("the model hangs again and again, the component ends to be started anew"), request.StateStopping)
			return watchdog.ErrGaveUp
		}
	}
}

// tellLoss tells how many more than before were lost, and returns how many are.
func (c *component) tellLoss(before, now uint64, what string) uint64 {
	if now > before {
		c.opts.Logger.Warn(what, zap.Uint64("count", now-before))
		c.engine.Announce(request.ErrorMessage(fmt.Sprintf("%d %s", now-before, what)), c.engine.State())
	}
	return now
}

// sending is what is kept of the time for the end to send the last answers.
const sending = time.Second

// leaving is how long the end waits for what is in work where it stays on disk, so that
// the next process would do it. Most slices are done by then, and until that process is
// there nobody hears requests.
const leaving = 250 * time.Millisecond

// storing is how long the disk may take to close what is stored, which is milliseconds
// unless it does not answer.
const storing = 500 * time.Millisecond

// stopTimeout is how long the end may take. Where the nucleus refuses the token
// nothing can be answered any more, and the next process should be there soon.
func (c *component) stopTimeout() time.Duration {
	if errors.Is(c.client.Err(), ggipc.ErrTokenRefused) {
		return min(c.opts.StopTimeout, refusedStop)
	}
	return c.opts.StopTimeout
}

const refusedStop = 250 * time.Millisecond

// end closes a component for good. The time for that counts from when it is asked for.
func (c *component) end() {
	c.requests.open() // those that wait for an engine are told that there is none
	c.close(time.Now().Add(c.stopTimeout()))
}

// close finishes what is in work, and has everything sent and over by end. What was
// accepted and is not answered stays on disk, where the queue is there.
func (c *component) close(end time.Time) {
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	stop := end.Add(-sending)
	if soon := time.Now().Add(leaving); c.queue != nil && soon.Before(stop) {
		stop = soon
	}
	working, cancel := context.WithDeadline(ctx, stop)
	defer cancel()
	var closing sync.WaitGroup
	if c.listener != nil {
		closing.Go(func() { _ = c.listener.Close(working) }) // late uploads are cut off
	}
	if c.dicom != nil {
		closing.Go(func() { _ = c.dicom.Close(working) }) // objects that are not whole are sent again
	}
	if c.engine != nil {
		closing.Go(func() { _ = c.engine.Close(working) }) // late requests are answered as stopping
	}
	closing.Wait()
	if err := c.spool.Close(); err != nil {
		c.opts.Logger.Warn("a scan that was sent stays on disk", zap.Error(err))
	}
	for _, a := range c.answers {
		closing.Go(func() { a.Close(ctx) })
	}
	if c.objects != nil {
		closing.Go(func() { c.objects.Close(ctx) })
	}
	if c.cloudWatch != nil {
		closing.Go(func() { c.cloudWatch.Close(ctx) })
	}
	c.out.close(ctx)
	closing.Wait()
	if c.queue != nil { // last, for it holds the folder; and however late it is, or the folder stays held
		storing, cancel := context.WithTimeout(context.Background(), storing)
		defer cancel()
		if err := c.queue.Close(storing); err != nil {
			c.opts.Logger.Error("the queue could not be closed", zap.Error(err))
		}
	}
}

// summary says in one sentence, without paths, why a configuration cannot be used.
func summary(err error, otherwise string) string {
	var part *parts.Error
	if errors.As(err, &part) {
		return part.Summary
	}
	return otherwise
}

func connect(ctx context.Context, opts Options) (*ggipc.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, opts.ConnectTimeout)
	defer cancel()
	opts.IPC.QueueEvents = waitingRequests
	return ggipc.Connect(ctx, opts.IPC)
}
