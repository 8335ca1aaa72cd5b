package ggipc_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
)

func TestSlowHandlerCostsCountedEventsButNeverTheConnection(t *testing.T) {
	s := newServer(t)
	c := s.connect(func(o *ggipc.Options) { o.QueueEvents = 8 })
	release := make(chan struct{})
	var handled atomic.Int64
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(context.Context, ggipc.TopicMessage) {
		<-release
		handled.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 100
	for range sent {
		s.event(1, helloEvent)
	}
	if err := c.PublishToTopic(t.Context(), hello("t")); err != nil {
		t.Errorf("call while the handler is stuck: %v", err)
	}
	close(release)
	until(t, func() bool { return handled.Load()+int64(sub.Dropped()) == sent })
	if sub.Dropped() == 0 || handled.Load() < 8 {
		t.Errorf("handled %d, dropped %d of %d", handled.Load(), sub.Dropped(), sent)
	}
}

func TestWhatOverflowsIsHandedOverInsteadOfDropped(t *testing.T) {
	s := newServer(t)
	c := s.connect(func(o *ggipc.Options) { o.QueueEvents = 8 })
	release := make(chan struct{})
	var handled, overflowed atomic.Int64
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Overflow: func(m ggipc.TopicMessage) {
		if string(m.Bytes()) != "hello" || m.Topic != "t" {
			t.Errorf("message %+v", m)
		}
		overflowed.Add(1)
	}}, func(context.Context, ggipc.TopicMessage) {
		<-release
		handled.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 100
	for range sent {
		s.event(1, helloEvent)
	}
	until(t, func() bool { return overflowed.Load() >= sent-9 })
	close(release)
	until(t, func() bool { return handled.Load()+overflowed.Load() == sent })
	if sub.Dropped() != 0 || handled.Load() < 8 {
		t.Errorf("handled %d, handed over %d, dropped %d of %d", handled.Load(), overflowed.Load(), sub.Dropped(), sent)
	}
}

func TestASubscriptionThatIsFinishedHandlesWhatHasCome(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	release := make(chan struct{})
	var started, handled atomic.Int64
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(ctx context.Context, _ ggipc.TopicMessage) {
		if started.Add(1); ctx.Err() != nil {
			t.Error("the handler's context has ended")
		}
		<-release
		handled.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "u"}, func(context.Context, ggipc.TopicMessage) {
		started.Add(100)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	for range 5 {
		s.event(1, helloEvent)
	}
	s.event(2, helloEvent) // comes after them, and is handled at once
	until(t, func() bool { return started.Load() == 101 })
	sub.Finish()
	<-sub.Done()
	close(release)
	until(t, func() bool { return handled.Load() == 5 })
	if sub.Dropped() != 0 {
		t.Errorf("%d dropped", sub.Dropped())
	}
}

func TestQueueIsBoundedInBytesToo(t *testing.T) {
	s := newServer(t)
	c := s.connect(func(o *ggipc.Options) { o.QueueBytes = 10 })
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(context.Context, ggipc.TopicMessage) {
		t.Error("handler got an event larger than the queue")
	})
	if err != nil {
		t.Fatal(err)
	}
	s.event(1, helloEvent)
	until(t, func() bool { return sub.Dropped() == 1 })
}

func TestHandlerMayCallTheClient(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	outcome := make(chan error, 1)
	_, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(ctx context.Context, m ggipc.TopicMessage) {
		outcome <- c.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: "answer", Binary: m.Bytes()})
	})
	if err != nil {
		t.Fatal(err)
	}
	s.event(1, helloEvent)
	select {
	case err := <-outcome:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("call inside the handler did not end")
	}
}
