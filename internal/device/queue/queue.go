package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
	"github.com/brainseg/brainseg/internal/device/groupcommit"
	"github.com/brainseg/brainseg/internal/device/queue/answers"
	"github.com/brainseg/brainseg/internal/device/queue/backlog"
	"github.com/brainseg/brainseg/internal/device/queue/crashmarks"
	"github.com/brainseg/brainseg/internal/device/queue/records"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

const fileName = "queue.db"

// Queue is an open queue. Its methods may be called concurrently.
type Queue struct {
	opts    Options
	file    boltfile.File
	commits *groupcommit.Committer
	marks   *crashmarks.Marks
	release sync.Once // closes the files, with releaseErr

	releaseErr error

	mu      sync.Mutex    // guards what follows
	stopped bool          // by Stop: nothing is accepted or handed out any more
	closed  bool          // by Close
	changed chan struct{} // closed, and replaced, when something happens that somebody may wait for
	backlog *backlog.Backlog
	answers *answers.Kept
	last    uint64 // number of a request that was given
	counts  Counts

	found records.Contents // in the file that is being opened; the committer's
}

// Open opens the queue in a folder, or makes it. It waits for a process before
// this one to end.
func Open(ctx context.Context, opts Options) (*Queue, error) {
	opts = opts.withDefaults()
	if opts.Folder == "" {
		return nil, fmt.Errorf("open the queue: %w: no folder is given", ErrInvalid)
	}
	q := &Queue{opts: opts, changed: make(chan struct{}), backlog: backlog.New(), answers: answers.New(opts.now, opts.Expendable...)}
	q.file.Path, q.file.Initial = filepath.Join(opts.Folder, fileName), records.Initial
	q.file.Damaged = func(path string, cause error) {
		q.mu.Lock()
		q.counts.Damaged++
		q.mu.Unlock()
		opts.Damaged(path, cause)
	}
	if err := q.open(ctx); err != nil {
		return nil, fmt.Errorf("open the queue: %w", err)
	}
	q.commits.Start()
	return q, nil
}

func (q *Queue) open(ctx context.Context) error {
	if err := syncedfolder.Make(q.opts.Folder, 0o700); err != nil {
		return storageError(err)
	}
	var err error
	q.marks, err = crashmarks.Open(ctx, q.opts.Folder, q.opts.LockWait)
	switch {
	case errors.Is(err, crashmarks.ErrLocked):
		return ErrLocked
	case errors.Is(err, crashmarks.ErrIrregular):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case err != nil:
		return storageError(err)
	}
	q.commits, err = groupcommit.Open(groupcommit.Options{
		File: &q.file, Lock: &q.mu, Load: q.load, Adopt: q.adopt, Settled: q.settled, Tidy: q.forget,
	})
	if err != nil {
		q.marks.Close()
		return storageError(err)
	}
	q.countStart(q.marks.Interrupted())
	q.marks.Clear()
	return nil
}

// load checks a file and takes from it what is kept in memory.
func (q *Queue) load(file io.ReaderAt, size int64) (err error) {
	q.found, err = records.Load(file, size)
	return err
}

// adopt takes over what the file holds. Requests that are in work, or on their
// way into the file, stay. It is called with mu held.
func (q *Queue) adopt(fresh bool) {
	if fresh {
		q.found = records.Contents{}
	}
	q.backlog.Adopt(q.found.Requests, q.found.Answered)
	q.answers.Adopt(q.found)
	q.last = max(q.last, q.found.LastRequest)
	q.found = records.Contents{}
	q.wake()
}

// countStart notes which requests the process died with, and that answers may
// have been sent before. A full disk does not keep the queue from starting: what
// cannot be noted counts for this process only.
func (q *Queue) countStart(interrupted []uint64) {
	q.mu.Lock()
	died := q.backlog.Blame(interrupted)
	pending := q.answers.Begin()
	q.counts.Interrupted = len(died)
	epoch := q.answers.Epoch()
	q.mu.Unlock()
	if !pending && len(died) == 0 {
		return
	}
	_ = q.commits.Update(func(tx *bolt.Tx) error {
		if err := records.PutEpoch(tx, epoch); err != nil {
			return err
		}
		for _, r := range died {
			if err := records.PutCrashes(tx, r.Number, r.Crashes); err != nil {
				return err
			}
		}
		return nil
	})
}

// Counts are what has happened since Open.
type Counts struct {
	Accepted     uint64 // requests stored
	Busy         uint64 // requests refused for want of a place
	Answered     uint64 // answers stored
	Delivered    uint64 // deliveries noted as arrived
	Forgotten    uint64 // answers removed by age or for want of room
	GivenUp      uint64 // deliveries to expendable destinations, for want of room
	Transactions uint64 // on the disk
	Damaged      uint64 // files set aside
	Interrupted  int    // requests that were in work when the process before this one died
}

// Stats is the state of a queue.
type Stats struct {
	Counts
	// Waiting requests have not been handed out, Working ones were started; Ways
	// has all that have no answer, by way in.
	Waiting, Working int
	Ways             map[string]int
	// Oldest is when the oldest request without an answer was accepted; zero if
	// there is none.
	Oldest time.Time
	// Answers are kept, with documents of AnswerBytes.
	Answers     int
	AnswerBytes int64
	// Pending are the answers not yet delivered, by destination.
	Pending map[string]int
	// Faulty is set while the disk cannot be used.
	Faulty bool
}

// Stats tells the state of the queue.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{
		Counts: q.counts, Answers: q.answers.Len(), AnswerBytes: q.answers.Bytes(), Pending: q.answers.AllPending(), Faulty: q.commits.Faulty(),
	}
	s.Waiting, s.Working, s.Ways, s.Oldest = q.backlog.Count()
	return s
}

// wake tells everybody who waits. It is called with mu held.
func (q *Queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// Stop has Accept and Next refuse whatever comes with ErrClosed. What is in work
// can be finished, or returned, and answers can be delivered until Close.
func (q *Queue) Stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stopped {
		q.stopped = true
		q.wake()
	}
}

// Change has the bounds and the retention be those of opts from now on; what else
// opts says means nothing. What was accepted stays.
func (q *Queue) Change(opts Options) {
	opts = opts.withDefaults()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opts.MaxRequests, q.opts.MaxBytes = opts.MaxRequests, opts.MaxBytes
	q.opts.MaxAnswers, q.opts.MaxAnswerBytes, q.opts.Retain = opts.MaxAnswers, opts.MaxAnswerBytes, opts.Retain
}

// Close does what Stop does, stores what is on its way, and closes the files.
// Requests in work stay in the queue, and do not count as interrupted. Where ctx ends
// first, because the disk does not answer, Close returns and the files stay open.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	if !q.closed {
		q.stopped, q.closed = true, true
		q.wake()
	}
	q.mu.Unlock()
	if err := q.commits.Stop(ctx); err != nil {
		return fmt.Errorf("close the queue: %w", err)
	}
	q.release.Do(func() {
		q.marks.Clear()
		q.releaseErr = errors.Join(q.file.Close(), q.marks.Close())
	})
	if q.releaseErr != nil {
		return fmt.Errorf("close the queue: %w", q.releaseErr)
	}
	return nil
}

// submit has a change be stored. It is called with mu held, and done is, too.
func (q *Queue) submit(bytes int, write func(*bolt.Tx) error, done func(error) error) *groupcommit.Operation {
	o := &groupcommit.Operation{Bytes: bytes, Write: write, Done: func(err error) error { return done(storageError(err)) }}
	q.commits.Submit(o)
	return o
}

// settled follows a transaction. It is called with mu held.
func (q *Queue) settled() {
	q.counts.Transactions++
	q.wake()
}

// distrust notes that reading the file failed, and has it looked at.
func (q *Queue) distrust(err error) error {
	q.commits.Distrust()
	return storageError(err)
}

func storageError(err error) error {
	if err == nil || errors.Is(err, ErrStorage) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}

// checkName refuses what is no name of at most limit bytes.
func checkName(what, name string, limit int, empty bool) error {
	if name == "" && !empty || len(name) > limit {
		return fmt.Errorf("%w: the %s must have 1 to %d bytes", ErrInvalid, what, limit)
	}
	return nil
}
