package greengrass

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
)

// publisher sends results and status messages, each kind in order, from
// goroutines of its own, so that neither the work nor the reading of requests
// waits for a nucleus or a network.
type publisher struct {
	logger  *zap.Logger
	limit   int // bytes of a result
	results *outbox
	local   *outbox // status on the device
	cloud   *outbox // status to AWS IoT Core
}

// Sizes of the outboxes, in messages. A full outbox of results makes the worker
// wait; a full one of status messages drops the oldest.
const (
	resultsKept = 64
	statusKept  = 256
)

func newPublisher(client *ggipc.Client, cfg config.Config, logger *zap.Logger) *publisher {
	publish := func(topic string) func(context.Context, []byte) error {
		return func(ctx context.Context, b []byte) error {
			return client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: topic, Binary: b})
		}
	}
	return &publisher{
		logger:  logger,
		limit:   ggipc.MaxMessage(cfg.IPC.MaxFrame, cfg.Topics.Result),
		results: newOutbox("result", resultsKept, true, publish(cfg.Topics.Result), logger),
		local:   newOutbox("status", statusKept, true, publish(cfg.Topics.Status), logger),
		cloud: newOutbox("status to AWS IoT Core", statusKept, false, func(ctx context.Context, b []byte) error {
			return client.PublishToIoTCore(ctx, ggipc.PublishToIoTCoreRequest{Topic: cfg.Topics.Status, Payload: b})
		}, logger),
	}
}

// result queues a result. It waits while the outbox is full.
func (p *publisher) result(r request.Result) {
	document, err := r.Encode(p.limit)
	if err != nil {
		p.logger.Error("result cannot be published", zap.Error(err))
		return
	}
	p.results.put(document)
}

// status queues a status message; it never waits.
func (p *publisher) status(m request.Status) {
	document, err := json.Marshal(m)
	if err != nil {
		p.logger.Error("status cannot be published", zap.Error(err))
		return
	}
	p.local.offer(document)
	p.cloud.offer(document)
}

// close sends what is queued, as far as that works at once.
func (p *publisher) close() {
	var closing sync.WaitGroup
	for _, o := range []*outbox{p.results, p.local, p.cloud} {
		closing.Go(o.close)
	}
	closing.Wait()
}

// closeTime is how long an outbox goes on sending when it is closed.
const closeTime = 2 * time.Second

// outbox sends messages one after the other, again and again where trying later
// may help.
type outbox struct {
	name string
	// persistent: what fails is tried again while the outbox is being closed.
	// Not so for the cloud: a device that is offline would wait for nothing.
	persistent bool
	send       func(context.Context, []byte) error
	logger     *zap.Logger
	queue      chan []byte
	dropped    atomic.Uint64
	ctx        context.Context // ends when nothing more is sent
	cancel     context.CancelFunc
	closing    chan struct{} // closed when only what is queued remains to be sent
	done       chan struct{} // closed when run has ended
}

func newOutbox(name string, size int, persistent bool, send func(context.Context, []byte) error, logger *zap.Logger) *outbox {
	o := &outbox{
		name: name, persistent: persistent, send: send, logger: logger,
		queue: make(chan []byte, size), closing: make(chan struct{}), done: make(chan struct{}),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	go o.run()
	return o
}

// put queues a message and waits while the outbox is full.
func (o *outbox) put(b []byte) {
	select {
	case o.queue <- b:
	case <-o.ctx.Done():
	}
}

// offer queues a message and drops the oldest where there is no room.
func (o *outbox) offer(b []byte) {
	for {
		select {
		case o.queue <- b:
			return
		default:
		}
		select {
		case <-o.queue:
			if o.dropped.Add(1) == 1 {
				o.logger.Warn("messages are being dropped", zap.String("kind", o.name))
			}
		default:
		}
	}
}

func (o *outbox) run() {
	defer close(o.done)
	for {
		select {
		case b := <-o.queue:
			o.deliver(b)
			continue
		default:
		}
		select {
		case b := <-o.queue:
			o.deliver(b)
		case <-o.closing:
			if len(o.queue) == 0 {
				return
			}
		case <-o.ctx.Done():
			return
		}
	}
}

// deliver sends one message until it is taken or can never be.
func (o *outbox) deliver(b []byte) {
	var closing <-chan struct{}
	if !o.persistent {
		closing = o.closing
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 30*time.Second
	for attempt := 1; ; attempt++ {
		err := o.send(o.ctx, b)
		if err == nil || o.ctx.Err() != nil {
			return
		}
		var refusal *ggipc.Error
		var tooLarge *ggipc.FrameTooLargeError
		if errors.As(err, &refusal) && !refusal.Retryable() || errors.As(err, &tooLarge) {
			o.logger.Error("message refused", zap.String("kind", o.name), zap.Error(err))
			return
		}
		if attempt == 1 {
			o.logger.Info("message not sent yet, trying again", zap.String("kind", o.name), zap.Error(err))
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-closing:
			o.cancel() // what is queued behind it would fare no better
			return
		case <-o.ctx.Done():
			return
		}
	}
}

// giveUpAfter ends the outbox after a time: a nucleus that is gone and takes no
// results must not hold the workers, which wait while the outbox is full.
func (o *outbox) giveUpAfter(d time.Duration) {
	select {
	case <-time.After(d):
		o.cancel()
	case <-o.done:
	}
}

// close sends what is queued for at most closeTime. What is put or offered
// later is lost.
func (o *outbox) close() {
	close(o.closing)
	select {
	case <-o.done:
	case <-time.After(closeTime):
	}
	o.cancel()
	<-o.done
}
