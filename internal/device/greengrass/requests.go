package greengrass

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
)

// requests is the subscription to the request topic, as a part of the engine:
// the next topic is subscribed to before the last one is left. The first is
// subscribed to before the engine is there, and stays where the start fails and there
// is another one.
type requests struct {
	component *component    // that starts, or has; not changed any more once opened is closed
	opened    chan struct{} // closed when the component's engine takes requests, or the last start has failed
	opening   sync.Once     // guards the closing

	mu     sync.Mutex
	topics config.Topics       // guarded by mu
	taking *ggipc.Subscription // guarded by mu; nil before hear
	left   seen                // by subscriptions that are left, and before there was an engine; guarded by mu

	asked atomic.Bool // somebody wants to know how the component fares
}

// seen is what subscriptions counted.
type seen struct {
	lost    uint64 // requests that could not even be answered
	renewed uint64 // times that they were made again
	deaf    uint64 // of these because the nucleus had forgotten them
}

func (s *seen) add(by *ggipc.Subscription) {
	s.lost += by.Dropped() + by.Malformed()
	s.renewed += by.Renewed()
	s.deaf += by.Deaf()
}

// beat is how often the subscription tries whether it still hears: nucleus lite
// alone forgets subscriptions without telling.
func (c *component) beat(cfg config.Config) time.Duration {
	if !c.lite {
		return 0
	}
	return cfg.IPC.Beat
}

// Requests that wait to be looked at, in number and in bytes.
const (
	waitingRequests = 16_384
	waitingBytes    = 4 << 20
)

// PartTopics is what the topics are called in a *parts.Error.
const PartTopics = "topics"

func (r *requests) subscription() *ggipc.Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taking
}

// open has the component's engine take requests.
func (r *requests) open() { r.opening.Do(func() { close(r.opened) }) }

// busy reports whether requests wait or are in work.
func (r *requests) busy() bool {
	select {
	case <-r.opened:
		return r.component.engine != nil && r.component.engine.Busy()
	default:
		return false
	}
}

// hear subscribes to the request topic, unless a start before has. What comes before
// the engine takes requests waits in the subscription: it costs a moment, where what
// nobody hears is gone.
func (r *requests) hear(ctx context.Context, cfg config.Config) error {
	if r.subscription() != nil {
		return nil
	}
	taking, err := r.subscribe(ctx, cfg.Topics.Request)
	r.mu.Lock()
	r.topics, r.taking = cfg.Topics, taking
	r.mu.Unlock()
	return err
}

func (r *requests) subscribe(ctx context.Context, topic string) (*ggipc.Subscription, error) {
	s, err := r.component.client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: topic, Overflow: r.turnAway}, r.take)
	if err != nil {
		err = fmt.Errorf("subscribe to requests on topic %s: %w (see accessControl in the component's recipe)", topic, err)
		return nil, &parts.Error{Part: PartTopics, Summary: "the request topic cannot be subscribed to", Err: err}
	}
	return s, nil
}

// Prepare subscribes to the request topic of next, where that is another one.
func (r *requests) Prepare(ctx context.Context, next config.Config) (parts.Change, error) {
	if ggipc.MaxMessage(next.IPC.MaxFrame, next.Topics.Result) < request.MinResult {
		err := fmt.Errorf("ipc.maxFrameBytes is %d: with so long a name of topics.result no result would fit into a frame; raise it, or shorten the name", next.IPC.MaxFrame)
		return parts.Change{}, &parts.Error{Part: PartTopics, Summary: "frames are too small for results", Err: err}
	}
	r.mu.Lock()
	old, replacement := r.taking, r.taking
	same := r.topics.Request == next.Topics.Request
	r.mu.Unlock()
	queueBytes := max(waitingBytes, 2*int64(next.IPC.MaxFrame)) // an image in a request may fill a frame
	if !same {
		var err error
		if replacement, err = r.subscribe(ctx, next.Topics.Request); err != nil {
			return parts.Change{}, err
		}
	}
	return parts.Change{
		Commit: func() {
			r.component.client.SetMaxFrame(next.IPC.MaxFrame)
			r.component.out.configure(next)
			replacement.SetQueueBytes(queueBytes)
			replacement.SetBeat(r.component.beat(next))
			r.mu.Lock()
			r.topics, r.taking = next.Topics, replacement
			if old != replacement {
				old.Finish() // requests that have come are still taken
				r.left.add(old)
			}
			r.mu.Unlock()
		},
		Abort: func() {
			if replacement != old {
				replacement.Close()
			}
		},
	}, nil
}

// take hands a request to the engine.
func (r *requests) take(ctx context.Context, m ggipc.TopicMessage) {
	if health.IsQuestion(m.Bytes()) {
		r.asked.Store(true)
		return
	}
	<-r.opened
	if e := r.component.engine; e != nil {
		e.SubmitDocument(ctx, job.Requester{Way: job.WayIPC}, m.Bytes(), r.component.out.result)
	}
}

// turnAway answers a request that came faster than requests can be looked at.
func (r *requests) turnAway(m ggipc.TopicMessage) {
	if health.IsQuestion(m.Bytes()) {
		r.asked.Store(true)
		return
	}
	select {
	case <-r.opened:
		if e := r.component.engine; e != nil {
			e.TurnAway(m.Bytes(), r.component.out.result)
		}
	default:
		r.mu.Lock()
		r.left.lost++
		r.mu.Unlock()
	}
}

// seen is what all subscriptions counted so far.
func (r *requests) seen() seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.left
	if r.taking != nil {
		all.add(r.taking)
	}
	return all
}
