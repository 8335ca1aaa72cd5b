package ggipc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
)

func TestAskSendsTheSameAgainUntilItIsAcceptedAndThenWaits(t *testing.T) {
	defer onNucleus("com.example.Greeter")()
	client, err := ggipc.Connect(t.Context(), ggipc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	questions := make(chan string, 100)
	if _, err := client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "example/questions"}, func(_ context.Context, m ggipc.TopicMessage) {
		questions <- string(m.Bytes())
	}); err != nil {
		t.Fatal(err)
	}
	reply := func(text string) {
		t.Helper()
		if err := client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: "example/answers", Binary: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	type outcome struct {
		answer []byte
		err    error
	}
	came := make(chan outcome, 1)
	accepted := make(chan struct{})
	accept := sync.OnceFunc(func() { close(accepted) }) // subscribing again, a reply may come twice
	go func() {
		answer, err := client.Ask(t.Context(), ggipc.AskRequest{
			Topic: "example/questions", Message: []byte("the question"), ReplyTopic: "example/answers", Every: time.Millisecond,
			Classify: func(m []byte) ggipc.Reply {
				switch string(m) {
				case "accepted":
					accept()
					return ggipc.ReplyAccepted
				case "the answer":
					return ggipc.ReplyAnswer
				}
				return ggipc.ReplyNone
			},
		})
		came <- outcome{answer, err}
	}()
	for range 3 {
		if q := <-questions; q != "the question" {
			t.Errorf("asked %q", q)
		}
	}
	reply("an answer to another")
	reply("accepted")
	<-accepted
	<-questions // one that was under way, or a late one
	reply("the answer")
	if o := <-came; o.err != nil || string(o.answer) != "the answer" {
		t.Errorf("%q, %v", o.answer, o.err)
	}
}

func TestAskEndsWithItsContextAndWhereItMayNotPublish(t *testing.T) {
	defer onNucleus("com.example.Greeter")()
	client, err := ggipc.Connect(t.Context(), ggipc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	none := func([]byte) ggipc.Reply { return ggipc.ReplyNone }
	if _, err := client.Ask(ctx, ggipc.AskRequest{Topic: "example/questions", Message: []byte("x"), ReplyTopic: "example/answers", Classify: none}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without an answer: %v", err)
	}
	if _, err := client.Ask(t.Context(), ggipc.AskRequest{Topic: "somebody/else", Message: []byte("x"), ReplyTopic: "example/answers", Classify: none}); !ggipc.HasCode(err, ggipc.CodeUnauthorized) {
		t.Errorf("without the right to: %v", err)
	}
}
