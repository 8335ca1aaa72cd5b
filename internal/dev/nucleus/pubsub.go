package nucleus

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus/accesscontrol"
	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
	"github.com/brainseg/brainseg/internal/dev/nucleus/topicfilter"
)

func (n *Nucleus) publishToTopic(r *operation.Request) (map[string]any, error) {
	topic, present, err := r.Text("topic")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, r.Invalid("Publish topic must not be null")
	}
	if n.profile == Lite && len(topic) > ggipc.MaxTopic {
		return nil, r.Invalid("")
	}
	if err := n.authorizeUnder(r, Classic, accesscontrol.PubSub, topic); err != nil {
		return nil, err
	}
	kind, body, err := publishMessage(r)
	if err != nil {
		return nil, err
	}
	if n.profile == Classic && strings.ContainsAny(topic, "+#*") {
		return nil, r.Invalid("Publish topic must not contain a wildcard.")
	}
	if err := n.authorizeUnder(r, Lite, accesscontrol.PubSub, topic); err != nil {
		return nil, err
	}
	if n.mute {
		return nil, &operation.Refusal{Code: operation.CodeService, Message: "Failed to publish the message."}
	}
	return map[string]any{}, n.deliver(r.Stream.Component(), topic, kind, body)
}

// authorizeUnder authorizes under one profile: classic does so before it looks
// at the rest of the request, lite after.
func (n *Nucleus) authorizeUnder(r *operation.Request, profile Profile, service, resource string) error {
	if n.profile != profile {
		return nil
	}
	return n.authorize(r, service, resource)
}

// publishMessage reads the union of binaryMessage and jsonMessage and returns
// which it is and what it carries, in the form in which it is handed on.
func publishMessage(r *operation.Request) (kind string, body any, err error) {
	union, ok := r.Arguments["publishMessage"].(map[string]any)
	if !ok {
		return "", nil, r.Unusable("publishMessage is missing")
	}
	var member map[string]any
	for _, name := range []string{"binaryMessage", "jsonMessage"} {
		v, present := union[name]
		if !present || v == nil && r.Profile == Classic {
			continue
		}
		if kind != "" {
			return "", nil, r.Unusable("publishMessage must have exactly one member")
		}
		if member, ok = v.(map[string]any); !ok {
			return "", nil, r.Mistyped()
		}
		kind = name
	}
	body, ok = member["message"]
	if !ok {
		return "", nil, r.Unusable("publishMessage has no message")
	}
	if r.Profile == Lite { // it hands base64 on unread, and any JSON
		if _, ok := body.(string); kind == "binaryMessage" && !ok {
			return "", nil, r.Mistyped()
		}
		return kind, body, nil
	}
	switch body := body.(type) {
	case string:
		if _, err := base64.StdEncoding.DecodeString(body); err == nil && kind == "binaryMessage" {
			return kind, body, nil
		}
	case map[string]any:
		if kind == "jsonMessage" {
			return kind, document.JavaNumbers(body), nil
		}
	}
	return "", nil, r.Mistyped()
}

// rich reports whether a jsonMessage has more values than nucleus lite has room
// for between its pub/sub and its IPC daemon: 44 elements of a list or 20 keys
// of a map still arrive, 50 and 24 do not. Six are taken up by the envelope.
func rich(message any) bool { return document.CountValues(message)+6 > 50 }

// deliver sends a local message to its subscribers. n.mu is held.
func (n *Nucleus) deliver(from, topic, kind string, body any) error {
	lost := n.profile == Lite && kind == "jsonMessage" && rich(body) && !n.keepRich
	if n.profile == Lite && kind == "jsonMessage" {
		var err error
		if body, err = document.LiteIntegers(body); err != nil {
			return nil // the event is lost, the publisher is not told
		}
	}
	payload, err := document.Append(nil, map[string]any{
		kind: map[string]any{"message": body, "context": map[string]any{"topic": topic}},
	})
	if err != nil {
		return err
	}
	match := topicfilter.MatchClassic
	if n.profile == Lite {
		match = topicfilter.MatchMQTT
	}
	for _, sub := range slices.Clone(n.topics) {
		switch {
		case !match(sub.filter, topic):
		case sub.fromOthers && sub.stream.Component() == from:
		case lost:
			n.unsubscribe(sub.stream)
		default:
			sub.event("SubscriptionResponseMessage", payload)
		}
	}
	return nil
}

// Publish publishes bytes to a local topic as some other component does, one
// that no policy holds back.
func (n *Nucleus) Publish(topic string, message []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.deliver("", topic, "binaryMessage", base64.StdEncoding.EncodeToString(message))
}

// Hears reports whether a component has a subscription to the local topics of a filter.
func (n *Nucleus) Hears(component, filter string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.topics, func(s *subscription) bool {
		return s.filter == filter && s.stream.Component() == component
	})
}

func (n *Nucleus) subscribeToTopic(r *operation.Request) (map[string]any, error) {
	topic, _, err := r.Text("topic")
	if err != nil {
		return nil, err
	}
	if topic == "" || n.profile == Lite && len(topic) > ggipc.MaxTopic {
		return nil, r.Invalid("Subscribe topic must not be empty")
	}
	mode, stated := "", false
	if n.profile == Classic { // lite does not look at it
		if mode, stated, err = r.Text("receiveMode"); err != nil {
			return nil, err
		}
	}
	if err := n.authorize(r, accesscontrol.PubSub, topic); err != nil {
		return nil, err
	}
	if n.mute {
		return nil, &operation.Refusal{Code: operation.CodeService, Message: "Failed to bind subscription."}
	}
	if n.subscriptions > 0 && len(n.topics) >= n.subscriptions {
		return nil, &operation.Refusal{Code: operation.CodeService}
	}
	fromOthers := mode == "RECEIVE_MESSAGES_FROM_OTHERS" || n.profile == Classic && !stated && topicfilter.HasWildcard(topic)
	n.subscribe(&n.topics, &subscription{stream: r.Stream, filter: topic, fromOthers: fromOthers})
	return map[string]any{}, nil
}
