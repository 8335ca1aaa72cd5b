// Package outbox sends messages in order to where nobody may listen for days: to
// AWS IoT Core, which a device without a network does not reach, and to a nucleus
// that is being restarted.
//
// An [Outbox] takes messages, makes nobody wait, and sends one after the other over a
// [Link], which tries again with growing, jittered pauses and tells when the other
// side is away and when it is back.
//
// # On disk
//
// An outbox with a file ([Outbox.Keep]) keeps over restarts what it could not send.
// While messages go out at once it does not touch the disk. Those that have waited
// for half a minute, and those that are left at the end of the process, are stored
// together in one synced transaction. So nobody who puts a message waits for a disk,
// a device that is offline spares its card, and a power cut costs the messages of the
// last half minute: status messages, which tell what was. Answers do not go that way:
// package queue stores them in the transaction that finishes their request, and hands
// them out until they have arrived. They go over a Link of this package.
//
// # What is promised
//
// A message in the file is sent until the other side takes it or refuses it for good,
// or goes for want of room and is counted; whatever becomes of the process, and of the
// power. It is sent at least once: a power cut has some of the last ones sent again,
// as many as are sent between two transactions, and then all later ones behind them
// in their order, so that the last one stays the last. What was sent before Close has
// returned is not sent again. [Outbox.Clear] tells when what goes another way is later
// than all of an outbox.
//
// # Bounds
//
// Memory and file are bounded in messages and in bytes. The oldest make room for new
// ones, and are counted over restarts until somebody is told ([Outbox.Told]). A file
// that is damaged is set aside under another name. A disk that is full or fails leaves
// the messages in memory until it stores again.
//
// # What it does not do
//
// It knows no topic's meaning and speaks with no nucleus: a function sends. Package
// greengrass calls it.
package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/ownclock"
)

// Message is a document for a topic.
type Message struct {
	Topic    string
	Document []byte
	// Attempt is the number that the document gives the first try to send it, where it
	// is an answer, which counts them; else 0. It is not stored.
	Attempt int
	// Claim is of the files that the document names, nil for none. It is not stored.
	Claim *claim.Claim
}

// Options are the settings of an Outbox.
type Options struct {
	// Name says in the log what the messages are. Required.
	Name string
	// Link sends them. Required.
	Link *Link
	// MaxMessages and MaxBytes bound those in the file, and those in memory. Defaults
	// 16,384 and 8 MiB.
	MaxMessages int
	MaxBytes    int
	// Lazy is how long a message waits to be sent before it is stored. Default 30 s.
	Lazy time.Duration
	// Logger gets what is lost or refused, never what messages say. Default: none.
	Logger *zap.Logger
}

func (o Options) withDefaults() Options {
	if o.MaxMessages <= 0 {
		o.MaxMessages = 16_384
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 8 << 20
	}
	if o.Lazy <= 0 {
		o.Lazy = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// entry is a message that waits.
type entry struct {
	Message
	put    int64  // on the outbox' clock
	number uint64 // in the file; 0 where it is in memory alone
	failed bool   // a try; guarded by Outbox.mu

	storing bool // in a transaction that goes on; guarded by Outbox.mu
	gone    bool // out of memory meanwhile, for want of room; guarded by Outbox.mu
}

// Outbox sends messages in order. Its methods may be called concurrently.
type Outbox struct {
	opts    Options
	ctx     context.Context // ends when nothing more is sent
	cancel  context.CancelFunc
	closing chan struct{}  // closed when only what is there remains to be sent
	done    chan struct{}  // closed when run has ended
	more    chan struct{}  // holds one where there may be messages
	keeping sync.WaitGroup // the goroutine that stores
	crowded chan struct{}  // holds one where memory should be stored at once
	ended   chan struct{}  // closed when nothing is kept any more

	writing    sync.Mutex // held while the file is read or changed, before mu
	disk       *disk      // guarded by writing; nil without a file
	batch      []*entry   // read ahead from the file; guarded by writing
	sent       uint64     // up to this number the file's messages are done with; guarded by writing
	finished   int        // of these are still in the file; guarded by writing
	dropped    uint64     // up to this number they went for want of room; guarded by writing
	complained bool       // of the disk; guarded by writing
	doubtful   []*entry   // of a transaction that may be in the file; guarded by writing
	doubtfulTo uint64     // number that the last of them has there; guarded by writing

	mu      sync.Mutex
	clock   ownclock.Clock // guarded by mu
	memory  []*entry       // not in the file; guarded by mu
	bytes   int            // of them; guarded by mu
	closed  bool           // nothing is taken any more; guarded by mu
	flight  *entry         // taken out to be sent; guarded by mu
	lost    uint64         // messages that were not sent and will not be; guarded by mu
	logged  uint64         // of them in the log; guarded by mu
	last    time.Time      // that they were logged; guarded by mu
	untold  uint64         // lost and not asked for by Told, over restarts; guarded by mu
	stored  contents       // what the file holds that is to be sent; guarded by mu
	held    int            // messages in the file, those that are done with too; guarded by mu
	unread  bool           // nobody knows what is in the file; guarded by mu
	damaged uint64         // files set aside; guarded by mu
}

// New returns an outbox in memory.
func New(opts Options) *Outbox {
	o := &Outbox{
		opts: opts.withDefaults(), clock: ownclock.Start(time.Now()), closing: make(chan struct{}), done: make(chan struct{}),
		more: make(chan struct{}, 1), crowded: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	go o.run()
	return o
}

// Keep has messages kept in a file from now on, and sends those that are in it first. It
// does not wait for the file, which nobody else may use. One that cannot be used now is
// tried again later; one that is damaged is set aside, and damaged told under which
// name: of the outbox it may call Put only. Keep is called once at most.
func (o *Outbox) Keep(path string, damaged func(setAside string, cause error)) {
	o.writing.Lock() // until it is open, so that nothing is sent before what is in it
	o.disk = newDisk(path, func(setAside string, cause error) {
		o.mu.Lock()
		o.damaged++
		o.mu.Unlock()
		damaged(setAside, cause)
	})
	exists := o.disk.exists()
	o.mu.Lock()
	o.unread = exists
	o.mu.Unlock()
	o.keeping.Go(func() {
		if exists {
			o.open()
		}
		o.writing.Unlock()
		o.keep()
	})
}

// Put queues a message and never waits. The oldest make room for it.
func (o *Outbox) Put(m Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		m.Claim.Release()
		o.lose(1)
		return
	}
	o.memory, o.bytes = append(o.memory, &entry{Message: m, put: o.clock.Now()}), o.bytes+size(m)
	drop, lost := 0, uint64(0)
	for len(o.memory)-drop > o.opts.MaxMessages || o.bytes > o.opts.MaxBytes && len(o.memory)-drop > 1 {
		e := o.memory[drop]
		o.bytes -= size(e.Message)
		if e.gone = true; !e.storing {
			e.Claim.Release()
			lost++
		}
		o.memory[drop] = nil
		drop++
	}
	o.memory = o.memory[drop:]
	o.lose(lost)
	signal(o.more)
	if len(o.memory) >= crowdedMessages || o.bytes >= crowdedBytes {
		signal(o.crowded)
	}
}

func size(m Message) int { return len(m.Topic) + len(m.Document) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Store queues a message of an outbox with a file, and returns when it is in there,
// synced. It is for outboxes that get no message by Put. The document may be changed
// after the call.
func (o *Outbox) Store(m Message) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	closed, now := o.closed, o.clock.Now()
	o.mu.Unlock()
	if closed || o.disk == nil {
		return errors.New("store a message: the outbox has no file")
	}
	if err := o.write([]*entry{{Message: m, put: now}}); err != nil {
		return fmt.Errorf("store a message: %w", err)
	}
	signal(o.more)
	return nil
}

// Stats is the state of an outbox.
type Stats struct {
	Waiting int           // messages that are not sent, in memory and in the file
	Bytes   int           // of these, and at times of some that were just sent
	Longest time.Duration // for which one of them waits; 0 for none
	Lost    uint64        // messages that were not sent and will not be, since New
	Damaged uint64        // files that were set aside, since New
}

// Stats tells the state of the outbox.
func (o *Outbox) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{Waiting: o.stored.messages + len(o.memory), Bytes: o.stored.bytes + o.bytes, Lost: o.lost, Damaged: o.damaged}
	if o.flight != nil && o.flight.failed && o.flight.number == 0 {
		s.Waiting++
	}
	switch {
	case s.Waiting == 0:
	case o.stored.messages > 0:
		s.Longest = o.clock.Ago(o.stored.oldest)
	case o.flight != nil:
		s.Longest = o.clock.Ago(o.flight.put)
	default:
		s.Longest = o.clock.Ago(o.memory[0].put)
	}
	return s
}

// Clear reports whether a message that goes another way from now on is later than all
// of the outbox: nothing waits, and nothing that was sent is still in the file, from
// where it would be sent again after a power cut.
func (o *Outbox) Clear() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.unread && o.held == 0 && len(o.memory) == 0 && o.flight == nil
}

// Told returns how many messages were lost since it was called last, also by
// processes before this one where there is a file.
func (o *Outbox) Told() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.untold
	o.untold = 0
	return n
}

// LoseOne counts a message that is lost elsewhere.
func (o *Outbox) LoseOne() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lose(1)
}

// lose counts messages that will not be sent. mu is held.
func (o *Outbox) lose(n uint64) {
	o.lost, o.untold = o.lost+n, o.untold+n
	if o.lost > o.logged && time.Since(o.last) >= time.Second {
		o.log()
	}
}

// log tells what was lost since it did last. mu is held.
func (o *Outbox) log() {
	if n := o.lost - o.logged; n > 0 {
		o.logged, o.last = o.lost, time.Now()
		o.opts.Logger.Warn("messages are lost", zap.String("kind", o.opts.Name), zap.Uint64("messages", n))
	}
}

// run sends until the end.
func (o *Outbox) run() {
	defer close(o.done)
	for o.ctx.Err() == nil {
		if e := o.take(); e != nil {
			o.deliver(e)
			continue
		}
		select {
		case <-o.more:
		case <-o.closing:
			e := o.take() // one that was put meanwhile
			if e == nil {
				return
			}
			o.deliver(e)
		case <-o.ctx.Done():
		}
	}
}

// take takes the oldest message out to be sent: those in the file are older.
func (o *Outbox) take() *entry {
	o.writing.Lock()
	defer o.writing.Unlock()
	if len(o.batch) == 0 && o.disk != nil {
		o.readAhead()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.batch) > 0:
		o.flight, o.batch = o.batch[0], o.batch[1:]
	case len(o.memory) > 0:
		o.flight, o.memory = o.memory[0], o.memory[1:]
		o.bytes -= size(o.flight.Message)
		if len(o.memory) == 0 {
			o.memory = nil
		}
	default:
		o.flight = nil
	}
	return o.flight
}

// deliver sends a message until it is taken or can never be, or until one in the file
// is better read again.
func (o *Outbox) deliver(e *entry) {
	link := o.opts.Link
	for link.Wait(o.ctx, o.closing) {
		err := link.Try(o.ctx, &e.Message)
		if err == nil {
			o.finish(e)
			return
		}
		if o.ctx.Err() != nil {
			break
		}
		if link.Hopeless(err) {
			o.opts.Logger.Error("message refused", zap.String("kind", o.opts.Name), zap.Error(err))
			e.Claim.Release()
			o.LoseOne()
			o.finish(e)
			return
		}
		kept := o.putBack(e)
		select {
		case <-o.closing:
			// What is in the file is kept. And a refusal is one such as of a device that
			// is offline: what is queued would fare no better.
			if kept || refused(err) {
				o.cancel()
				break
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-o.ctx.Done():
			}
		default:
		}
		if kept {
			return
		}
		o.mu.Lock()
		e.failed = true
		o.mu.Unlock()
	}
	if !o.putBack(e) {
		o.giveUp(e)
	}
}

// refused tells whether err is the nucleus' answer, and no fault on the way to it.
func refused(err error) bool {
	var refusal *ggipc.Error
	return errors.As(err, &refusal)
}

// finish notes that a message is done with.
func (o *Outbox) finish(e *entry) {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	o.flight = nil
	if e.number > o.dropped {
		o.sent, o.finished = e.number, o.finished+1
		o.note()
	}
	o.mu.Unlock()
	if o.finished > 0 && (len(o.batch) == 0 || o.finished >= aheadMessages) {
		_ = o.write(nil) // what was sent stays noted, and is removed later
	}
}

// putBack leaves a message that was not sent to the file, where it is there. What
// was read ahead is read again: older ones may have had to go meanwhile.
func (o *Outbox) putBack(e *entry) bool {
	o.writing.Lock()
	defer o.writing.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.number == 0 {
		return false
	}
	o.flight, o.batch = nil, nil
	return true
}

// giveUp leaves a message of memory to the end of the outbox.
func (o *Outbox) giveUp(e *entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flight, o.bytes = nil, o.bytes+size(e.Message)
	o.memory = append([]*entry{e}, o.memory...)
}

// Close sends what is there until ctx ends, or until the other side refuses a
// message. The rest is stored, where there is a file; else it is lost, which the log
// tells.
func (o *Outbox) Close(ctx context.Context) {
	close(o.closing)
	select {
	case <-o.done:
	case <-ctx.Done():
	}
	o.cancel()
	<-o.done
	close(o.ended)
	o.keeping.Wait()
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.writing.Lock()
	defer o.writing.Unlock()
	if o.disk != nil {
		o.storeLast()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lose(uint64(len(o.memory)))
	for _, e := range o.memory {
		e.Claim.Release()
	}
	o.memory, o.bytes = nil, 0
	o.log()
}
