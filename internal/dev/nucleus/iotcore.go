package nucleus

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus/accesscontrol"
	"github.com/brainseg/brainseg/internal/dev/nucleus/document"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
	"github.com/brainseg/brainseg/internal/dev/nucleus/topicfilter"
)

// cloudBuffer is how many messages wait for a reader of SubscribeCloud.
const cloudBuffer = 4096

// Message is one message between a component and AWS IoT Core.
type Message struct {
	Topic   string
	Payload []byte
	QoS     int // 0 or 1
	// Properties are the MQTT 5 members of the request that the profile hands
	// on (retain, userProperties, responseTopic, …), as in the service model.
	Properties map[string]any
}

// cloud is AWS IoT Core as seen from the device.
type cloud struct {
	online     bool
	spool      []Message // waits for the connection, classic
	spoolBytes int
	watchers   []*watcher
}

// watcher is a subscriber on the side of the cloud.
type watcher struct {
	filter   string
	messages chan Message
}

// SetOnline connects and disconnects the nucleus from IoT Core. What the classic
// nucleus spooled is sent when it comes back.
func (n *Nucleus) SetOnline(online bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cloud.online = online
	if !online {
		return
	}
	spool := n.cloud.spool
	n.cloud.spool, n.cloud.spoolBytes = nil, 0
	for _, m := range spool {
		n.reachCloud(m)
	}
}

// SubscribeCloud returns the messages that reach the cloud from now on, on
// topics that the MQTT filter covers. cancel ends it and closes the channel;
// while 4096 messages wait for the reader, further ones are lost.
func (n *Nucleus) SubscribeCloud(filter string) (messages <-chan Message, cancel func()) {
	w := &watcher{filter: filter, messages: make(chan Message, cloudBuffer)}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cloud.watchers = append(n.cloud.watchers, w)
	return w.messages, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if i := slices.Index(n.cloud.watchers, w); i >= 0 {
			n.cloud.watchers = slices.Delete(n.cloud.watchers, i, i+1)
			close(w.messages)
		}
	}
}

// PublishFromCloud sends a message from the cloud to the components that
// subscribed to its topic. It fails with ErrOffline while the nucleus is offline.
func (n *Nucleus) PublishFromCloud(topic string, payload []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.cloud.online {
		return fmt.Errorf("publish from cloud: %w", ErrOffline)
	}
	return n.toComponents(Message{Topic: topic, Payload: payload, QoS: 1})
}

// reachCloud gives a message of a component to the cloud, which loops it back.
// n.mu is held.
func (n *Nucleus) reachCloud(m Message) error {
	for _, w := range n.cloud.watchers {
		if !topicfilter.MatchMQTT(w.filter, m.Topic) {
			continue
		}
		copied := m
		copied.Payload = slices.Clone(m.Payload)
		select {
		case w.messages <- copied:
		default:
			n.lost.Add(1)
		}
	}
	return n.toComponents(m)
}

// toComponents sends a message of the cloud to subscribed components. n.mu is held.
func (n *Nucleus) toComponents(m Message) error {
	body := map[string]any{"topicName": m.Topic, "payload": base64.StdEncoding.EncodeToString(m.Payload)}
	for name, value := range m.Properties {
		body[name] = value
	}
	payload, err := document.Append(nil, map[string]any{"message": body})
	if err != nil {
		return err
	}
	for _, sub := range n.iotCore {
		if topicfilter.MatchMQTT(sub.filter, m.Topic) {
			sub.event("IoTCoreMessage", payload)
		}
	}
	return nil
}

// qos reads the argument of that name: a string in the service model; lite also
// takes a number, and does without.
func qos(r *operation.Request) (int, error) {
	v, present := r.Arguments["qos"]
	text, ok := v.(string)
	if number, isNumber := v.(json.Number); isNumber && r.Profile == Lite {
		text, ok = number.String(), true
	}
	switch {
	case !present && r.Profile == Lite:
		return 0, nil
	case ok && text == "0":
		return 0, nil
	case ok && text == "1":
		return 1, nil
	case !present || v == nil:
		return 0, r.Invalid("QoS is required")
	}
	return 0, r.Invalid("QoS must be 0 or 1")
}

func (n *Nucleus) publishToIoTCore(r *operation.Request) (map[string]any, error) {
	topic, present, err := r.Text("topicName")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, r.Invalid("Topic name is required")
	}
	encoded, present, err := r.Text("payload")
	if err != nil {
		return nil, err
	}
	if !present && n.profile == Classic {
		return nil, r.Invalid("Payload is required")
	}
	level, err := qos(r)
	if err != nil {
		return nil, err
	}
	payload, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, r.Mistyped()
	}
	if err := n.authorize(r, accesscontrol.MQTT, topic); err != nil {
		return nil, err
	}
	m := Message{Topic: topic, Payload: payload, QoS: level}
	if n.profile == Classic {
		m.Properties = make(map[string]any)
		for _, name := range []string{"retain", "userProperties", "messageExpiryIntervalSeconds", "correlationData", "responseTopic", "payloadFormat"} {
			if v, ok := r.Arguments[name]; ok && v != nil {
				m.Properties[name] = v
			}
		}
	}
	unusable := strings.ContainsAny(topic, "+#") || !topicfilter.WithinIoTCoreLimits(topic) || len(payload) > ggipc.MaxIoTCorePayload
	switch {
	case unusable && n.profile == Classic:
		return nil, r.Invalid("Topic or payload is not accepted by AWS IoT Core")
	case unusable || !n.cloud.online && n.profile == Lite:
		return nil, &operation.Refusal{Code: operation.CodeService, Message: "Failed to publish the message."}
	case !n.cloud.online:
		return map[string]any{}, n.spool(m)
	}
	return map[string]any{}, n.reachCloud(m)
}

// spool keeps a message until the nucleus is online again, as classic does with
// its default configuration: QoS 0 is not kept.
func (n *Nucleus) spool(m Message) error {
	cloud := &n.cloud
	switch {
	case m.QoS == 0:
		return &operation.Refusal{Code: operation.CodeService, Message: "Device is offline. Dropping QoS 0 message."}
	case cloud.spoolBytes+len(m.Payload) > n.spoolBytes:
		return &operation.Refusal{Code: operation.CodeService, Message: "Message spool is full. Message could not be added."}
	}
	cloud.spool = append(cloud.spool, m)
	cloud.spoolBytes += len(m.Payload)
	return nil
}

func (n *Nucleus) subscribeToIoTCore(r *operation.Request) (map[string]any, error) {
	filter, present, err := r.Text("topicName")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, r.Invalid("Topic name is required")
	}
	if _, err := qos(r); err != nil {
		return nil, err
	}
	if err := n.authorize(r, accesscontrol.MQTT, filter); err != nil {
		return nil, err
	}
	if !topicfilter.Valid(filter) || !n.cloud.online && n.profile == Lite {
		return nil, &operation.Refusal{Code: operation.CodeService, Message: "Failed to bind the subscription."}
	}
	n.subscribe(&n.iotCore, &subscription{stream: r.Stream, filter: filter})
	return map[string]any{}, nil
}
