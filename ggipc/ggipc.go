// Package ggipc is a client for Greengrass IPC, the protocol by which a
// component of AWS IoT Greengrass v2 speaks with the nucleus on its device.
//
// It serves both nuclei (the classic one and nucleus lite). A [Client] keeps one
// connection to the nucleus' Unix socket, and dials again with backoff when that
// connection is lost; subscriptions made on it are made again on the new
// connection. A token that the nucleus refuses is final: [Client.Done] is closed
// and [Client.Err] is [ErrTokenRefused], for the cure is a new process with a new
// token.
//
//	client, err := ggipc.Connect(ctx, ggipc.Options{})
//	...
//	defer client.Close()
//	sub, err := client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: "my/topic"},
//		func(ctx context.Context, m ggipc.TopicMessage) { ... })
//
// Handlers run on a goroutine of their subscription, one event after the other,
// never on the goroutine that reads the connection: a handler may take its time
// and may make calls on the client. What arrives faster than a handler takes it
// is queued up to a bound, then dropped and counted.
//
// The package knows nothing of what the messages mean, and it stores nothing:
// a publish that was not acknowledged is the caller's to repeat.
package ggipc

import (
	"encoding/json"
)

// protocolVersion is the only version of the handshake that servers accept.
const protocolVersion = "0.1.0"

// MaxMessage returns how many bytes a message published to topic may have so
// that both its publish frame and the event frame that a nucleus makes of it
// stay within maxFrame bytes (DefaultMaxFrame if 0).
func MaxMessage(maxFrame int, topic string) int {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	// Headers and JSON around the message take about 330 bytes and the topic, as
	// JSON escapes it. Base64 makes 4 bytes of 3.
	escaped, err := json.Marshal(topic)
	if err != nil {
		return 0 // cannot happen to a string
	}
	return max(0, (maxFrame-400-len(escaped))/4*3)
}
