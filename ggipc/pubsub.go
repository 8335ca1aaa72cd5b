package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/brainseg/brainseg/ggipc/internal/beat"
	"github.com/brainseg/brainseg/ggipc/internal/servicemodel"
)

// PublishToTopicRequest is a message for local publish/subscribe. Exactly one of
// Binary and JSON is set; Binary may be empty but not nil.
//
// Prefer Binary, also for JSON documents: nucleus lite parses JSON messages with
// little room, and one with more than about 20 keys or 44 list elements silently
// ends the subscriptions that match it.
type PublishToTopicRequest struct {
	Topic  string
	Binary []byte
	JSON   json.RawMessage // the classic nucleus takes an object only
}

// PublishToTopic publishes a message on the device. Success means that the
// nucleus took it, not that anybody received it.
func (c *Client) PublishToTopic(ctx context.Context, r PublishToTopicRequest) error {
	if (r.Binary == nil) == (r.JSON == nil) {
		return errors.New("greengrass PublishToTopic: exactly one of Binary and JSON must be set")
	}
	return c.Call(ctx, "PublishToTopic", struct {
		Topic          string                      `json:"topic"`
		PublishMessage servicemodel.PublishMessage `json:"publishMessage"`
	}{r.Topic, servicemodel.NewPublishMessage(r.Binary, r.JSON)}, nil)
}

// ReceiveMode says whether a component receives what it published itself. The
// classic nucleus obeys it; nucleus lite ignores it and always delivers.
type ReceiveMode string

// The receive modes. Without one the classic nucleus takes FromOthers for a
// filter with wildcards and AllMessages otherwise.
const (
	ReceiveAllMessages        ReceiveMode = "RECEIVE_ALL_MESSAGES"
	ReceiveMessagesFromOthers ReceiveMode = "RECEIVE_MESSAGES_FROM_OTHERS"
)

// SubscribeToTopicRequest names a topic or an MQTT filter of local
// publish/subscribe.
type SubscribeToTopicRequest struct {
	Topic       string      `json:"topic"`
	ReceiveMode ReceiveMode `json:"receiveMode,omitempty"`

	// Overflow, if not nil, takes the messages for which the subscription's queue
	// has no room, instead of their being dropped. It runs on the goroutine that
	// reads the connection: it must return at once, and must not call the client.
	Overflow func(TopicMessage) `json:"-"`

	// Beat, if not 0, is how often the subscription tries whether it is heard, by
	// publishing a message to itself on Topic, which has no wildcards then and on
	// which the component may publish. A subscription that does not hear it twice is
	// made again, within 2 x Beat; what was published meanwhile is lost. It is for
	// nucleus lite, which forgets all subscriptions without a word when the service
	// that passes messages on (ggpubsubd) is restarted. The classic nucleus forgets
	// none. Default: never. Two seconds are a good choice.
	//
	// Handlers never see a beat, their own or that of another component. Others that
	// subscribe to the topic see binary messages, JSON objects with the one member
	// "ggipcBeat", and ignore them.
	Beat time.Duration `json:"-"`
}

// TopicMessage is a message of local publish/subscribe: Binary, or JSON as the
// publisher's text.
type TopicMessage struct {
	Topic  string
	Binary []byte
	JSON   json.RawMessage
}

// Bytes returns the message, whichever of the two kinds it was sent as.
func (m TopicMessage) Bytes() []byte {
	if m.JSON != nil {
		return m.JSON
	}
	return m.Binary
}

// SubscribeToTopic calls handle for every message that matches. ctx bounds the
// wait for the nucleus' consent; the context that handle gets ends with the
// subscription.
func (c *Client) SubscribeToTopic(ctx context.Context, r SubscribeToTopicRequest, handle func(context.Context, TopicMessage)) (*Subscription, error) {
	var overflow func([]byte) error
	if r.Overflow != nil {
		overflow = func(payload []byte) error {
			m, err := servicemodel.DecodeTopicMessage(payload)
			if err == nil {
				r.Overflow(TopicMessage(m))
			}
			return err
		}
	}
	if r.Beat != 0 && strings.ContainsAny(r.Topic, "+#") {
		return nil, fmt.Errorf("greengrass SubscribeToTopic: a subscription to the filter %s cannot have beats: nothing can be published to it", r.Topic)
	}
	s := &Subscription{operation: "SubscribeToTopic", eventType: "SubscriptionResponseMessage", topic: r.Topic, beats: beat.New(r.Beat)}
	return c.start(ctx, s, r, func(ctx context.Context, payload []byte) error {
		m, err := servicemodel.DecodeTopicMessage(payload)
		if err == nil {
			handle(ctx, TopicMessage(m))
		}
		return err
	}, overflow)
}
