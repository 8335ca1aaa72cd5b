package nucleus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
)

func TestPublishedMessagesReachTheSubscribersThatMatch(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
		exact := b.succeed("SubscribeToTopic", `{"topic":"x/y"}`)
		if exact.Flags != 0 {
			t.Errorf("flags of the response to a subscription: %d", exact.Flags)
		}
		wild := b.succeed("SubscribeToTopic", `{"topic":"x/+"}`)
		answer := a.succeed("PublishToTopic", publish("x/y", hello))
		if want := map[Profile]frame.Flags{Classic: frame.TerminateStream}[p]; answer.Flags != want {
			t.Errorf("flags of the response to a call: got %d, want %d", answer.Flags, want)
		}
		b.event(exact.StreamID, "SubscriptionResponseMessage", received("x/y"))
		b.event(wild.StreamID, "SubscriptionResponseMessage", received("x/y"))
		b.write(&frame.Frame{StreamID: exact.StreamID, Flags: frame.TerminateStream})
		b.write(&frame.Frame{StreamID: exact.StreamID, Flags: frame.TerminateStream}) // twice is harmless
		b.succeed("GetConfiguration", `{}`)                                           // the end was taken
		a.succeed("PublishToTopic", publish("x/y", hello))
		b.event(wild.StreamID, "SubscriptionResponseMessage", received("x/y"))
		b.nothing()
		n.EndSubscriptions("com.example.B")
		if f := b.read(); f.StreamID != wild.StreamID || !f.Terminates() || len(f.Payload) > 0 {
			t.Errorf("end of a subscription: got %+v", f)
		}
	})
}

func TestPublishIsHeldToItsArguments(t *testing.T) {
	jsonMessage := func(value string) string { return publish("t", `"jsonMessage":{"message":`+value+`}`) }
	list := func(count int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", count), ",") + "]" }
	const ok = ""
	tests := []struct{ name, payload, classic, lite string }{
		{"bytes", publish("t", hello), ok, ok},
		{"empty bytes", publish("t", `"binaryMessage":{"message":""}`), ok, ok},
		{"bad base64", publish("t", `"binaryMessage":{"message":"?"}`), "InternalServerError", ok},
		{"object", jsonMessage(`{"a":[1,null]}`), ok, ok},
		{"string", jsonMessage(`"s"`), "InternalServerError", ok},
		{"null", jsonMessage(`null`), "InternalServerError", ok},
		{"nesting of 13", jsonMessage(strings.Repeat(`{"a":`, 13) + "1" + strings.Repeat("}", 13)), ok, ok},
		{"nesting of 14", jsonMessage(strings.Repeat(`{"a":`, 14) + "1" + strings.Repeat("}", 14)), ok, operation.CodeService},
		{"200 values", jsonMessage(`{"a":` + list(200) + `}`), ok, operation.CodeService},
		{"integer beyond int64", jsonMessage(`{"a":18446744073709551615}`), ok, operation.CodeService},
		{"no topic", `{"publishMessage":{` + hello + `}}`, operation.CodeInvalid, operation.CodeService},
		{"topic is a number", `{"topic":1,"publishMessage":{` + hello + `}}`, "InternalServerError", operation.CodeService},
		{"no message", `{"topic":"t"}`, operation.CodeService, operation.CodeService},
		{"empty message", publish("t", ""), operation.CodeService, operation.CodeService},
		{"two messages", publish("t", hello+`,"jsonMessage":{"message":{}}`), operation.CodeService, operation.CodeService},
		{"null beside it", publish("t", hello+`,"jsonMessage":null`), ok, operation.CodeService},
		{"wildcard", publish("t/#", hello), operation.CodeInvalid, ok},
		{"question mark", publish("t?", hello), operation.CodeUnauthorized, operation.CodeUnauthorized},
		{"256 bytes", publish(strings.Repeat("t", 256), hello), ok, ok},
		{"257 bytes", publish(strings.Repeat("t", 257), hello), ok, operation.CodeService},
	}
	profiles(t, func(t *testing.T, p Profile) {
		c := connect(t, pair(t, Options{Profile: p}), "com.example.A")
		for _, test := range tests {
			want := map[Profile]string{Classic: test.classic, Lite: test.lite}[p]
			got := ok
			if want == ok {
				c.succeed("PublishToTopic", test.payload)
			} else {
				got, _ = c.fail("PublishToTopic", test.payload)
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", test.name, got, want)
			}
		}
	})
}

func TestReceiveModeIsClassicOnly(t *testing.T) {
	tests := []struct {
		payload string
		classic bool // hears its own component
	}{
		{`{"topic":"t"}`, true},
		{`{"topic":"+"}`, false},
		{`{"topic":"#"}`, false},
		{`{"topic":"+","receiveMode":"RECEIVE_ALL_MESSAGES"}`, true},
		{`{"topic":"t","receiveMode":"RECEIVE_MESSAGES_FROM_OTHERS"}`, false},
	}
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		same, other := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
		for _, test := range tests {
			c := connect(t, n, "com.example.A")
			id := c.succeed("SubscribeToTopic", test.payload).StreamID
			same.succeed("PublishToTopic", publish("t", hello))
			if p == Lite || test.classic {
				c.event(id, "SubscriptionResponseMessage", received("t"))
			} else {
				c.nothing()
			}
			other.succeed("PublishToTopic", publish("t", hello))
			c.event(id, "SubscriptionResponseMessage", received("t"))
		}
	})
}

func TestJSONMessagesChangeOnTheirWayAsInEachNucleus(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
		id := b.succeed("SubscribeToTopic", `{"topic":"t"}`).StreamID
		a.succeed("PublishToTopic", publish("t", `"jsonMessage":{"message":{"b":1,"a":1.5,"c":"<&>"},"context":{"topic":"forged"}}`))
		want := `{"jsonMessage":{"context":{"topic":"t"},"message":{"a":1.5000000000000000,"b":1,"c":"<&>"}}}`
		if p == Classic {
			want = `{"jsonMessage":{"context":{"topic":"t"},"message":{"a":1.5,"b":1.0,"c":"<&>"}}}`
		}
		b.event(id, "SubscriptionResponseMessage", want)
	})
}

func TestLiteLosesSubscriptionsToARichDocument(t *testing.T) {
	list := func(count int) string {
		return publish("t", `"jsonMessage":{"message":[`+strings.TrimSuffix(strings.Repeat("1,", count), ",")+`]}`)
	}
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept is %v", keep), func(t *testing.T) {
			n := pair(t, Options{Profile: Lite, KeepRichSubscriptions: keep})
			a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
			id := b.succeed("SubscribeToTopic", `{"topic":"t"}`).StreamID
			a.succeed("PublishToTopic", list(44))
			b.read()
			a.succeed("PublishToTopic", list(50))
			if keep {
				b.read()
			}
			a.succeed("PublishToTopic", publish("t", hello))
			if keep {
				b.event(id, "SubscriptionResponseMessage", received("t"))
				return
			}
			b.nothing()
			id = b.succeed("SubscribeToTopic", `{"topic":"t"}`).StreamID
			a.succeed("PublishToTopic", publish("t", hello))
			b.event(id, "SubscriptionResponseMessage", received("t"))
		})
	}
}

func TestLiteDropsEventsLargerThanItsFrame(t *testing.T) {
	n := pair(t, Options{Profile: Lite})
	a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
	b.succeed("SubscribeToTopic", `{"topic":"t"}`)
	// The event carries more headers than the request.
	a.succeed("PublishToTopic", publish("t", `"binaryMessage":{"message":"`+strings.Repeat("A", 9812)+`"}`))
	b.nothing()
	if got := n.DroppedEvents(); got != 1 {
		t.Errorf("dropped events: got %d, want 1", got)
	}
}

func TestLiteBoundsConnectionsAndSubscriptions(t *testing.T) {
	n := pair(t, Options{Profile: Lite})
	c := connect(t, n, "com.example.A")
	for range 99 {
		c.succeed("SubscribeToTopic", `{"topic":"t"}`)
	}
	if code, _ := c.fail("SubscribeToTopic", `{"topic":"t"}`); code != operation.CodeService {
		t.Errorf("100th subscription: got %q", code)
	}
	var clients []*client
	for range 49 {
		clients = append(clients, connect(t, n, "com.example.B"))
	}
	dial(t, n).closed()
	clients[0].conn.Close()
	for end := time.Now().Add(patience); n.Connected("com.example.A")+n.Connected("com.example.B") == 50; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection of a client that left is still there")
		}
	}
	connect(t, n, "com.example.B")
}

func TestSubscriptionsAreDeafOnceLocalPublishSubscribeWasAway(t *testing.T) {
	n := pair(t, Options{Profile: Lite})
	a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
	b.succeed("SubscribeToTopic", `{"topic":"t"}`)
	if err := n.SetPubSub(false); err != nil {
		t.Fatal(err)
	}
	if code, _ := a.fail("PublishToTopic", publish("t", hello)); code != operation.CodeService {
		t.Errorf("publish while it is away: %s", code)
	}
	if code, _ := b.fail("SubscribeToTopic", `{"topic":"t"}`); code != operation.CodeService {
		t.Errorf("subscribe while it is away: %s", code)
	}
	if err := n.SetPubSub(true); err != nil {
		t.Fatal(err)
	}
	a.succeed("PublishToTopic", publish("t", hello))
	b.nothing()
	again := b.succeed("SubscribeToTopic", `{"topic":"t"}`)
	a.succeed("PublishToTopic", publish("t", hello))
	b.event(again.StreamID, "SubscriptionResponseMessage", received("t"))
	classic := pair(t, Options{Profile: Classic})
	for _, err := range []error{classic.SetPubSub(false), classic.ForgetConfigurationSubscriptions()} {
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("classic: %v", err)
		}
	}
}

// BenchmarkPublish measures a message from the publisher's request to both the
// answer and the subscriber's event.
func BenchmarkPublish(b *testing.B) {
	for _, p := range []Profile{Classic, Lite} {
		b.Run(p.String(), func(b *testing.B) {
			n := pair(b, Options{Profile: p})
			publisher, subscriber := connect(b, n, "com.example.A"), connect(b, n, "com.example.B")
			subscriber.succeed("SubscribeToTopic", `{"topic":"t"}`)
			message := publish("t", `"binaryMessage":{"message":"`+strings.Repeat("AAAA", 256)+`"}`)
			for b.Loop() {
				publisher.succeed("PublishToTopic", message)
				subscriber.read()
			}
		})
	}
}
