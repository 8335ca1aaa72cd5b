// Package servicemodel reads and writes the JSON of Greengrass' service model where
// it is more than a struct of package ggipc: messages of local publish/subscribe,
// blobs, and refusals, which the two nuclei spell differently.
//
// It knows nothing of frames and streams. Package ggipc and its internal packages
// use it.
package servicemodel

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Namespace stands before every name of the service model.
const Namespace = "aws.greengrass#"

// EncodeBlob writes bytes as the service model has them.
func EncodeBlob(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// DecodeBlob reads what EncodeBlob writes.
func DecodeBlob(s string) ([]byte, error) { return base64.StdEncoding.DecodeString(s) }

// TopicMessage is a message of local publish/subscribe: Binary, or JSON as the
// publisher's text.
type TopicMessage struct {
	Topic  string
	Binary []byte
	JSON   json.RawMessage
}

// PublishMessage is the union in which local messages are published and come.
type PublishMessage struct {
	Binary *binaryMessage `json:"binaryMessage,omitempty"`
	JSON   *jsonMessage   `json:"jsonMessage,omitempty"`
}

type binaryMessage struct {
	Message string          `json:"message"`
	Context *messageContext `json:"context,omitempty"`
}

type jsonMessage struct {
	Message json.RawMessage `json:"message"`
	Context *messageContext `json:"context,omitempty"`
}

type messageContext struct {
	Topic string `json:"topic"`
}

// NewPublishMessage makes the union of what is to be published: binary, if it is
// not nil.
func NewPublishMessage(binary []byte, document json.RawMessage) PublishMessage {
	if binary != nil {
		return PublishMessage{Binary: &binaryMessage{Message: EncodeBlob(binary)}}
	}
	return PublishMessage{JSON: &jsonMessage{Message: document}}
}

// DecodeTopicMessage reads the event of a local message.
func DecodeTopicMessage(payload []byte) (m TopicMessage, err error) {
	var event PublishMessage
	if err := json.Unmarshal(payload, &event); err != nil {
		return m, fmt.Errorf("decode a message of local publish/subscribe: %w", err)
	}
	switch {
	case event.Binary != nil:
		if m.Binary, err = DecodeBlob(event.Binary.Message); err != nil {
			return m, fmt.Errorf("decode a binary message of local publish/subscribe: %w", err)
		}
		if event.Binary.Context != nil {
			m.Topic = event.Binary.Context.Topic
		}
	case event.JSON != nil:
		m.JSON = event.JSON.Message
		if m.JSON == nil {
			m.JSON = json.RawMessage("null")
		}
		if event.JSON.Context != nil {
			m.Topic = event.JSON.Context.Topic
		}
	default:
		return m, errors.New("decode a message of local publish/subscribe: neither binary nor JSON")
	}
	return m, nil
}

// Refusal is what the nucleus says where it did not carry an operation out.
type Refusal struct {
	Code, Message              string // Code is never empty
	ResourceType, ResourceName string // of ResourceNotFoundError only
}

// DecodeRefusal reads the payload of a refusal and the name of its type. The two
// nuclei spell the same error differently, and the classic one has plain text where
// a handler failed.
func DecodeRefusal(modelType string, payload []byte) Refusal {
	var body struct {
		Message      string `json:"message"`
		LiteMessage  string `json:"_message"`
		Code         string `json:"_errorCode"`
		Unmodelled   string `json:"error"`
		ResourceType string `json:"resourceType"`
		ResourceName string `json:"resourceName"`
	}
	const failed = "InternalServerError"
	modelType = strings.TrimPrefix(modelType, Namespace)
	if err := json.Unmarshal(payload, &body); err != nil {
		return Refusal{Code: cmp.Or(modelType, failed), Message: strings.ToValidUTF8(string(payload), "?")}
	}
	r := Refusal{
		Code: cmp.Or(body.Code, modelType, failed), Message: cmp.Or(body.Message, body.LiteMessage),
		ResourceType: body.ResourceType, ResourceName: body.ResourceName,
	}
	if body.Unmodelled == "Unsupported Operation" || r.Code == "ServiceError" && strings.HasSuffix(r.Message, "is not supported by Greengrass") {
		r.Code = "UnsupportedOperationError"
	}
	return r
}
