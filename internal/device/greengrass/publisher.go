package greengrass

import (
	"context"
	"math"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/delivery"
	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/outbox"
	"github.com/brainseg/brainseg/internal/device/request"
)

// publisher sends results and status messages, each kind in order, from
// goroutines of its own, so that neither the work nor the reading of requests
// waits for a nucleus or a network.
type publisher struct {
	client  *ggipc.Client
	logger  *zap.Logger
	results *outbox.Outbox // and acknowledgements; not the answers that a queue on disk keeps
	local   *outbox.Outbox // status on the device
	cloud   *outbox.Outbox // status to AWS IoT Core

	mu       sync.Mutex
	topics   config.Topics // guarded by mu
	maxFrame int           // guarded by mu
	away     time.Duration // for which AWS IoT Core was, and is back since; guarded by mu
}

func newPublisher(client *ggipc.Client, cfg config.Config, logger *zap.Logger) *publisher {
	p := &publisher{client: client, logger: logger}
	box := func(name string, o outbox.LinkOptions) *outbox.Outbox {
		return outbox.New(outbox.Options{Name: name, Link: p.link(name, o), Logger: logger})
	}
	p.results = box("result", outbox.LinkOptions{Send: p.publish})
	p.local = box("status", outbox.LinkOptions{Send: p.publish})
	p.cloud = box("status to AWS IoT Core", outbox.LinkOptions{Send: p.publishToIoTCore, Back: p.back})
	p.configure(cfg)
	return p
}

// link returns a link that tells the log when the other side is away.
func (p *publisher) link(name string, o outbox.LinkOptions) *outbox.Link {
	o.Away = func(err error) {
		p.logger.Info("message not sent yet, trying again", zap.String("kind", name), zap.Error(err))
	}
	return outbox.NewLink(o)
}

// publish sends on the device.
func (p *publisher) publish(ctx context.Context, m outbox.Message) error {
	return p.client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: m.Topic, Binary: m.Document})
}

func (p *publisher) publishToIoTCore(ctx context.Context, m outbox.Message) error {
	return p.client.PublishToIoTCore(ctx, ggipc.PublishToIoTCoreRequest{Topic: m.Topic, Payload: m.Document})
}

// keep has status messages that AWS IoT Core does not take yet kept in a folder, over
// restarts. It is the queue's, which lets one process in.
func (p *publisher) keep(folder string, damaged func(setAside string, cause error)) {
	p.cloud.Keep(filepath.Join(folder, "outbox.db"), damaged)
}

// deliver has the answers of a queue sent: to the components that asked, and to AWS IoT
// Core. Where the nucleus does not allow the latter they wait for a deployment that
// corrects that.
func (p *publisher) deliver(q *diskqueue.Queue) []*delivery.Sender {
	start := func(to, name string, most int, o outbox.LinkOptions) *delivery.Sender {
		return delivery.Start(delivery.Options{Queue: q, To: to, Link: p.link(name, o), Logger: p.logger, Target: func() (string, int) {
			topics, limit := p.configured()
			return topics.Result, min(limit, most)
		}})
	}
	return []*delivery.Sender{
		start(diskqueue.ToIPC, "answer", math.MaxInt, outbox.LinkOptions{Send: p.publish}),
		start(diskqueue.ToIoTCore, "answer to AWS IoT Core", ggipc.MaxIoTCorePayload, outbox.LinkOptions{
			Send:     p.publishToIoTCore,
			Hopeless: func(err error) bool { return outbox.Hopeless(err) && !ggipc.HasCode(err, ggipc.CodeUnauthorized) },
		}),
	}
}

// back notes that AWS IoT Core is reachable again.
func (p *publisher) back(away time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away += away
}

// wasAway returns for how long AWS IoT Core was away, once, when it is back.
func (p *publisher) wasAway() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	away := p.away
	p.away = 0
	return away
}

// configure sets the topics of what is published from now on.
func (p *publisher) configure(cfg config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics, p.maxFrame = cfg.Topics, cfg.IPC.MaxFrame
}

// configured returns the topics and the most bytes that a result may have.
func (p *publisher) configured() (topics config.Topics, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topics, ggipc.MaxMessage(p.maxFrame, p.topics.Result)
}

// result queues a result; it never waits.
func (p *publisher) result(o job.Outcome) {
	topics, limit := p.configured()
	document, err := o.Document, error(nil)
	if document == nil || len(document) > limit {
		document, err = o.Result.Encode(limit)
	}
	if err != nil {
		o.Claim.Release()
		p.logger.Error("result cannot be published", zap.Error(err))
		return
	}
	p.results.Put(outbox.Message{Topic: topics.Result, Document: document, Attempt: max(1, o.Result.Attempt), Claim: o.Claim})
}

// status queues a status message; it never waits.
func (p *publisher) status(s request.Status) {
	document, err := s.Encode()
	if err != nil {
		p.logger.Error("status cannot be published", zap.Error(err))
		return
	}
	topics, _ := p.configured()
	m := outbox.Message{Topic: topics.Status, Document: document}
	p.local.Put(m)
	p.cloud.Put(m)
}

// close sends what is queued, until ctx ends.
func (p *publisher) close(ctx context.Context) {
	var closing sync.WaitGroup
	for _, o := range []*outbox.Outbox{p.results, p.local, p.cloud} {
		closing.Go(func() { o.Close(ctx) })
	}
	closing.Wait()
}
