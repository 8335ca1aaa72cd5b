package ggipc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// Client speaks with the nucleus. All its methods may be called concurrently,
// handlers included, but Close must not be called inside a handler.
type Client struct {
	opts     Options
	maxFrame atomic.Int64    // in place of opts.MaxFrame
	ctx      context.Context // ends when the client does
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup // the connection keeper and the subscriptions

	mu      sync.Mutex
	conn    *conn         // guarded by mu; nil while there is no connection
	changed chan struct{} // guarded by mu; closed when conn changes
	closing bool          // guarded by mu
}

// Connect dials the nucleus and shakes hands. While the socket is unreachable it
// tries again until ctx ends, and then returns an error that wraps
// ErrUnreachable; a refused token (ErrTokenRefused) is returned at once.
func Connect(ctx context.Context, opts Options) (*Client, error) {
	o := opts.withDefaults()
	if o.SocketPath == "" || o.AuthToken == "" {
		return nil, ErrNotComponent
	}
	c := &Client{opts: o, changed: make(chan struct{})}
	c.SetMaxFrame(o.MaxFrame)
	first, err := c.redial(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to the greengrass nucleus: %w", err)
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.setConn(first)
	c.wg.Go(func() { c.keepConnected(first) })
	return c, nil
}

// SetMaxFrame changes Options.MaxFrame from the next frame on; 0 sets
// DefaultMaxFrame.
func (c *Client) SetMaxFrame(bytes int) {
	if bytes <= 0 {
		bytes = DefaultMaxFrame
	}
	c.maxFrame.Store(int64(bytes))
}

// redial dials until it has a connection, ctx ends, or the token has been
// refused for longer than grace.
func (c *Client) redial(ctx context.Context, grace time.Duration) (*conn, error) {
	o := c.opts
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = o.MinBackoff, o.MaxBackoff
	var refusedSince time.Time
	var last error
	for {
		next, err := dial(ctx, o, &c.maxFrame)
		switch {
		case err == nil:
			return next, nil
		case ctx.Err() != nil:
			if last == nil {
				last = fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
			return nil, last
		case errors.Is(err, ErrTokenRefused):
			if refusedSince.IsZero() {
				refusedSince = time.Now()
			}
			if time.Since(refusedSince) >= grace {
				return nil, err
			}
		}
		last = err
		o.Logger.Debug("greengrass nucleus not reached", zap.Error(err))
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return nil, last
		}
	}
}

// keepConnected replaces a lost connection until the client ends.
func (c *Client) keepConnected(current *conn) {
	for {
		<-current.done
		c.setConn(nil)
		if c.isClosing() {
			return
		}
		c.opts.Logger.Warn("connection to the greengrass nucleus lost", zap.Error(current.err))
		next, err := c.redial(c.ctx, c.opts.RefusalGrace)
		if err != nil {
			c.opts.Logger.Error("connection to the greengrass nucleus given up", zap.Error(err))
			c.cancel(err)
			return
		}
		c.opts.Logger.Info("connection to the greengrass nucleus restored")
		c.setConn(next)
		if c.isClosing() {
			next.shutdown(0)
		}
		current = next
	}
}

func (c *Client) setConn(next *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = next
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Connected reports whether there is a connection now.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}

// Done is closed when the client has ended: by Close, or because the token was
// refused. Err then says why.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// Err is nil while the client lives, then ErrClosed or wraps ErrTokenRefused.
func (c *Client) Err() error {
	if c.ctx.Err() == nil {
		return nil
	}
	return context.Cause(c.ctx)
}

// Close ends the subscriptions, drains the connection and closes it, and waits
// for handlers that are running.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	current := c.conn
	c.mu.Unlock()
	if current != nil {
		current.shutdown(c.opts.DrainTime)
	}
	c.cancel(ErrClosed)
	c.wg.Wait()
	return nil
}

// wait returns the connection, once there is one.
func (c *Client) wait(ctx context.Context) (*conn, error) {
	for {
		c.mu.Lock()
		current, changed, closing := c.conn, c.changed, c.closing
		c.mu.Unlock()
		switch {
		case c.ctx.Err() != nil:
			return nil, context.Cause(c.ctx)
		case closing:
			return nil, ErrClosed
		case current != nil:
			return current, nil
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
	}
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
	current, err := c.wait(ctx)
	if err != nil {
		return fmt.Errorf("greengrass %s: %w", operation, err)
	}
	type outcome struct {
		f    *frame.Frame
		lost error
	}
	outcomes := make(chan outcome, 1)
	id, err := current.open(operation, payload, func(f *frame.Frame, lost error) {
		select {
		case outcomes <- outcome{f, lost}:
		default: // the answer is the first frame; what follows on the stream is nothing to us
		}
	})
	if err != nil {
		return err
	}
	select {
	case o := <-outcomes:
		current.forget(id)
		switch {
		case o.lost != nil:
			return fmt.Errorf("greengrass %s: %w", operation, o.lost)
		case o.f.Type == frame.ApplicationError:
			return errorFrom(operation, o.f)
		case answer == nil || len(o.f.Payload) == 0:
			return nil
		}
		if err := json.Unmarshal(o.f.Payload, answer); err != nil {
			return fmt.Errorf("greengrass %s: decode the nucleus' answer: %w", operation, err)
		}
		return nil
	case <-ctx.Done():
		current.terminate(id)
		return fmt.Errorf("greengrass %s: no answer: %w", operation, ctx.Err())
	}
}
