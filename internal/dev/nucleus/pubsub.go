package nucleus

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/ggipc"
)

// subscription is a stream on which events are sent.
type subscription struct {
	c      *connection
	stream int32

	filter     string   // local topics and IoT Core
	fromOthers bool     // local topics: not what the same component publishes
	component  string   // configuration: whose
	keyPath    []string // configuration: below which key
}

// subscribe adds a subscription to one of the lists. n.mu is held.
func (r *request) subscribe(list *[]*subscription, sub *subscription) {
	if old := r.c.streams[r.stream]; old != nil {
		r.n.unsubscribe(old) // lite takes a stream id twice
	}
	sub.c, sub.stream = r.c, r.stream
	r.c.streams[r.stream] = sub
	*list = append(*list, sub)
}

// unsubscribe takes a subscription out of the list that has it. n.mu is held.
// The stream stays open for the client.
func (n *Nucleus) unsubscribe(sub *subscription) {
	for _, list := range []*[]*subscription{&n.topics, &n.iotCore, &n.configs, &n.updates} {
		if i := slices.Index(*list, sub); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
		}
	}
	n.checkUpdate()
}

// event sends a document on a subscription.
func (sub *subscription) event(model string, payload []byte) {
	sub.c.sendEvent(message(sub.stream, model, payload))
}

func publishToTopic(r *request) (map[string]any, error) {
	topic, present, err := r.text("topic")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, r.invalid("Publish topic must not be null")
	}
	if r.n.profile == Lite && len(topic) > ggipc.MaxTopic {
		return nil, r.invalid("")
	}
	if err := r.authorizeUnder(Classic, pubsubService, topic); err != nil {
		return nil, err
	}
	kind, body, err := r.publishMessage()
	if err != nil {
		return nil, err
	}
	if r.n.profile == Classic && strings.ContainsAny(topic, "+#*") {
		return nil, r.invalid("Publish topic must not contain a wildcard.")
	}
	if err := r.authorizeUnder(Lite, pubsubService, topic); err != nil {
		return nil, err
	}
	if r.n.mute {
		return nil, &refusal{code: codeService, message: "Failed to publish the message."}
	}
	return map[string]any{}, r.n.deliver(r.component.name, topic, kind, body)
}

// authorizeUnder authorizes under one profile: classic does so before it looks
// at the rest of the request, lite after.
func (r *request) authorizeUnder(profile Profile, service, resource string) error {
	if r.n.profile != profile {
		return nil
	}
	return r.authorize(service, resource)
}

// publishMessage reads the union of binaryMessage and jsonMessage and returns
// which it is and what it carries, in the form in which it is handed on.
func (r *request) publishMessage() (kind string, body any, err error) {
	union, ok := r.args["publishMessage"].(map[string]any)
	if !ok {
		return "", nil, r.unusable("publishMessage is missing")
	}
	var member map[string]any
	for _, name := range []string{"binaryMessage", "jsonMessage"} {
		v, present := union[name]
		if !present || v == nil && r.n.profile == Classic {
			continue
		}
		if kind != "" {
			return "", nil, r.unusable("publishMessage must have exactly one member")
		}
		if member, ok = v.(map[string]any); !ok {
			return "", nil, r.mistyped()
		}
		kind = name
	}
	body, ok = member["message"]
	if !ok {
		return "", nil, r.unusable("publishMessage has no message")
	}
	if r.n.profile == Lite { // it hands base64 on unread, and any JSON
		if _, ok := body.(string); kind == "binaryMessage" && !ok {
			return "", nil, r.mistyped()
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
			return kind, javaNumbers(body), nil
		}
	}
	return "", nil, r.mistyped()
}

// unusable refuses a union as the profile does: the classic nucleus fails over
// it with a ServiceError.
func (r *request) unusable(message string) error {
	if r.n.profile == Lite {
		return r.invalid("")
	}
	return &refusal{code: codeService, message: message}
}

// deliver sends a local message to its subscribers. n.mu is held.
func (n *Nucleus) deliver(from, topic, kind string, body any) error {
	lost := n.profile == Lite && kind == "jsonMessage" && rich(body) && !n.keepRich
	if n.profile == Lite && kind == "jsonMessage" {
		var err error
		if body, err = liteIntegers(body); err != nil {
			return nil // the event is lost, the publisher is not told
		}
	}
	payload, err := appendJSON(nil, map[string]any{
		kind: map[string]any{"message": body, "context": map[string]any{"topic": topic}},
	})
	if err != nil {
		return err
	}
	for _, sub := range slices.Clone(n.topics) {
		switch {
		case !matchLocal(n.profile, sub.filter, topic):
		case sub.fromOthers && sub.c.component == from:
		case lost:
			n.unsubscribe(sub)
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

func subscribeToTopic(r *request) (map[string]any, error) {
	topic, _, err := r.text("topic")
	if err != nil {
		return nil, err
	}
	if topic == "" || r.n.profile == Lite && len(topic) > ggipc.MaxTopic {
		return nil, r.invalid("Subscribe topic must not be empty")
	}
	mode, stated := "", false
	if r.n.profile == Classic { // lite does not look at it
		if mode, stated, err = r.text("receiveMode"); err != nil {
			return nil, err
		}
	}
	if err := r.authorize(pubsubService, topic); err != nil {
		return nil, err
	}
	if r.n.mute {
		return nil, &refusal{code: codeService, message: "Failed to bind subscription."}
	}
	if r.n.limits.subscriptions > 0 && len(r.n.topics) >= r.n.limits.subscriptions {
		return nil, &refusal{code: codeService}
	}
	fromOthers := mode == "RECEIVE_MESSAGES_FROM_OTHERS" || r.n.profile == Classic && !stated && hasWildcard(topic)
	r.subscribe(&r.n.topics, &subscription{filter: topic, fromOthers: fromOthers})
	return map[string]any{}, nil
}
