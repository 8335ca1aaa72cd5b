package ggipc

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// beatDocument is what a subscription publishes on its own topic to try whether
// it hears it. Whoever else sees it knows it by its one member.
const beatDocument = `{"ggipcBeat":"The subscriber tries whether it still hears this topic. Ignore this message."}`

// beatMark begins every beat; its length leaves nothing over in base64.
const beatMark = `{"ggipcBeat"`

var encodedBeatMark = []byte(base64.StdEncoding.EncodeToString([]byte(beatMark)))

// isBeat reports whether an event of local publish/subscribe carries a beat, this
// component's or another's.
func isBeat(payload []byte) bool {
	if !bytes.Contains(payload, encodedBeatMark) {
		return false
	}
	m, err := decodeTopicMessage(payload)
	if err != nil || !bytes.HasPrefix(m.Binary, []byte(beatMark)) {
		return false
	}
	var members map[string]json.RawMessage
	return json.Unmarshal(m.Binary, &members) == nil && len(members) == 1
}

// beats has a subscription to a local topic try itself.
type beats struct {
	topic    string
	interval atomic.Int64  // a time.Duration; 0 for never
	changed  chan struct{} // holds one where interval is another
	heard    chan struct{} // holds one where an event has come
	deaf     chan struct{} // holds one where the stream is to be replaced
	found    atomic.Uint64 // how often it was deaf
}

func newBeats(topic string, interval time.Duration) *beats {
	b := &beats{topic: topic, changed: make(chan struct{}, 1), heard: make(chan struct{}, 1), deaf: make(chan struct{}, 1)}
	b.interval.Store(int64(interval))
	return b
}

// hear notes that an event has come, and reports whether it is only a beat.
func (b *beats) hear(payload []byte) bool {
	signal(b.heard)
	return isBeat(payload)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// SetBeat changes SubscribeToTopicRequest.Beat. It does nothing on subscriptions
// to anything but a local topic.
func (s *Subscription) SetBeat(interval time.Duration) {
	if b := s.beats; b != nil && b.interval.Swap(int64(interval)) != int64(interval) {
		signal(b.changed)
	}
}

// Renew has the subscription made again: the new one first, so that nothing is
// missed and something may come twice. It returns at once. It is for whoever waits
// for a message in vain, and does nothing on subscriptions to anything but a local
// topic; see SubscribeToTopicRequest.Beat.
func (s *Subscription) Renew() {
	if s.beats != nil {
		signal(s.beats.deaf)
	}
}

// Deaf counts how often a beat found that the subscription hears nothing, so that
// it was made again.
func (s *Subscription) Deaf() uint64 {
	if s.beats == nil {
		return 0
	}
	return s.beats.found.Load()
}

// deafness has one where the stream hears nothing; nil where nobody tries.
func (s *Subscription) deafness() <-chan struct{} {
	if s.beats == nil {
		return nil
	}
	return s.beats.deaf
}

// tryItself publishes beats until the subscription ends. A beat that was taken
// and neither came back nor was overtaken by another event is tried once more,
// with more time; then the stream counts as deaf.
func (s *Subscription) tryItself() {
	b, missed, pause := s.beats, 0, time.Duration(0)
	refused := false
	for {
		interval := time.Duration(b.interval.Load())
		var due <-chan time.Time
		if interval > 0 && !refused {
			due = time.After(pause)
		}
		select {
		case <-due:
		case <-b.changed:
			missed, pause, refused = 0, 0, false
			continue
		case <-s.ctx.Done():
			return
		}
		heard, err := s.try(interval / 4 << missed)
		var refusal *Error
		switch {
		case heard:
			missed, pause = 0, interval
		case errors.As(err, &refusal) && !refusal.Retryable():
			s.client.opts.Logger.Warn("greengrass subscription cannot try itself: the nucleus refuses what it publishes", zap.Error(err))
			refused = true
		case err != nil: // whoever passes messages on is away, and may have forgotten the subscription when it is back
			pause = interval / 8
		case missed == 0:
			missed, pause = 1, 0
		default:
			b.found.Add(1)
			missed, pause = 0, interval/4
			signal(b.deaf)
		}
	}
}

// try publishes a beat and waits for it, or for any other event.
func (s *Subscription) try(wait time.Duration) (heard bool, err error) {
	select {
	case <-s.beats.heard:
	default:
	}
	if err := s.client.PublishToTopic(s.ctx, PublishToTopicRequest{Topic: s.beats.topic, Binary: []byte(beatDocument)}); err != nil {
		return false, err
	}
	select {
	case <-s.beats.heard:
		return true, nil
	case <-time.After(wait):
		return false, nil
	case <-s.ctx.Done():
		return false, s.ctx.Err()
	}
}
