package ggipc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Reply says what a message is to who asked.
type Reply int

// The replies.
const (
	ReplyNone     Reply = iota // not meant for this one
	ReplyAccepted              // the request arrived and will be answered: it is not lost any more
	ReplyAnswer                // the answer
)

// AskRequest is a message that is to be answered on another topic.
type AskRequest struct {
	// Topic is where Message goes, as a binary message. It is sent more than once, so
	// whoever answers must tell a repetition from another request, such as by an id.
	Topic   string
	Message []byte
	// ReplyTopic is where replies come, those to others among them, and Classify
	// tells them apart. It is called on one goroutine at a time.
	ReplyTopic string
	Classify   func(message []byte) Reply
	// Every is after how long the message is sent again as long as no reply says that
	// it arrived. Default 2 s. After that it is sent again fifteen times as seldom,
	// for the answer can be lost on its way too.
	Every time.Duration
}

// Ask publishes a message until it is answered, and returns the answer. A message
// that is published while nobody is subscribed is gone, and so are the replies that
// come while a connection is lost: sending again, until a reply comes, is the one
// way not to lose them. Where nothing at all comes on the reply topic meanwhile, it
// is subscribed to again, for nucleus lite forgets subscriptions. It ends with an error when ctx does, and at once where the
// nucleus refuses the message for good.
func (c *Client) Ask(ctx context.Context, r AskRequest) ([]byte, error) {
	if r.Every <= 0 {
		r.Every = 2 * time.Second
	}
	every := r.Every
	accepted, answers := make(chan struct{}, 1), make(chan []byte, 1)
	var heard atomic.Bool // a message on the reply topic, whosever, since the last time
	replies, err := c.SubscribeToTopic(ctx, SubscribeToTopicRequest{Topic: r.ReplyTopic}, func(_ context.Context, m TopicMessage) {
		heard.Store(true)
		switch r.Classify(m.Bytes()) {
		case ReplyAccepted:
			select {
			case accepted <- struct{}{}:
			default:
			}
		case ReplyAnswer:
			select {
			case answers <- m.Bytes():
			default: // the first is enough
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("ask on topic %s: %w", r.Topic, err)
	}
	defer replies.Close()
	for {
		err := c.PublishToTopic(ctx, PublishToTopicRequest{Topic: r.Topic, Binary: r.Message})
		if err != nil && !sendAgain(err) {
			return nil, fmt.Errorf("ask on topic %s: %w", r.Topic, err)
		}
		again := time.NewTimer(every)
		for waiting := true; waiting; {
			select {
			case answer := <-answers:
				again.Stop()
				return answer, nil
			case <-accepted:
				every = 15 * r.Every
				again.Reset(every)
			case <-again.C:
				waiting = false
				if !heard.Swap(false) {
					replies.Renew() // nucleus lite may have forgotten it
				}
			case <-replies.Done():
				return nil, fmt.Errorf("ask on topic %s: %w", r.Topic, errors.Join(replies.Err(), c.Err()))
			case <-ctx.Done():
				again.Stop()
				return nil, fmt.Errorf("ask on topic %s: no answer on %s: %w", r.Topic, r.ReplyTopic, errors.Join(context.Cause(ctx), err))
			}
		}
	}
}

// sendAgain tells whether a message that met err may arrive when it is sent again.
func sendAgain(err error) bool {
	var refusal *Error
	var tooLarge *FrameTooLargeError
	switch {
	case errors.As(err, &refusal):
		return refusal.Retryable()
	case errors.As(err, &tooLarge), errors.Is(err, ErrTokenRefused), errors.Is(err, ErrClosed):
		return false
	}
	return true
}
