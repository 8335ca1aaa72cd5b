package nucleus

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus/ipcserver"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
	"github.com/google/go-cmp/cmp"
)

func TestIoTCoreIsHeldToItsArguments(t *testing.T) {
	const ok = ""
	tests := []struct{ name, operation, payload, classic, lite string }{
		{"complete", "PublishToIoTCore", `{"topicName":"t","qos":"1","payload":"aGk="}`, ok, ok},
		{"no qos", "PublishToIoTCore", `{"topicName":"t","payload":"aGk="}`, operation.CodeInvalid, ok},
		{"qos is a number", "PublishToIoTCore", `{"topicName":"t","qos":1,"payload":"aGk="}`, operation.CodeInvalid, ok},
		{"qos 2", "PublishToIoTCore", `{"topicName":"t","qos":"2","payload":"aGk="}`, operation.CodeInvalid, operation.CodeService},
		{"no payload", "PublishToIoTCore", `{"topicName":"t","qos":"1"}`, operation.CodeInvalid, ok},
		{"null payload", "PublishToIoTCore", `{"topicName":"t","qos":"1","payload":null}`, operation.CodeInvalid, operation.CodeService},
		{"bad base64", "PublishToIoTCore", `{"topicName":"t","qos":"1","payload":"?"}`, "InternalServerError", operation.CodeService},
		{"no topic", "PublishToIoTCore", `{"qos":"1","payload":""}`, operation.CodeInvalid, operation.CodeService},
		{"wildcard", "PublishToIoTCore", `{"topicName":"t/#","qos":"1","payload":""}`, operation.CodeInvalid, operation.CodeService},
		{"nine levels", "PublishToIoTCore", `{"topicName":"1/2/3/4/5/6/7/8/9","qos":"1","payload":""}`, operation.CodeInvalid, operation.CodeService},
		{"subscription", "SubscribeToIoTCore", `{"topicName":"t/+","qos":"1"}`, ok, ok},
		{"subscription without qos", "SubscribeToIoTCore", `{"topicName":"t/+"}`, operation.CodeInvalid, ok},
		{"filter that a broker refuses", "SubscribeToIoTCore", `{"topicName":"t/#/a","qos":"1"}`, operation.CodeService, operation.CodeService},
	}
	profiles(t, func(t *testing.T, p Profile) {
		c := connect(t, pair(t, Options{Profile: p}), "com.example.A")
		for _, test := range tests {
			want := map[Profile]string{Classic: test.classic, Lite: test.lite}[p]
			got := ok
			if want == ok {
				c.succeed(test.operation, test.payload)
			} else {
				got, _ = c.fail(test.operation, test.payload)
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", test.name, got, want)
			}
		}
	})
}

func TestTheCloudSeesWhatComponentsPublish(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p, SpoolBytes: 5})
		c := connect(t, n, "com.example.A")
		messages, cancel := n.SubscribeCloud("up/#")
		say := func(payload string) string { return `{"topicName":"up/x","qos":"1","payload":"` + payload + `"}` }
		next := func() (payload string) {
			select {
			case m := <-messages:
				if m.Topic != "up/x" || m.QoS != 1 {
					t.Errorf("got %+v", m)
				}
				return string(m.Payload)
			case <-time.After(patience):
				t.Fatal("nothing reached the cloud")
				return ""
			}
		}
		c.succeed("PublishToIoTCore", say("aGk="))
		if got := next(); got != "hi" {
			t.Errorf("got %q", got)
		}
		n.SetOnline(false)
		if err := n.PublishFromCloud("down", nil); !errors.Is(err, ErrOffline) {
			t.Errorf("publish from an unreachable cloud: %v", err)
		}
		if p == Lite {
			if code, _ := c.fail("PublishToIoTCore", say("aGk=")); code != operation.CodeService {
				t.Errorf("offline: got %q", code)
			}
		} else {
			c.succeed("PublishToIoTCore", say("b25l"))
			if code, message := c.fail("PublishToIoTCore", say("dHdv")); code != operation.CodeService || !strings.Contains(message, "full") {
				t.Errorf("spool that is full: got %q, %q", code, message)
			}
		}
		n.SetOnline(true)
		if p == Classic {
			if got := next(); got != "one" {
				t.Errorf("got %q from the spool", got)
			}
		}
		cancel()
		cancel()
		if _, open := <-messages; open {
			t.Error("a message that should not be there")
		}
	})
}

func TestConfigurationIsReadAsInEachNucleus(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := start(t, Options{Profile: p, Components: []Component{
			{Name: "com.example.A", Configuration: map[string]any{"n": 1, "f": 1.5, "b": true, "s": "x", "l": []any{1, "y"}, "m": map[string]any{"k": 2}, "nothing": nil}},
			{Name: "aws.greengrass.NucleusLite", Configuration: map[string]any{"awsRegion": "eu-west-1"}},
			{Name: "com.example.Empty"},
		}})
		c := connect(t, n, "com.example.A")
		values := map[Profile]map[string]string{
			Classic: {
				`[]`:        `{"b":true,"f":1.5,"l":[1,"y"],"m":{"k":2},"n":1,"nothing":null,"s":"x"}`,
				`["m"]`:     `{"k":2}`,
				`["m","k"]`: `{"k":2}`,
				`["l"]`:     `{"l":[1,"y"]}`,
			},
			Lite: {
				`[]`:        `{"b":"true","f":"1.5","l":["1","y"],"m":{"k":"2"},"n":"1","nothing":"null","s":"x"}`,
				`["m"]`:     `{"k":"2"}`,
				`["m","k"]`: `{"k":"2"}`,
				`["l"]`:     `{"l":["1","y"]}`,
			},
		}[p]
		for path, want := range values {
			got := string(c.succeed("GetConfiguration", `{"keyPath":`+path+`}`).Payload)
			if diff := cmp.Diff(`{"componentName":"com.example.A","value":`+want+`}`, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
		for _, payload := range []string{`{"keyPath":["none"]}`, `{"keyPath":["s","x"]}`, `{"keyPath":["l","0"]}`, `{"componentName":"none","keyPath":[]}`} {
			if code, _ := c.fail("GetConfiguration", payload); code != operation.CodeNotFound {
				t.Errorf("%s: got %q", payload, code)
			}
		}
		if got := string(c.succeed("GetConfiguration", `{"componentName":"com.example.Empty","keyPath":[]}`).Payload); !strings.Contains(got, `"value":{}`) {
			t.Errorf("empty configuration: %s", got)
		}
		nucleus := `{"componentName":"aws.greengrass.Nucleus","keyPath":["awsRegion"]}`
		if p == Lite {
			c.succeed("GetConfiguration", nucleus)
		} else if code, _ := c.fail("GetConfiguration", nucleus); code != operation.CodeNotFound {
			t.Errorf("alias of the nucleus under classic: got %q", code)
		}
	})
}

func TestConfigurationUpdatesAreHeldToTheirArguments(t *testing.T) {
	const ok = ""
	tests := []struct{ name, payload, classic, lite string }{
		{"leaf", `{"keyPath":["a"],"timestamp":2000000000.5,"valueToMerge":{"new":1}}`, ok, ok},
		{"new container", `{"keyPath":["x","y"],"timestamp":2000000000.5,"valueToMerge":{"new":1}}`, ok, ok},
		{"no key path", `{"timestamp":2000000001.5,"valueToMerge":{"top":1}}`, ok, ok},
		{"whole seconds", `{"keyPath":["a"],"timestamp":2000000002,"valueToMerge":{"new":1}}`, ok, operation.CodeInvalid},
		{"no timestamp", `{"keyPath":["a"],"valueToMerge":{"new":1}}`, operation.CodeInvalid, operation.CodeInvalid},
		{"timestamp is a string", `{"keyPath":["a"],"timestamp":"1.5","valueToMerge":{"new":1}}`, operation.CodeInvalid, operation.CodeInvalid},
		{"timestamp is absurd", `{"keyPath":["a"],"timestamp":1e300,"valueToMerge":{"new":1}}`, operation.CodeInvalid, operation.CodeInvalid},
		{"old", `{"keyPath":["a"],"timestamp":1000.5,"valueToMerge":{"new":2}}`, operation.CodeConflict, ok},
		{"no value", `{"keyPath":["a"],"timestamp":2000000003.5}`, operation.CodeInvalid, operation.CodeInvalid},
		{"value is no object", `{"keyPath":["a"],"timestamp":2000000003.5,"valueToMerge":1}`, operation.CodeInvalid, operation.CodeService},
		{"key path names a leaf", `{"keyPath":["a","b","c"],"timestamp":2000000003.5,"valueToMerge":{"d":1}}`, operation.CodeInvalid, operation.CodeService},
		{"key path through a leaf", `{"keyPath":["a","b","c","d","e"],"timestamp":2000000003.5,"valueToMerge":{"d":1}}`, operation.CodeInvalid, operation.CodeService},
		{"policies", `{"keyPath":["accessControl","x"],"timestamp":2000000003.5,"valueToMerge":{"d":1}}`, operation.CodeInvalid, operation.CodeInvalid},
		{"policies in the value", `{"keyPath":[],"timestamp":2000000003.5,"valueToMerge":{"accessControl":{}}}`, operation.CodeInvalid, operation.CodeInvalid},
		{"key path of numbers", `{"keyPath":[1],"timestamp":2000000003.5,"valueToMerge":{"d":1}}`, "InternalServerError", operation.CodeInvalid},
	}
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		c := connect(t, n, "com.example.A")
		before, _ := n.Configuration("com.example.A", "accessControl")
		for _, test := range tests {
			want := map[Profile]string{Classic: test.classic, Lite: test.lite}[p]
			got := ok
			if want == ok {
				c.succeed("UpdateConfiguration", test.payload)
			} else {
				got, _ = c.fail("UpdateConfiguration", test.payload)
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", test.name, got, want)
			}
		}
		after, _ := n.Configuration("com.example.A", "accessControl")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("policies changed:\n%s", diff)
		}
		want := json.Number("1.0") // what a component writes becomes a double in classic
		if p == Lite {
			want = "1"
		}
		if got, _ := n.Configuration("com.example.A", "a", "new"); got != want {
			t.Errorf("value after a refused or older update: got %v, want %v", got, want)
		}
	})
}

func TestConfigurationSubscribersHearOfEachChangedLeafBelowTheirKey(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := pair(t, Options{Profile: p})
		c := connect(t, n, "com.example.A")
		all := c.succeed("SubscribeToConfigurationUpdate", `{"keyPath":[]}`).StreamID
		leaf := c.succeed("SubscribeToConfigurationUpdate", `{"keyPath":["a","b","c"]}`).StreamID
		other := connect(t, n, "com.example.B")
		foreign := other.succeed("SubscribeToConfigurationUpdate", `{"componentName":"com.example.A","keyPath":["a"]}`).StreamID
		if code, _ := c.fail("SubscribeToConfigurationUpdate", `{"keyPath":["none"]}`); code != operation.CodeNotFound {
			t.Errorf("missing key: got %q", code)
		}
		err := n.MergeConfiguration("com.example.A", []string{"a"}, map[string]any{"b": map[string]any{"c": 7}, "new": 2})
		if err != nil {
			t.Fatal(err)
		}
		event := func(path string) string {
			return `{"configurationUpdateEvent":{"componentName":"com.example.A","keyPath":` + path + `}}`
		}
		c.event(all, "ConfigurationUpdateEvents", event(`["a","b","c"]`))
		c.event(leaf, "ConfigurationUpdateEvents", event(`["a","b","c"]`))
		c.event(all, "ConfigurationUpdateEvents", event(`["a","new"]`))
		other.event(foreign, "ConfigurationUpdateEvents", event(`["a","b","c"]`))
		other.event(foreign, "ConfigurationUpdateEvents", event(`["a","new"]`))
		if err := n.MergeConfiguration("com.example.A", []string{"a"}, map[string]any{"new": 2}); err != nil {
			t.Fatal(err)
		}
		c.nothing()
		if err := n.MergeConfiguration("com.example.None", nil, map[string]any{}); !errors.Is(err, ipcserver.ErrUnknownComponent) {
			t.Errorf("unknown component: %v", err)
		}
	})
}

func TestADeploymentThatChangesPoliciesTakesEffectAtOnce(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := start(t, Options{Profile: p, Components: []Component{{Name: "com.example.A"}}})
		c := connect(t, n, "com.example.A")
		if code, _ := c.fail("PublishToTopic", publish("t", hello)); code != operation.CodeUnauthorized {
			t.Errorf("without a policy: got %q", code)
		}
		if err := n.MergeConfiguration("com.example.A", []string{"accessControl"}, everything()); err != nil {
			t.Fatal(err)
		}
		c.succeed("PublishToTopic", publish("t", hello))
	})
}

func TestLiteCannotReadBackIntegersThatItGarbles(t *testing.T) {
	c := connect(t, pair(t, Options{Profile: Lite}), "com.example.A")
	c.succeed("UpdateConfiguration", `{"keyPath":["a"],"timestamp":2000000000.5,"valueToMerge":{"nanoseconds":1795414893857684400}}`)
	if code, _ := c.fail("GetConfiguration", `{"keyPath":["a"]}`); code != operation.CodeService {
		t.Errorf("got %q", code)
	}
}

func TestUpdatesWaitForTheComponentsThatSubscribed(t *testing.T) {
	n := pair(t, Options{})
	a, b := connect(t, n, "com.example.A"), connect(t, n, "com.example.B")
	streamA := a.succeed("SubscribeToComponentUpdates", `{}`).StreamID
	streamB := b.succeed("SubscribeToComponentUpdates", `{}`).StreamID
	done := make(chan error, 1)
	go func() { done <- n.BeginUpdate(t.Context(), "d") }()
	const before, after = `{"preUpdateEvent":{"deploymentId":"d","isGgcRestarting":false}}`, `{"postUpdateEvent":{"deploymentId":"d"}}`
	a.event(streamA, "ComponentUpdatePolicyEvents", before)
	b.event(streamB, "ComponentUpdatePolicyEvents", before)
	if code, _ := a.fail("DeferComponentUpdate", `{"deploymentId":"other","recheckAfterMs":0}`); code != operation.CodeService {
		t.Errorf("answer to another deployment: got %q", code)
	}
	if code, _ := a.fail("DeferComponentUpdate", `{"recheckAfterMs":0}`); code != operation.CodeInvalid {
		t.Errorf("answer without a deployment: got %q", code)
	}
	if err := n.BeginUpdate(t.Context(), "d2"); err == nil {
		t.Error("a second update began beside the first")
	}
	a.succeed("DeferComponentUpdate", `{"deploymentId":"d","recheckAfterMs":30}`)
	a.nothing() // B has not answered
	b.succeed("DeferComponentUpdate", `{"deploymentId":"d","recheckAfterMs":0}`)
	a.event(streamA, "ComponentUpdatePolicyEvents", before)
	b.event(streamB, "ComponentUpdatePolicyEvents", before)
	a.succeed("DeferComponentUpdate", `{"deploymentId":"d"}`)
	b.conn.Close() // a component that died is not waited for
	a.event(streamA, "ComponentUpdatePolicyEvents", after)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if code, _ := a.fail("DeferComponentUpdate", `{"deploymentId":"d"}`); code != operation.CodeService {
		t.Errorf("answer that comes too late: got %q", code)
	}
}

func TestUpdatesDoNotWaitForEver(t *testing.T) {
	n := pair(t, Options{UpdateTimeout: 50 * time.Millisecond})
	c := connect(t, n, "com.example.A")
	c.succeed("SubscribeToComponentUpdates", `{}`)
	if err := n.BeginUpdate(t.Context(), "ignored"); err != nil {
		t.Errorf("update that nobody answers: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.BeginUpdate(ctx, "cancelled"); !errors.Is(err, context.Canceled) {
		t.Errorf("update called off: %v", err)
	}
	var events []string
	for range 4 {
		events = append(events, string(c.read().Payload))
	}
	want := []string{
		`{"preUpdateEvent":{"deploymentId":"ignored","isGgcRestarting":false}}`, `{"postUpdateEvent":{"deploymentId":"ignored"}}`,
		`{"preUpdateEvent":{"deploymentId":"cancelled","isGgcRestarting":false}}`, `{"postUpdateEvent":{"deploymentId":"cancelled"}}`,
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := pair(t, Options{Profile: Lite}).BeginUpdate(t.Context(), "d"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("under lite: %v", err)
	}
}

func TestLiteCannotAnswerWithMoreThanItsFrame(t *testing.T) {
	n := pair(t, Options{Profile: Lite})
	if err := n.MergeConfiguration("com.example.A", []string{"large"}, strings.Repeat("x", 10000)); err != nil {
		t.Fatal(err)
	}
	c := connect(t, n, "com.example.A")
	if code, _ := c.fail("GetConfiguration", `{"keyPath":["large"]}`); code != operation.CodeService {
		t.Errorf("got %q", code)
	}
	c.succeed("GetConfiguration", `{"keyPath":["a"]}`)
}

func TestTokensAreValidatedForTheStreamManagerOnly(t *testing.T) {
	profiles(t, func(t *testing.T, p Profile) {
		n := start(t, Options{Profile: p, Components: []Component{{Name: "com.example.A"}, {Name: "aws.greengrass.StreamManager"}}})
		ask := `{"token":"` + n.Token("com.example.A") + `"}`
		manager := connect(t, n, "aws.greengrass.StreamManager")
		if got := string(manager.succeed("ValidateAuthorizationToken", ask).Payload); got != `{"isValid":true}` {
			t.Errorf("got %s", got)
		}
		if code, _ := manager.fail("ValidateAuthorizationToken", `{"token":"x"}`); code != operation.CodeInvalidToken {
			t.Errorf("unknown token: got %q", code)
		}
		if code, _ := connect(t, n, "com.example.A").fail("ValidateAuthorizationToken", ask); code != operation.CodeUnauthorized {
			t.Errorf("ordinary component: got %q", code)
		}
	})
}
