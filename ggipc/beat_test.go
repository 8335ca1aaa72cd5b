package ggipc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/schemas"
)

// components starts a nucleus with a component that may do everything with topic
// t, and one that may only subscribe to it.
func components(t *testing.T, profile nucleus.Profile) *nucleus.Nucleus {
	t.Helper()
	access := func(id string, operations ...any) map[string]any {
		return map[string]any{"accessControl": map[string]any{"aws.greengrass.ipc.pubsub": map[string]any{
			id: map[string]any{"operations": operations, "resources": []any{"t", "replies"}},
		}}}
	}
	n, err := nucleus.New(nucleus.Options{Profile: profile, Components: []nucleus.Component{
		{Name: "both", Configuration: access("both:1", "*")},
		{Name: "listener", Configuration: access("listener:1", "aws.greengrass#SubscribeToTopic")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

func component(t *testing.T, n *nucleus.Nucleus, name string, logger *zap.Logger) *ggipc.Client {
	t.Helper()
	c, err := ggipc.Connect(t.Context(), ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(name), DrainTime: time.Millisecond, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestASubscriptionWithBeatsHearsAgainAfterItWasForgotten(t *testing.T) {
	n := components(t, nucleus.Lite)
	c := component(t, n, "both", nil)
	got := make(chan string, 1000)
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: 20 * time.Millisecond}, func(_ context.Context, m ggipc.TopicMessage) {
		got <- string(m.Bytes())
	})
	if err != nil {
		t.Fatal(err)
	}
	for life := range 3 {
		if err := n.SetPubSub(false); err != nil {
			t.Fatal(err)
		}
		if err := n.SetPubSub(true); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("hello in life %d", life)
		until(t, func() bool {
			if err := n.Publish("t", []byte(want)); err != nil {
				t.Error(err)
			}
			for len(got) > 0 {
				m := <-got
				if !strings.HasPrefix(m, "hello") {
					t.Errorf("the handler was given %q", m)
				}
				if m == want {
					return true
				}
			}
			return false
		})
		if sub.Deaf() < uint64(life+1) || sub.Renewed() < sub.Deaf() {
			t.Errorf("after outage %d: deaf %d times, renewed %d times", life+1, sub.Deaf(), sub.Renewed())
		}
	}
}

func TestASubscriptionWithoutBeatsStaysForgotten(t *testing.T) {
	n := components(t, nucleus.Lite)
	c := component(t, n, "both", nil)
	var heard []*ggipc.Subscription
	got := make(chan int, 100)
	for i, beat := range []time.Duration{0, 10 * time.Millisecond} {
		sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: beat}, func(context.Context, ggipc.TopicMessage) { got <- i })
		if err != nil {
			t.Fatal(err)
		}
		heard = append(heard, sub)
	}
	n.SetPubSub(false)
	n.SetPubSub(true)
	until(t, func() bool { return heard[1].Renewed() > 0 })
	n.Publish("t", []byte("hello"))
	if i := <-got; i != 1 {
		t.Error("it was heard without a beat")
	}
	heard[0].SetBeat(10 * time.Millisecond) // it can be had later, too
	until(t, func() bool { return heard[0].Renewed() > 0 })
}

func TestOthersKnowABeatAndHandlersNeverSeeOne(t *testing.T) {
	n := components(t, nucleus.Lite)
	c, other := component(t, n, "both", nil), component(t, n, "listener", nil)
	got := make(chan string, 100)
	take := func(_ context.Context, m ggipc.TopicMessage) { got <- string(m.Bytes()) }
	if _, err := other.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, take); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: time.Millisecond}, take); err != nil {
		t.Fatal(err)
	}
	similar := []string{`{"ggipcBeat":1,"id":"x"}`, `{"ggipcBeat"`, ` {"ggipcBeat":1}`, `{"ggipcBeats":1}`}
	for _, document := range similar {
		if err := n.Publish("t", []byte(document)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if m := <-got; m != document {
				t.Errorf("got %q, want %q", m, document)
			}
		}
	}
}

func TestABeatThatIsNotAllowedIsToldOnceAndHarmsNothing(t *testing.T) {
	n := components(t, nucleus.Lite)
	core, logs := observer.New(zapcore.WarnLevel)
	c := component(t, n, "listener", zap.New(core))
	got := make(chan struct{}, 1)
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: time.Millisecond}, func(context.Context, ggipc.TopicMessage) { got <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return logs.Len() > 0 })
	n.Publish("t", []byte("hello"))
	<-got
	if logs.Len() != 1 || sub.Deaf() != 0 {
		t.Errorf("%d warnings, deaf %d times", logs.Len(), sub.Deaf())
	}
}

func TestAFilterWithWildcardsCannotHaveBeats(t *testing.T) {
	c := component(t, components(t, nucleus.Lite), "both", nil)
	for _, topic := range []string{"t/#", "+/t"} {
		if _, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: topic, Beat: time.Second}, nil); err == nil {
			t.Errorf("%s: no error", topic)
		}
	}
}

// While events wait for a slow handler, and while they overflow, a beat is heard
// all the same: it does not wait in the queue.
func TestABusySubscriptionIsNotTakenForADeafOne(t *testing.T) {
	s := newServer(t)
	c := s.connect(func(o *ggipc.Options) { o.QueueEvents = 1 })
	release := make(chan struct{})
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: 40 * time.Millisecond}, func(context.Context, ggipc.TopicMessage) { <-release })
	if err != nil {
		t.Fatal(err)
	}
	defer close(release)
	for range 10 {
		validateBeat(t, s.next("PublishToTopic").Payload)
		s.event(1, `{"binaryMessage":{"message":"`+base64.StdEncoding.EncodeToString([]byte(`{"ggipcBeat":0}`))+`","context":{"topic":"t"}}}`)
		s.event(1, helloEvent)
	}
	if sub.Deaf() > 1 { // a machine that stands still for a while is no fault
		t.Errorf("deaf %d times", sub.Deaf())
	}
	if sub.Dropped() == 0 {
		t.Error("the queue was never full")
	}
}

// validateBeat holds a published message to the schema of beats.
func validateBeat(t *testing.T, payload []byte) {
	t.Helper()
	var published struct {
		PublishMessage struct {
			BinaryMessage struct{ Message []byte }
		}
	}
	if err := json.Unmarshal(payload, &published); err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas.Beat))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("beat", schema); err != nil {
		t.Fatal(err)
	}
	beat, err := jsonschema.UnmarshalJSON(bytes.NewReader(published.PublishMessage.BinaryMessage.Message))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiler.MustCompile("beat").Validate(beat); err != nil {
		t.Error(err)
	}
}

func TestARichMessageCostsASubscriptionWithBeatsSecondsAtMost(t *testing.T) {
	n := components(t, nucleus.Lite)
	c := component(t, n, "both", nil)
	got := make(chan string, 1000)
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: 20 * time.Millisecond}, func(_ context.Context, m ggipc.TopicMessage) { got <- string(m.Bytes()) })
	if err != nil {
		t.Fatal(err)
	}
	rich := "[" + strings.Repeat("1,", 60) + "1]" // nucleus lite gives up on subscriptions over it, and says nothing
	if err := c.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: "t", JSON: []byte(rich)}); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return sub.Deaf() > 0 && sub.Renewed() > 0 })
	n.Publish("t", []byte("hello"))
	if m := <-got; m != "hello" {
		t.Errorf("got %q", m)
	}
}

// The nucleus forgets whoever is subscribed while a question is under way.
func TestAnAnswerIsHeardThoughTheNucleusHasForgottenWhoAsked(t *testing.T) {
	n := components(t, nucleus.Lite)
	asker, answerer := component(t, n, "both", nil), component(t, n, "both", nil)
	asked := 0
	_, err := answerer.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t", Beat: 20 * time.Millisecond}, func(ctx context.Context, m ggipc.TopicMessage) {
		if asked++; asked == 1 {
			n.SetPubSub(false)
			n.SetPubSub(true)
			return
		}
		if err := answerer.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: "replies", Binary: []byte("answer")}); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	answer, err := asker.Ask(ctx, ggipc.AskRequest{
		Topic: "t", Message: []byte("question"), ReplyTopic: "replies", Every: 50 * time.Millisecond,
		Classify: func([]byte) ggipc.Reply { return ggipc.ReplyAnswer },
	})
	if err != nil || string(answer) != "answer" {
		t.Errorf("%q, %v", answer, err)
	}
}
