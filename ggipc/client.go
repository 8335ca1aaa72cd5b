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
	"context"
	"encoding/json"
	"fmt"

	"github.com/brainseg/brainseg/ggipc/internal/connection"
)

// Client speaks with the nucleus. All its methods may be called concurrently,
// handlers included, but Close must not be called inside a handler.
type Client struct {
	opts   Options
	keeper *connection.Keeper
}

// Connect dials the nucleus and shakes hands. While the socket is unreachable it
// tries again until ctx ends, and then returns an error that wraps
// ErrUnreachable; a refused token (ErrTokenRefused) is returned at once.
func Connect(ctx context.Context, opts Options) (*Client, error) {
	o := opts.withDefaults()
	if o.SocketPath == "" || o.AuthToken == "" {
		return nil, ErrNotComponent
	}
	keeper, err := connection.Connect(ctx, connection.Options{
		SocketPath: o.SocketPath, AuthToken: o.AuthToken, CallTimeout: o.CallTimeout, MinBackoff: o.MinBackoff, MaxBackoff: o.MaxBackoff,
		RefusalGrace: o.RefusalGrace, DrainTime: o.DrainTime, Logger: o.Logger, Refusal: errorFrom,
	}, o.MaxFrame)
	if err != nil {
		return nil, err
	}
	return &Client{o, keeper}, nil
}

// SetMaxFrame changes Options.MaxFrame from the next frame on; 0 sets
// DefaultMaxFrame.
func (c *Client) SetMaxFrame(bytes int) {
	if bytes <= 0 {
		bytes = DefaultMaxFrame
	}
	c.keeper.SetMaxFrame(bytes)
}

// Connected reports whether there is a connection now.
func (c *Client) Connected() bool { return c.keeper.Connected() }

// Done is closed when the client has ended: by Close, or because the token was
// refused. Err then says why.
func (c *Client) Done() <-chan struct{} { return c.keeper.Context().Done() }

// Err is nil while the client lives, then ErrClosed or wraps ErrTokenRefused.
func (c *Client) Err() error { return context.Cause(c.keeper.Context()) }

// Close ends the subscriptions, drains the connection and closes it, and waits
// for handlers that are running.
func (c *Client) Close() error {
	c.keeper.Close()
	return nil
}

// Call carries out an operation that has one answer, by its name in the service
// model without the namespace. The typed methods are made of it; it is there for
// operations that have none. request is encoded as a JSON object; answer, if not
// nil, is decoded from one. The error is an *Error where the nucleus refused.
func (c *Client) Call(ctx context.Context, operation string, request, answer any) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("greengrass %s: encode request: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.CallTimeout)
	defer cancel()
	current, err := c.keeper.Wait(ctx)
	if err != nil {
		return fmt.Errorf("greengrass %s: %w", operation, err)
	}
	result, err := current.Call(ctx, operation, payload)
	if err != nil || answer == nil || len(result) == 0 {
		return err
	}
	if err := json.Unmarshal(result, answer); err != nil {
		return fmt.Errorf("greengrass %s: decode the nucleus' answer: %w", operation, err)
	}
	return nil
}
