package greengrass

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
)

// session is what outlives a change of the configuration: the connection, its
// subscriptions, and messages that are still to be sent. Requests that come
// while one service closes and the next opens wait for the next.
type session struct {
	client   *ggipc.Client
	out      *publisher
	topics   config.Topics
	ipc      config.IPC
	logger   *zap.Logger
	requests *ggipc.Subscription // nil before subscribe

	services chan *engine.Service // holds the one that takes requests, or nothing
	changes  chan struct{}        // holds one where the configuration may have changed
	ended    func() bool          // stops waiting for the end of the component
}

// Requests that wait between two services, in number and in bytes. More than the
// next one's queue takes are answered as busy rather than lost.
const (
	waitingRequests = 1024
	waitingBytes    = 4 << 20
)

func openSession(ctx context.Context, opts Options, cfg config.Config) (*session, error) {
	opts.IPC.MaxFrame = cfg.IPC.MaxFrame
	opts.IPC.QueueEvents = waitingRequests
	opts.IPC.QueueBytes = max(waitingBytes, 2*int64(cfg.IPC.MaxFrame)) // an image in a request may fill a frame
	client, err := connect(ctx, opts)
	if err != nil {
		return nil, err
	}
	s := &session{
		client: client, out: newPublisher(client, cfg, opts.Logger), topics: cfg.Topics, ipc: cfg.IPC, logger: opts.Logger,
		services: make(chan *engine.Service, 1), changes: make(chan struct{}, 1),
	}
	s.ended = context.AfterFunc(ctx, func() { s.out.results.giveUpAfter(opts.StopTimeout) })
	return s, nil
}

// fits reports whether the session can go on with a configuration.
func (s *session) fits(cfg config.Config) bool {
	return s.topics == cfg.Topics && s.ipc == cfg.IPC && s.client.Err() == nil
}

// close sends what is queued, as far as that works at once, and disconnects.
func (s *session) close() {
	s.ended()
	s.out.close()
	s.client.Close()
}

// attach gives requests to a service, until the function that it returns is
// called. That waits for the request that is being handed over.
func (s *session) attach(svc *engine.Service) (detach func()) {
	s.services <- svc
	return func() { <-s.services }
}

// subscribe has requests, announced updates and changes of the configuration
// told, once for the session.
func (s *session) subscribe(ctx context.Context) error {
	if s.requests != nil {
		return nil
	}
	requests, err := s.client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: s.topics.Request}, s.take)
	if err != nil {
		return fmt.Errorf("subscribe to requests on topic %s: %w (see accessControl in the component's recipe)", s.topics.Request, err)
	}
	err = s.watchUpdates(ctx)
	if err == nil {
		err = s.watchConfiguration(ctx)
	}
	if err != nil {
		requests.Close()
		return err
	}
	s.requests = requests
	return nil
}

// take hands a request to the service, and waits while there is none.
func (s *session) take(ctx context.Context, m ggipc.TopicMessage) {
	select {
	case svc := <-s.services:
		svc.Handle(m.Bytes(), func(o engine.Outcome) { s.out.result(o.Result) })
		s.services <- svc
	case <-ctx.Done():
	}
}

// busy reports whether requests are waiting or in work.
func (s *session) busy() bool {
	select {
	case svc := <-s.services:
		defer func() { s.services <- svc }()
		return svc.Busy()
	default:
		return true // a request is being handed over, or there is no service
	}
}

// updateRecheck is how long a deployment waits before it asks again whether the
// component may be updated while it works.
const updateRecheck = 15 * time.Second

// watchUpdates answers announced updates: go ahead, or later while requests are
// in work. Nucleus lite announces none.
func (s *session) watchUpdates(ctx context.Context) error {
	_, err := s.client.SubscribeToComponentUpdates(ctx, func(ctx context.Context, u ggipc.ComponentUpdate) {
		if !u.Pre {
			return
		}
		answer := ggipc.DeferComponentUpdateRequest{DeploymentID: u.DeploymentID}
		if s.busy() {
			answer.Message, answer.RecheckAfter = "requests are in work", updateRecheck
		}
		if err := s.client.DeferComponentUpdate(ctx, answer); err != nil {
			s.logger.Warn("answer to an announced update failed", zap.Error(err))
		}
	})
	if ggipc.Unsupported(err) {
		return nil
	}
	var refusal *ggipc.Error
	if errors.As(err, &refusal) {
		s.logger.Warn("updates are not announced to this component", zap.Error(err))
		return nil
	}
	return err
}

// watchConfiguration has changes told. A component without any configuration is
// told of none.
func (s *session) watchConfiguration(ctx context.Context) error {
	_, err := s.client.SubscribeToConfigurationUpdate(ctx, "", nil, func(context.Context, ggipc.ConfigurationUpdate) { s.configurationMayHaveChanged() })
	var refusal *ggipc.Error
	if errors.As(err, &refusal) {
		s.logger.Warn("configuration changes take effect at the next start only", zap.Error(err))
		return nil
	}
	return err
}

func (s *session) configurationMayHaveChanged() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}
