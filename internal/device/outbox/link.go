package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/request"
)

// LinkOptions are the settings of a Link.
type LinkOptions struct {
	// Send passes a message on. Required.
	Send func(context.Context, Message) error
	// Hopeless tells the errors of Send that no later try will mend. Default: what the
	// nucleus refuses for good, and messages that are too large.
	Hopeless func(error) bool
	// Away is told of the first failure. Default: nobody.
	Away func(error)
	// Back is told when a message gets through again, and for how long none did.
	// Default: nobody.
	Back func(away time.Duration)
}

// The pauses between tries: each half as long again as the one before, and drawn from
// half to one and a half of that, so that a fleet whose network comes back does not
// come all at once.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
)

// Link is the way to a place that may be away, for one goroutine that sends one
// message after the other.
type Link struct {
	opts  LinkOptions
	pause *backoff.ExponentialBackOff
	since time.Time // of the first failure, zero while it is up
	retry time.Time // when to try again
}

// NewLink returns a Link that counts as up.
func NewLink(opts LinkOptions) *Link {
	if opts.Hopeless == nil {
		opts.Hopeless = Hopeless
	}
	if opts.Away == nil {
		opts.Away = func(error) {}
	}
	if opts.Back == nil {
		opts.Back = func(time.Duration) {}
	}
	l := &Link{opts: opts, pause: backoff.NewExponentialBackOff()}
	l.pause.InitialInterval, l.pause.MaxInterval = firstPause, longestPause
	return l
}

// Hopeless tells whether the nucleus will never take a message that met err.
func Hopeless(err error) bool {
	var refusal *ggipc.Error
	var tooLarge *ggipc.FrameTooLargeError
	return errors.As(err, &refusal) && !refusal.Retryable() || errors.As(err, &tooLarge)
}

// Hopeless tells whether a message that met err can never be sent over the link.
func (l *Link) Hopeless(err error) bool { return l.opts.Hopeless(err) }

// Wait waits until it is time to try, which is at once while the link is up or once
// closing is closed. It reports false where ctx ended first.
func (l *Link) Wait(ctx context.Context, closing <-chan struct{}) bool {
	if wait := time.Until(l.retry); !l.since.IsZero() && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-closing:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// Try sends a message once. Where that fails the message says, in its next try, that
// it may have arrived before.
func (l *Link) Try(ctx context.Context, m *Message) error {
	m.Claim.Release() // before anybody can have the answer
	began := time.Now()
	err := l.opts.Send(ctx, *m)
	switch {
	case err == nil && !l.since.IsZero():
		since := l.since
		l.since = time.Time{}
		l.pause.Reset()
		l.opts.Back(time.Since(since))
	case err == nil, ctx.Err() != nil, l.Hopeless(err):
	default:
		m.Claim.Renew()
		if m.Attempt > 0 {
			m.Attempt++
			m.Document = request.WithAttempt(m.Document, m.Attempt)
		}
		l.retry = time.Now().Add(l.pause.NextBackOff())
		if l.since.IsZero() {
			l.since = began
			l.opts.Away(err)
		}
	}
	return err
}
