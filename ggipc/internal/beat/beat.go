// Package beat has a subscription to a local topic try whether it is heard: it
// publishes a message to the topic, now and then, and waits for it to come back.
// Nucleus lite forgets subscriptions without a word; see Beat in package ggipc.
//
// It publishes by what its caller gives, and makes no subscription again: it says
// when that is due. Package ggipc calls it.
package beat

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/brainseg/brainseg/ggipc/internal/servicemodel"
)

// document is what a subscription publishes on its own topic to try whether
// it hears it. Whoever else sees it knows it by its one member.
const document = `{"ggipcBeat":"The subscriber tries whether it still hears this topic. Ignore this message."}`

// mark begins every beat; its length leaves nothing over in base64.
const mark = `{"ggipcBeat"`

var encodedMark = []byte(base64.StdEncoding.EncodeToString([]byte(mark)))

// isBeat reports whether an event of local publish/subscribe carries a beat, this
// component's or another's.
func isBeat(payload []byte) bool {
	if !bytes.Contains(payload, encodedMark) {
		return false
	}
	m, err := servicemodel.DecodeTopicMessage(payload)
	if err != nil || !bytes.HasPrefix(m.Binary, []byte(mark)) {
		return false
	}
	var members map[string]json.RawMessage
	return json.Unmarshal(m.Binary, &members) == nil && len(members) == 1
}

// Beats has a subscription to a local topic try itself. A nil Beats is that of a
// subscription to something else: it does nothing.
type Beats struct {
	interval atomic.Int64  // a time.Duration; 0 for never
	changed  chan struct{} // holds one where interval is another
	heard    chan struct{} // holds one where an event has come
	deaf     chan struct{} // holds one where the stream is to be replaced
	found    atomic.Uint64 // how often it was deaf
}

// New makes the beats of a subscription, one an interval; 0 is never.
func New(interval time.Duration) *Beats {
	b := &Beats{changed: make(chan struct{}, 1), heard: make(chan struct{}, 1), deaf: make(chan struct{}, 1)}
	b.interval.Store(int64(interval))
	return b
}

// Hear notes that an event has come, and reports whether it is only a beat.
func (b *Beats) Hear(payload []byte) bool {
	if b == nil {
		return false
	}
	signal(b.heard)
	return isBeat(payload)
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Set changes the interval.
func (b *Beats) Set(interval time.Duration) {
	if b != nil && b.interval.Swap(int64(interval)) != int64(interval) {
		signal(b.changed)
	}
}

// Renew has the subscription made again.
func (b *Beats) Renew() {
	if b != nil {
		signal(b.deaf)
	}
}

// Deaf has one where the subscription is to be made again; nil where nobody tries.
func (b *Beats) Deaf() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.deaf
}

// Found counts how often the subscription heard nothing.
func (b *Beats) Found() uint64 {
	if b == nil {
		return 0
	}
	return b.found.Load()
}

// Run publishes beats until ctx ends, or until final says that an error of publish
// is for good. A beat that was taken and neither came back nor was overtaken by
// another event is tried once more, with more time; then the stream counts as deaf.
func (b *Beats) Run(ctx context.Context, publish func(ctx context.Context, message []byte) error, final func(error) bool) {
	if b == nil {
		return
	}
	missed, pause := 0, time.Duration(0)
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
		case <-ctx.Done():
			return
		}
		heard, err := b.try(ctx, publish, interval/4<<missed)
		switch {
		case heard:
			missed, pause = 0, interval
		case err != nil && final(err):
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
func (b *Beats) try(ctx context.Context, publish func(context.Context, []byte) error, wait time.Duration) (heard bool, err error) {
	select {
	case <-b.heard:
	default:
	}
	if err := publish(ctx, []byte(document)); err != nil {
		return false, err
	}
	select {
	case <-b.heard:
		return true, nil
	case <-time.After(wait):
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}
