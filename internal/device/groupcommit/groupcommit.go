// Package groupcommit lets many who change a database at the same time share its
// transactions. A transaction costs syncs of the disk; what is submitted while one is
// under way waits together for the next, and a lone change is stored at once.
//
// It opens the database, stores in the order of submission, and opens the database
// again where the disk or the file has failed, until that succeeds. It knows nothing
// of what a change is, and closes no file. Package queue calls it.
package groupcommit

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

const (
	batchOperations = 256
	batchBytes      = 8 << 20
	// lookAgain is the time between two calls of Tidy, and the shortest between two
	// tries to open a file that could not be used.
	lookAgain = time.Second
)

// Operation is a change that waits to be stored.
type Operation struct {
	// Bytes says about how much the change writes; a transaction takes no more than
	// some megabytes of them together.
	Bytes int
	// Write makes the change; it may run more than once. Required.
	Write func(*bolt.Tx) error
	// Done is called with the owner's lock held, once, when the change is stored or
	// has failed, and says what Wait returns. Required.
	Done func(error) error

	result chan error
}

// Wait waits until the change is stored or has failed, and returns what Done did. It
// is called once. After the end of ctx the change may be stored or not.
func (o *Operation) Wait(ctx context.Context) error {
	select {
	case err := <-o.result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for the disk: %w", context.Cause(ctx))
	}
}

// Options are the settings of a Committer. All are required.
type Options struct {
	// File is opened and changed by the committer alone; others may view it.
	File *boltfile.File
	// Lock is the owner's: it is held where the functions below and Operation.Done say
	// so, and may be held by who submits. The committer's own lock is taken inside.
	Lock sync.Locker
	// Load checks the file that is about to be opened, as boltfile.File.Open has it.
	Load func(file io.ReaderAt, size int64) error
	// Adopt takes over what Load has found, or that the file is a fresh one. It is
	// called with Lock held.
	Adopt func(fresh bool)
	// Settled is called after each transaction, with Lock still held from the calls of
	// Done of its operations.
	Settled func()
	// Tidy is called after each transaction and about every second, without Lock. It
	// may call Update, and says whether it has more to do.
	Tidy func() (more bool)
}

// Committer stores what is submitted. Its methods may be called concurrently, but for
// those that say otherwise.
type Committer struct {
	opts    Options
	trigger chan struct{} // holds one where there is something to do
	closing chan struct{} // closed by Stop
	ended   chan struct{} // closed when the goroutine has ended
	retry   time.Time     // when to try again to open the file; the goroutine's

	mu      sync.Mutex // guards what follows
	faulty  bool       // the file must be opened again
	stopped bool
	waiting []*Operation // to be stored
}

// Open opens the file, and has the owner adopt what is in it. Nothing is stored
// before Start, but by Update.
func Open(opts Options) (*Committer, error) {
	c := &Committer{opts: opts, trigger: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{})}
	if err := c.open(false); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Committer) open(again bool) error {
	fresh, err := c.opts.File.Open(again, c.opts.Load)
	if err != nil {
		return err
	}
	c.opts.Lock.Lock()
	defer c.opts.Lock.Unlock()
	c.mu.Lock()
	c.faulty = false
	c.mu.Unlock()
	c.opts.Adopt(fresh)
	return nil
}

// Start has what is submitted be stored from now on, until Stop, and calls Tidy soon.
func (c *Committer) Start() {
	c.nudge()
	go c.commitAll()
}

// Stop stores what was submitted, and waits for that, or for the end of ctx, because
// the disk does not answer. Nothing may be submitted after it. The file stays open.
func (c *Committer) Stop(ctx context.Context) error {
	c.mu.Lock()
	if !c.stopped {
		c.stopped = true
		close(c.closing)
	}
	c.mu.Unlock()
	select {
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Submit has an operation be stored, after all that were submitted before it.
func (c *Committer) Submit(o *Operation) {
	o.result = make(chan error, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, o)
	c.mu.Unlock()
	c.nudge()
}

// Faulty tells whether the file cannot be used, and waits to be opened again.
func (c *Committer) Faulty() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faulty
}

// Distrust notes that reading the file failed, and has it looked at.
func (c *Committer) Distrust() {
	c.mu.Lock()
	c.faulty = true
	c.mu.Unlock()
	c.nudge()
}

// Update runs a transaction of its own. Only Tidy calls it, and the owner before Start.
func (c *Committer) Update(write func(*bolt.Tx) error) error {
	_, err := c.update(write)
	return err
}

func (c *Committer) update(write func(*bolt.Tx) error) (boltfile.Fate, error) {
	fate, err := c.opts.File.Update(write)
	if fate == boltfile.Unknown {
		c.mu.Lock()
		c.faulty = true
		c.mu.Unlock()
	}
	return fate, err
}

func (c *Committer) nudge() {
	select {
	case c.trigger <- struct{}{}:
	default:
	}
}

// take takes what waits, as much as one transaction should have.
func (c *Committer) take() []*Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.waiting) && n < batchOperations && (n == 0 || size+c.waiting[n].Bytes <= batchBytes) {
		size += c.waiting[n].Bytes
		n++
	}
	batch := c.waiting[:n:n]
	if c.waiting = c.waiting[n:]; len(c.waiting) == 0 {
		c.waiting = nil
	}
	return batch
}

func (c *Committer) commitAll() {
	defer close(c.ended)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	last := false
	for !last {
		select {
		case <-c.trigger:
		case <-tick.C:
		case <-c.closing:
			last = true // what was submitted before is taken below
		}
		c.reopen()
		for batch := c.take(); len(batch) > 0; batch = c.take() {
			c.commit(batch)
			c.opts.Tidy() // also where there is always a next batch
		}
		for c.opts.Tidy() {
		}
	}
}

// commit stores a batch in one transaction. Where that fails each operation is
// tried alone, for the disk may have room for one and not for another.
func (c *Committer) commit(batch []*Operation) {
	fate, err := c.update(func(tx *bolt.Tx) error {
		for _, o := range batch {
			if err := o.Write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if fate == boltfile.Refused && len(batch) > 1 {
		for _, o := range batch {
			c.commit([]*Operation{o})
		}
		return
	}
	c.opts.Lock.Lock()
	results := make([]error, len(batch))
	for i, o := range batch {
		results[i] = o.Done(err)
	}
	c.opts.Settled()
	c.opts.Lock.Unlock()
	for i, o := range batch {
		o.result <- results[i]
	}
	c.reopen()
}

// reopen opens the file again where that is needed. Until that succeeds nothing is
// stored.
func (c *Committer) reopen() {
	if !c.Faulty() || time.Now().Before(c.retry) {
		return
	}
	if err := c.open(true); err != nil {
		c.retry = time.Now().Add(lookAgain)
	}
}
