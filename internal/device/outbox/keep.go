package outbox

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	// What is beyond these in memory is stored at once.
	crowdedMessages = 256
	crowdedBytes    = 256 << 10
	// aheadMessages and aheadBytes bound what is read from the file at once; so many are
	// sent again at most by the process after one that was killed.
	aheadMessages = 128
	aheadBytes    = 256 << 10
	// lookEvery is the time between two looks at what has waited long.
	lookEvery = time.Second
)

// keep stores what has waited, until the end.
func (o *Outbox) keep() {
	tick := time.NewTicker(min(lookEvery, o.opts.Lazy))
	defer tick.Stop()
	for {
		due := true
		select {
		case <-tick.C:
			due = o.waited()
		case <-o.crowded:
		case <-o.ended:
			return
		}
		o.writing.Lock()
		if o.disk.faulty {
			o.open()
		}
		if due {
			o.storeMemory()
		}
		if o.finished > 0 && len(o.batch) == 0 {
			_ = o.write(nil) // what finish could not remove
		}
		o.writing.Unlock()
	}
}

// waited reports whether something has waited as long as it may in memory alone.
func (o *Outbox) waited() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	oldest := o.flight
	if oldest == nil || oldest.number > 0 {
		if len(o.memory) == 0 {
			return false
		}
		oldest = o.memory[0]
	}
	return o.clock.Ago(oldest.put) >= o.opts.Lazy
}

// open opens the file, and reports whether it can be used. writing is held, or nobody
// else is there yet.
func (o *Outbox) open() bool {
	d := o.disk
	if d.open {
		return true
	}
	if time.Now().Before(d.retry) {
		return false
	}
	known := d.has.lost
	finished, err := d.openFile(o.sent)
	if err != nil {
		o.complain(err)
		return false
	}
	o.batch, o.finished = nil, finished
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unread = false
	if o.disk.has.last >= o.doubtfulTo {
		o.moved(o.doubtful, o.doubtfulTo)
	}
	o.doubtful, o.doubtfulTo = nil, 0
	o.clock.Reach(d.has.newest)
	o.note()
	if d.has.lost > known { // by processes before this one
		o.untold += d.has.lost - known
	}
	signal(o.more)
	return true
}

// note notes what the file holds, for those who do not hold writing. mu and writing
// are held.
func (o *Outbox) note() {
	o.stored, o.held = o.disk.has, o.disk.has.messages
	o.stored.messages -= o.finished
}

// complain tells that the disk does not take messages, once until it does.
func (o *Outbox) complain(err error) {
	if !o.complained {
		o.complained = true
		o.opts.Logger.Warn("messages cannot be stored and wait in memory", zap.String("kind", o.opts.Name), zap.Error(err))
	}
}

// storeMemory moves what is in memory to the file, the message that is being sent
// too. writing is held.
func (o *Outbox) storeMemory() {
	o.mu.Lock()
	entries := slices.Clone(o.memory)
	if o.flight != nil && o.flight.number == 0 {
		entries = slices.Insert(entries, 0, o.flight)
	}
	for _, e := range entries {
		e.storing = true
	}
	o.mu.Unlock()
	if len(entries) > 0 {
		_ = o.write(entries) // they stay in memory, and are tried again
	}
}

// storeLast stores what is left, and closes the file. writing is held.
func (o *Outbox) storeLast() {
	o.storeMemory()
	o.mu.Lock()
	untold := o.untold
	o.mu.Unlock()
	if o.disk.open && (o.finished > 0 || untold != o.disk.has.lost) {
		_ = o.write(nil) // what was sent is sent again
	}
	_ = o.disk.file.Close() // what is in it is synced
}

// errNotOpen says that the file could not be opened.
var errNotOpen = errors.New("the file cannot be used")

// write stores entries, and removes from the file what is done with. writing is held.
func (o *Outbox) write(entries []*entry) error {
	if !o.open() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.notStored(entries)
		return errNotOpen
	}
	entries = slices.DeleteFunc(entries, func(e *entry) bool { return e.number > 0 }) // found just now
	o.mu.Lock()
	untold := o.untold
	o.mu.Unlock()
	dropped, droppedTo, err := o.disk.write(o.sent, entries, o.opts.MaxMessages, o.opts.MaxBytes, untold)
	if err != nil {
		o.mu.Lock()
		if o.disk.faulty {
			o.doubtful, o.doubtfulTo = entries, o.disk.has.last+uint64(len(entries))
			o.unread = true
		}
		o.notStored(entries)
		o.mu.Unlock()
		o.complain(err)
		return err
	}
	o.complained, o.finished = false, 0
	if dropped > 0 {
		o.batch, o.dropped = nil, droppedTo
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.note()
	o.lose(uint64(dropped))
	o.moved(entries, o.disk.has.last)
	return nil
}

// moved notes that entries are in the file, the last of them with a number. mu and
// writing are held.
func (o *Outbox) moved(entries []*entry, last uint64) {
	for i, e := range entries {
		e.number = last - uint64(len(entries)-1-i)
		e.Claim.Release()
	}
	o.memory = slices.DeleteFunc(o.memory, func(e *entry) bool {
		if e.number > 0 {
			o.bytes -= size(e.Message)
		}
		return e.number > 0
	})
}

// notStored notes that entries stay in memory, and counts those for which that had no
// room meanwhile. mu is held.
func (o *Outbox) notStored(entries []*entry) {
	for _, e := range entries {
		if e.storing = false; e.gone {
			e.Claim.Release()
			o.lose(1)
		}
	}
}

// readAhead reads the oldest messages of the file. Where it cannot be read, those in
// memory go first. writing is held.
func (o *Outbox) readAhead() {
	o.mu.Lock()
	waiting := o.stored.messages
	o.mu.Unlock()
	if waiting == 0 || !o.open() {
		return
	}
	var err error
	if o.batch, err = o.disk.read(o.sent, aheadMessages, aheadBytes); err != nil {
		o.complain(err)
	}
}
