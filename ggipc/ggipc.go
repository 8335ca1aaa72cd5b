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
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Environment variables by which a nucleus tells a component how to connect.
const (
	EnvSocketPath = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
	EnvAuthToken  = "SVCUID"
)

// DefaultMaxFrame is the largest frame in bytes that is sent unless Options say
// otherwise. Nucleus lite closes the connection, without a word, on a frame of
// more than 10,012 bytes.
const DefaultMaxFrame = 10_000

// protocolVersion is the only version of the handshake that servers accept.
const protocolVersion = "0.1.0"

// Options are the settings of a Client. The zero value connects a component
// that was started by a nucleus.
type Options struct {
	// SocketPath is the nucleus' Unix socket. Default: the environment variable
	// EnvSocketPath. A relative path is resolved against the working directory
	// at the time of Connect and of every reconnection.
	SocketPath string

	// AuthToken is the component's token. Default: the environment variable
	// EnvAuthToken.
	AuthToken string

	// MaxFrame is the largest frame in bytes that is sent; a larger one is
	// refused with *FrameTooLargeError before anything is written. Default
	// DefaultMaxFrame. Received frames may have up to frame.MaxSize bytes.
	MaxFrame int

	// CallTimeout bounds every call that has no earlier deadline, including the
	// wait for a lost connection to come back. Default 10 s.
	CallTimeout time.Duration

	// QueueEvents and QueueBytes bound what a subscription holds for its
	// handler. Defaults 64 events and 4 MiB.
	QueueEvents int
	QueueBytes  int64

	// MinBackoff and MaxBackoff bound the pause between two attempts to
	// connect. Defaults 50 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration

	// RefusalGrace is for how long a token that is refused while reconnecting
	// is tried again: a nucleus that is just starting may refuse it for a
	// moment. Default 5 s.
	RefusalGrace time.Duration

	// DrainTime is for how long Close goes on reading after it ended the
	// subscriptions; nucleus lite can hang when a connection with a busy
	// subscription is closed at once. Default 100 ms.
	DrainTime time.Duration

	// Logger gets the life of the connection: never a payload or a token.
	// Default: none.
	Logger *zap.Logger
}

// FrameTooLargeError says that a request does not fit into a frame of
// Options.MaxFrame bytes. Nothing was sent.
type FrameTooLargeError = frame.TooLargeError

func (o Options) withDefaults() Options {
	if o.SocketPath == "" {
		o.SocketPath = os.Getenv(EnvSocketPath)
	}
	if o.AuthToken == "" {
		o.AuthToken = os.Getenv(EnvAuthToken)
	}
	if o.MaxFrame <= 0 {
		o.MaxFrame = DefaultMaxFrame
	}
	if o.CallTimeout <= 0 {
		o.CallTimeout = 10 * time.Second
	}
	if o.QueueEvents <= 0 {
		o.QueueEvents = 64
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = 4 << 20
	}
	if o.MinBackoff <= 0 {
		o.MinBackoff = 50 * time.Millisecond
	}
	if o.MaxBackoff <= 0 {
		o.MaxBackoff = 5 * time.Second
	}
	if o.RefusalGrace <= 0 {
		o.RefusalGrace = 5 * time.Second
	}
	if o.DrainTime <= 0 {
		o.DrainTime = 100 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// MaxMessage returns how many bytes a message published to topic may have so
// that both its publish frame and the event frame that a nucleus makes of it
// stay within maxFrame bytes (DefaultMaxFrame if 0).
func MaxMessage(maxFrame int, topic string) int {
	if maxFrame <= 0 {
		maxFrame = DefaultMaxFrame
	}
	// Headers and JSON around the message take about 330 bytes plus the topic,
	// which JSON may escape to six bytes a character. Base64 makes 4 bytes of 3.
	room := maxFrame - 400 - 6*len(topic)
	return max(0, room/4*3)
}
