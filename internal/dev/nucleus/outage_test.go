package nucleus

import (
	"errors"
	"testing"

	"github.com/brainseg/brainseg/ggipc/frame"
)

func TestAfterARestartOnlyNewTokensAreTaken(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		old := n.Token("com.example.A")
		c := connect(t, n, "com.example.A")
		if err := n.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f, err := c.frames.Read(); err == nil {
			t.Errorf("the old connection goes on with %+v", f)
		}
		if n.Token("com.example.A") == old {
			t.Error("the token is the old one")
		}
		connect(t, n, "com.example.A").succeed("GetConfiguration", `{}`)
		c = dial(t, n)
		c.greet(old)
		if f, err := c.frames.Read(); err == nil && f.Flags == frame.ConnectionAccepted {
			t.Error("the old token is still good")
		}
	})
}

func TestSubscriptionsAreDeafOnceLocalPublishSubscribeWasAway(t *testing.T) {
	n := pair(t, Options{Profile: Lite})
	a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
	b.succeed("SubscribeToTopic", `{"topic":"t"}`)
	if err := n.SetPubSub(false); err != nil {
		t.Fatal(err)
	}
	if code, _ := a.fail("PublishToTopic", publish("t", hello)); code != codeService {
		t.Errorf("publish while it is away: %s", code)
	}
	if code, _ := b.fail("SubscribeToTopic", `{"topic":"t"}`); code != codeService {
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
