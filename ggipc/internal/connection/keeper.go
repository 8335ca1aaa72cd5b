// Package connection keeps a connection to a nucleus: it dials again with backoff
// when one is lost, shakes hands, and has any number of streams share it, those with
// one answer and those on which events come.
//
// It knows no operation and no document; what it is given is sent as it is. Package
// ggipc stands on it.
package connection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

// The errors of connections, of which package ggipc tells more.
var (
	ErrUnreachable  = errors.New("greengrass nucleus is unreachable")
	ErrTokenRefused = errors.New("greengrass nucleus refused the token of this process")
	ErrLost         = errors.New("connection to the greengrass nucleus was lost")
	ErrClosed       = errors.New("closed")
)

// Options are the settings of a Keeper, as package ggipc has them. All must be set.
type Options struct {
	SocketPath, AuthToken  string
	CallTimeout            time.Duration
	MinBackoff, MaxBackoff time.Duration
	RefusalGrace           time.Duration
	DrainTime              time.Duration
	Logger                 *zap.Logger
	// Refusal makes an error of the frame by which the nucleus refuses an operation.
	Refusal func(operation string, f *frame.Frame) error
}

// Keeper has a connection, or is about to. Its methods may be called concurrently.
type Keeper struct {
	o        Options
	maxFrame atomic.Int64
	ctx      context.Context // ends when the keeper does
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup // the goroutine that dials, and those of Go

	mu      sync.Mutex
	conn    *Conn         // guarded by mu; nil while there is no connection
	changed chan struct{} // guarded by mu; closed when conn changes
	closing bool          // guarded by mu
}

// Connect dials and shakes hands. While the socket is unreachable it tries again
// until ctx ends, and then returns an error that wraps ErrUnreachable; a refused
// token (ErrTokenRefused) is returned at once.
func Connect(ctx context.Context, o Options, maxFrame int) (*Keeper, error) {
	k := &Keeper{o: o, changed: make(chan struct{})}
	k.SetMaxFrame(maxFrame)
	first, err := k.redial(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("connect to the greengrass nucleus: %w", err)
	}
	k.ctx, k.cancel = context.WithCancelCause(context.Background())
	k.setConn(first)
	k.wg.Go(func() { k.keepConnected(first) })
	return k, nil
}

// SetMaxFrame changes how many bytes a frame may have that is sent.
func (k *Keeper) SetMaxFrame(bytes int) { k.maxFrame.Store(int64(bytes)) }

// redial dials until it has a connection, ctx ends, or the token has been
// refused for longer than grace.
func (k *Keeper) redial(ctx context.Context, grace time.Duration) (*Conn, error) {
	o := &k.o
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = o.MinBackoff, o.MaxBackoff
	var refusedSince time.Time
	var last error
	for {
		next, err := dial(ctx, o, &k.maxFrame)
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
func (k *Keeper) keepConnected(current *Conn) {
	for {
		<-current.done
		k.setConn(nil)
		if k.isClosing() {
			return
		}
		k.o.Logger.Warn("connection to the greengrass nucleus lost", zap.Error(current.err))
		next, err := k.redial(k.ctx, k.o.RefusalGrace)
		if err != nil {
			k.o.Logger.Error("connection to the greengrass nucleus given up", zap.Error(err))
			k.cancel(err)
			return
		}
		k.o.Logger.Info("connection to the greengrass nucleus restored")
		k.setConn(next)
		if k.isClosing() {
			next.shutdown(0)
		}
		current = next
	}
}

func (k *Keeper) setConn(next *Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn = next
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *Keeper) isClosing() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.closing
}

// Connected reports whether there is a connection now.
func (k *Keeper) Connected() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.conn != nil
}

// Context ends when the keeper does, by Close or because the token was refused;
// its cause says which.
func (k *Keeper) Context() context.Context { return k.ctx }

// Go runs functions for each of which Close waits, unless the keeper is closing.
func (k *Keeper) Go(functions ...func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closing {
		return ErrClosed
	}
	for _, f := range functions {
		k.wg.Go(f)
	}
	return nil
}

// Close ends all streams, waits until the nucleus has, and closes the connection.
func (k *Keeper) Close() {
	k.mu.Lock()
	k.closing = true
	current := k.conn
	k.mu.Unlock()
	if current != nil {
		current.shutdown(k.o.DrainTime)
	}
	k.cancel(ErrClosed)
	k.wg.Wait()
}

// Wait returns the connection, once there is one.
func (k *Keeper) Wait(ctx context.Context) (*Conn, error) {
	for {
		k.mu.Lock()
		current, changed, closing := k.conn, k.changed, k.closing
		k.mu.Unlock()
		switch {
		case k.ctx.Err() != nil:
			return nil, context.Cause(k.ctx)
		case closing:
			return nil, ErrClosed
		case current != nil:
			return current, nil
		}
		select {
		case <-changed:
		case <-k.ctx.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		}
	}
}
