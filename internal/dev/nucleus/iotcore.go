package nucleus

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/ggipc"
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
		if !matchMQTT(w.filter, m.Topic) {
			continue
		}
		copied := m
		copied.Payload = slices.Clone(m.Payload)
		select {
		case w.messages <- copied:
		default:
			n.dropped.Add(1)
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
	payload, err := appendJSON(nil, map[string]any{"message": body})
	if err != nil {
		return err
	}
	for _, sub := range n.iotCore {
		if matchMQTT(sub.filter, m.Topic) {
			sub.event("IoTCoreMessage", payload)
		}
	}
	return nil
}

// qos reads the argument of that name: a string in the service model; lite also
// takes a number, and does without.
func (r *request) qos() (int, error) {
	v, present := r.args["qos"]
	text, ok := v.(string)
	if number, isNumber := v.(json.Number); isNumber && r.n.profile == Lite {
		text, ok = number.String(), true
	}
	switch {
	case !present && r.n.profile == Lite:
		return 0, nil
	case ok && text == "0":
		return 0, nil
	case ok && text == "1":
		return 1, nil
	case !present || v == nil:
		return 0, r.invalid("QoS is required")
	}
	return 0, r.invalid("QoS must be 0 or 1")
}

func publishToIoTCore(r *request) (map[string]any, error) {
	topic, present, err := r.text("topicName")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, r.invalid("Topic name is required")
	}
	encoded, present, err := r.text("payload")
	if err != nil {
		return nil, err
	}
	if !present && r.n.profile == Classic {
		return nil, r.invalid("Payload is required")
	}
	qos, err := r.qos()
	if err != nil {
		return nil, err
	}
	payload, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, r.mistyped()
	}
	if err := r.authorize(mqttService, topic); err != nil {
		return nil, err
	}
	m := Message{Topic: topic, Payload: payload, QoS: qos}
	if r.n.profile == Classic {
		m.Properties = make(map[string]any)
		for _, name := range []string{"retain", "userProperties", "messageExpiryIntervalSeconds", "correlationData", "responseTopic", "payloadFormat"} {
			if v, ok := r.args[name]; ok && v != nil {
				m.Properties[name] = v
			}
		}
	}
	unusable := strings.ContainsAny(topic, "+#") || !withinIoTCoreLimits(topic) || len(payload) > ggipc.MaxIoTCorePayload
	switch {
	case unusable && r.n.profile == Classic:
		return nil, r.invalid("Topic or payload is not accepted by AWS IoT Core")
	case unusable || !r.n.cloud.online && r.n.profile == Lite:
		return nil, &refusal{code: codeService, message: "Failed to publish the message."}
	case !r.n.cloud.online:
		return map[string]any{}, r.spool(m)
	}
	return map[string]any{}, r.n.reachCloud(m)
}

// spool keeps a message until the nucleus is online again, as classic does with
// its default configuration: QoS 0 is not kept.
func (r *request) spool(m Message) error {
	cloud := &r.n.cloud
	switch {
	case m.QoS == 0:
		return &refusal{code: codeService, message: "Device is offline. Dropping QoS 0 message."}
	case cloud.spoolBytes+len(m.Payload) > r.n.spoolBytes:
		return &refusal{code: codeService, message: "Message spool is full. Message could not be added."}
	}
	cloud.spool = append(cloud.spool, m)
	cloud.spoolBytes += len(m.Payload)
	return nil
}

func subscribeToIoTCore(r *request) (map[string]any, error) {
	filter, present, err := r.text("topicName")
	if err != nil {
		return nil, err
	}
	if !present {
		return nil, r.invalid("Topic name is required")
	}
	if _, err := r.qos(); err != nil {
		return nil, err
	}
	if err := r.authorize(mqttService, filter); err != nil {
		return nil, err
	}
	if !validFilter(filter) || !r.n.cloud.online && r.n.profile == Lite {
		return nil, &refusal{code: codeService, message: "Failed to bind the subscription."}
	}
	r.subscribe(&r.n.iotCore, &subscription{filter: filter})
	return map[string]any{}, nil
}
