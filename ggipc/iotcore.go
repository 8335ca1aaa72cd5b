package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/brainseg/brainseg/ggipc/internal/servicemodel"
)

// QoS is the MQTT quality of service towards AWS IoT Core. Its zero value is
// AtLeastOnce.
type QoS int

// The two levels that AWS IoT Core knows.
const (
	AtLeastOnce QoS = iota
	AtMostOnce
)

// MarshalJSON writes the level as the service model has it, a string.
func (q QoS) MarshalJSON() ([]byte, error) {
	if q == AtMostOnce {
		return []byte(`"0"`), nil
	}
	return []byte(`"1"`), nil
}

// PublishToIoTCoreRequest is an MQTT message for AWS IoT Core, of at most
// MaxIoTCorePayload bytes. The members after Payload reach the broker through the classic
// nucleus only.
type PublishToIoTCoreRequest struct {
	Topic   string
	QoS     QoS
	Payload []byte

	Retain                 bool
	MessageExpirySeconds   int64 // 0: none
	UserProperties         []UserProperty
	ResponseTopic          string
	CorrelationData        []byte
	ContentType            string
	PayloadFormatIsUnicode bool
}

// UserProperty is a name and value of MQTT 5.
type UserProperty struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type iotCoreMessage struct {
	TopicName       string         `json:"topicName"`
	QoS             *QoS           `json:"qos,omitempty"`
	Payload         string         `json:"payload"`
	Retain          bool           `json:"retain,omitempty"`
	UserProperties  []UserProperty `json:"userProperties,omitempty"`
	ExpirySeconds   int64          `json:"messageExpiryIntervalSeconds,omitempty"`
	CorrelationData string         `json:"correlationData,omitempty"`
	ResponseTopic   string         `json:"responseTopic,omitempty"`
	PayloadFormat   string         `json:"payloadFormat,omitempty"`
	ContentType     string         `json:"contentType,omitempty"`
}

// PublishToIoTCore publishes to AWS IoT Core. Without a network the classic
// nucleus keeps the message and answers with success, while nucleus lite
// refuses at once with ServiceError.
func (c *Client) PublishToIoTCore(ctx context.Context, r PublishToIoTCoreRequest) error {
	m := iotCoreMessage{
		TopicName: r.Topic, QoS: &r.QoS, Payload: servicemodel.EncodeBlob(r.Payload), Retain: r.Retain,
		UserProperties: r.UserProperties, ExpirySeconds: r.MessageExpirySeconds,
		CorrelationData: servicemodel.EncodeBlob(r.CorrelationData), ResponseTopic: r.ResponseTopic, ContentType: r.ContentType,
	}
	if r.PayloadFormatIsUnicode {
		m.PayloadFormat = "1"
	}
	return c.Call(ctx, "PublishToIoTCore", m, nil)
}

// SubscribeToIoTCoreRequest names an MQTT filter.
type SubscribeToIoTCoreRequest struct {
	Topic string `json:"topicName"`
	QoS   QoS    `json:"qos"`
}

// IoTCoreMessage is an MQTT message from AWS IoT Core. The members after Payload
// are set by the classic nucleus only.
type IoTCoreMessage struct {
	Topic   string
	Payload []byte

	Retain          bool
	UserProperties  []UserProperty
	ResponseTopic   string
	CorrelationData []byte
	ContentType     string
}

// SubscribeToIoTCore calls handle for every message that matches, as
// SubscribeToTopic does. Without a network nucleus lite refuses it with
// ServiceError.
func (c *Client) SubscribeToIoTCore(ctx context.Context, r SubscribeToIoTCoreRequest, handle func(context.Context, IoTCoreMessage)) (*Subscription, error) {
	return c.subscribe(ctx, "SubscribeToIoTCore", "IoTCoreMessage", r, func(ctx context.Context, payload []byte) error {
		var event struct {
			Message *struct {
				TopicName       string         `json:"topicName"`
				Payload         string         `json:"payload"`
				Retain          bool           `json:"retain"`
				UserProperties  []UserProperty `json:"userProperties"`
				ResponseTopic   string         `json:"responseTopic"`
				CorrelationData string         `json:"correlationData"`
				ContentType     string         `json:"contentType"`
			} `json:"message"`
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			return fmt.Errorf("decode a message of AWS IoT Core: %w", err)
		}
		if event.Message == nil {
			return errors.New("decode a message of AWS IoT Core: no message in it")
		}
		m := IoTCoreMessage{
			Topic: event.Message.TopicName, Retain: event.Message.Retain, UserProperties: event.Message.UserProperties,
			ResponseTopic: event.Message.ResponseTopic, ContentType: event.Message.ContentType,
		}
		var err error
		if m.Payload, err = servicemodel.DecodeBlob(event.Message.Payload); err != nil {
			return fmt.Errorf("decode a message of AWS IoT Core: payload: %w", err)
		}
		if m.CorrelationData, err = servicemodel.DecodeBlob(event.Message.CorrelationData); err != nil {
			return fmt.Errorf("decode a message of AWS IoT Core: correlation data: %w", err)
		}
		handle(ctx, m)
		return nil
	})
}
