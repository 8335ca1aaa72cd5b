package greengrass

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/request"
)

// message is a document for a topic.
type message struct {
	topic    string
	document []byte
	result   bool         // the document counts its attempts
	claim    *claim.Claim // of the files that the document names
}

// What an outbox holds at most. Of more the oldest goes.
const (
	outboxMessages = 16_384
	outboxBytes    = 8 << 20
)

// outbox sends messages in order, again and again where trying later may help.
// Putting a message into it never waits. What it cannot keep or send is counted
// and told in the log, at most once a second.
type outbox struct {
	name    string
	send    func(context.Context, message) error
	logger  *zap.Logger
	ctx     context.Context // ends when nothing more is sent
	cancel  context.CancelFunc
	closing chan struct{} // closed when only what is queued remains to be sent
	done    chan struct{} // closed when run has ended
	more    chan struct{} // holds one where there may be messages

	mu    sync.Mutex
	queue []message // guarded by mu
	bytes int       // of the queue's documents; guarded by mu
	lost  uint64    // messages that were not sent and will not be; guarded by mu
	told  uint64    // of them in the log; guarded by mu
	last  time.Time // that they were told; guarded by mu
}

func newOutbox(name string, send func(context.Context, message) error, logger *zap.Logger) *outbox {
	o := &outbox{
		name: name, send: send, logger: logger,
		closing: make(chan struct{}), done: make(chan struct{}), more: make(chan struct{}, 1),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	go o.run()
	return o
}

// put queues a message. The oldest ones make room for it.
func (o *outbox) put(m message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		o.lose(1)
		return
	}
	o.queue, o.bytes = append(o.queue, m), o.bytes+len(m.document)
	drop := 0
	for len(o.queue)-drop > outboxMessages || o.bytes > outboxBytes && len(o.queue)-drop > 1 {
		o.bytes -= len(o.queue[drop].document)
		o.queue[drop].claim.Release()
		o.queue[drop] = message{}
		drop++
	}
	o.queue = o.queue[drop:]
	o.lose(uint64(drop))
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// losses counts the messages that were lost.
func (o *outbox) losses() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost
}

func (o *outbox) loseOne() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lose(1)
}

// lose counts messages that will not be sent. mu is held.
func (o *outbox) lose(n uint64) {
	o.lost += n
	if o.lost > o.told && time.Since(o.last) >= time.Second {
		o.tell()
	}
}

// tell logs what was lost since it was told last. mu is held.
func (o *outbox) tell() {
	if n := o.lost - o.told; n > 0 {
		o.told, o.last = o.lost, time.Now()
		o.logger.Warn("messages are lost", zap.String("kind", o.name), zap.Uint64("messages", n))
	}
}

// take removes the oldest message.
func (o *outbox) take() (m message, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		o.queue = nil
		return message{}, false
	}
	m = o.queue[0]
	o.queue[0] = message{}
	o.queue, o.bytes = o.queue[1:], o.bytes-len(m.document)
	return m, true
}

func (o *outbox) run() {
	defer close(o.done)
	for o.ctx.Err() == nil {
		if m, ok := o.take(); ok {
			if !o.deliver(m) {
				m.claim.Release()
				o.loseOne()
			}
			continue
		}
		select {
		case <-o.more:
		case <-o.closing:
			o.mu.Lock()
			empty := len(o.queue) == 0
			o.mu.Unlock()
			if empty {
				return
			}
		case <-o.ctx.Done():
		}
	}
}

// deliver sends one message until it is taken or can never be, and reports
// whether it was taken.
func (o *outbox) deliver(m message) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 30*time.Second
	for attempt := 1; ; attempt++ {
		m.claim.Release() // before anybody can have the answer
		err := o.send(o.ctx, m)
		if err == nil {
			return true
		}
		if o.ctx.Err() != nil {
			return false
		}
		var refusal *ggipc.Error
		refused := errors.As(err, &refusal)
		if hopeless(err) {
			o.logger.Error("message refused", zap.String("kind", o.name), zap.Error(err))
			return false
		}
		if attempt == 1 {
			o.logger.Info("message not sent yet, trying again", zap.String("kind", o.name), zap.Error(err))
		}
		m.claim.Renew()
		if m.result { // the other side may have had it
			m.document = request.WithAttempt(m.document, attempt+1)
		}
		wait, closing := pause.NextBackOff(), o.closing
		select {
		case <-closing:
			if refused { // such as a device that is offline: what is queued would fare no better
				o.cancel()
				return false
			}
			wait, closing = 100*time.Millisecond, nil
		default:
		}
		select {
		case <-time.After(wait):
		case <-closing: // one more try
		case <-o.ctx.Done():
			return false
		}
	}
}

// hopeless tells whether a message that met err can never be sent.
func hopeless(err error) bool {
	var refusal *ggipc.Error
	var tooLarge *ggipc.FrameTooLargeError
	return errors.As(err, &refusal) && !refusal.Retryable() || errors.As(err, &tooLarge)
}

// close sends what is queued until ctx ends, or until the other side refuses a
// message. The rest is lost, which the log tells.
func (o *outbox) close(ctx context.Context) {
	close(o.closing)
	select {
	case <-o.done:
	case <-ctx.Done():
	}
	o.cancel()
	<-o.done
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lost += uint64(len(o.queue))
	o.queue, o.bytes = nil, 0
	o.tell()
}
