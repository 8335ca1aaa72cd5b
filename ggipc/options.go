package ggipc

import (
	"encoding/json"
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

// Limits of the services behind a nucleus, in bytes. Beyond them a call fails, or
// the message is dropped without a word.
const (
	// MaxTopic is the longest topic of AWS IoT Core, and the longest local one of
	// nucleus lite.
	MaxTopic = 256
	// MaxIoTCorePayload is the largest message that AWS IoT Core takes.
	MaxIoTCorePayload = 128 << 10
)

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
	// connect, or to subscribe again. Defaults 50 and 250 ms: the socket is on this
	// device, and what is published while nobody listens is lost.
	MinBackoff, MaxBackoff time.Duration

	// RefusalGrace is for how long a token that is refused while reconnecting
	// is tried again. A nucleus that was restarted knows new tokens only, so waiting
	// longer keeps the process from being replaced. Default 250 ms.
	RefusalGrace time.Duration

	// DrainTime is for how long at most Close waits for the nucleus to confirm that
	// the subscriptions have ended; nucleus lite can hang when a connection with a
	// busy subscription is closed before that. Default 250 ms.
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
		o.MaxBackoff = 250 * time.Millisecond
	}
	if o.RefusalGrace <= 0 {
		o.RefusalGrace = 250 * time.Millisecond
	}
	if o.DrainTime <= 0 {
		o.DrainTime = 250 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}
