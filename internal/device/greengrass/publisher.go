package greengrass

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
)

// publisher sends results and status messages, each kind in order, from
// goroutines of its own, so that neither the work nor the reading of requests
// waits for a nucleus or a network.
type publisher struct {
	logger  *zap.Logger
	publish func(context.Context, message) error // on the device
	results *outbox                              // and acknowledgements; not the answers that a queue on disk keeps
	local   *outbox                              // status on the device
	cloud   *outbox                              // status to AWS IoT Core

	mu     sync.Mutex
	topics config.Topics // guarded by mu
	limit  int           // bytes of a result; guarded by mu
}

func newPublisher(client *ggipc.Client, cfg config.Config, logger *zap.Logger) *publisher {
	publish := func(ctx context.Context, m message) error {
		return client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: m.topic, Binary: m.document})
	}
	p := &publisher{
		logger:  logger,
		publish: publish,
		results: newOutbox("result", publish, logger),
		local:   newOutbox("status", publish, logger),
		cloud: newOutbox("status to AWS IoT Core", func(ctx context.Context, m message) error {
			return client.PublishToIoTCore(ctx, ggipc.PublishToIoTCoreRequest{Topic: m.topic, Payload: m.document})
		}, logger),
	}
	p.configure(cfg)
	return p
}

// configure sets the topics of what is published from now on.
func (p *publisher) configure(cfg config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.topics, p.limit = cfg.Topics, ggipc.MaxMessage(cfg.IPC.MaxFrame, cfg.Topics.Result)
}

func (p *publisher) configured() (topics config.Topics, limit int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topics, p.limit
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
	p.results.put(message{topic: topics.Result, document: document, result: true, claim: o.Claim})
}

// status queues a status message; it never waits.
func (p *publisher) status(s request.Status) {
	document, err := s.Encode()
	if err != nil {
		p.logger.Error("status cannot be published", zap.Error(err))
		return
	}
	topics, _ := p.configured()
	m := message{topic: topics.Status, document: document}
	p.local.put(m)
	p.cloud.put(m)
}

// close sends what is queued, until ctx ends.
func (p *publisher) close(ctx context.Context) {
	var closing sync.WaitGroup
	for _, o := range []*outbox{p.results, p.local, p.cloud} {
		closing.Go(func() { o.close(ctx) })
	}
	closing.Wait()
}
