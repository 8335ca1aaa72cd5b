package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
	"github.com/brainseg/brainseg/internal/device/groupcommit"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

const fileName = "queue.db"

// Queue is an open queue. Its methods may be called concurrently.
type Queue struct {
	opts    Options
	file    boltfile.File
	commits *groupcommit.Committer
	marks   *marks
	clock   clock
	release sync.Once // closes the files, with releaseErr

	releaseErr error

	mu       sync.Mutex    // guards what follows
	stopped  bool          // by Stop: nothing is accepted or handed out any more
	closed   bool          // by Close
	changed  chan struct{} // closed, and replaced, when something happens that somebody may wait for
	active   map[idKey]*entry
	working  map[uint64]struct{} // numbers of requests that were started
	lines    lines
	suspects []*entry // wait apart: the process died with them in work
	suspect  *entry   // the one of them that is handed out
	ways     map[string]*usage
	answers  answersInfo
	pending  map[string]int               // deliveries by destination
	handed   map[string]map[uint64]uint32 // attempts by this process, by destination and answer
	epoch    uint32
	last     struct{ request, answer uint64 } // numbers that were given
	synced   uint64                           // the last answer that is on the disk
	counts   Counts

	forgetNext int64    // on the queue's clock; the committer's
	found      contents // in the file when it was opened last; the committer's
}

type answersInfo struct {
	byID  map[idKey]uint64
	bytes int64
	from  uint64 // no answer below it can be forgotten
}

// usage is what a way in has in the queue: requests that were not started, and
// the bytes of all that have no answer.
type usage struct {
	waiting int
	entries int
	bytes   int64
}

type idKey [16]byte

func keyOf(id string) (k idKey) {
	sum := sha256.Sum256([]byte(id))
	copy(k[:], sum[:])
	return k
}

type state uint8

const (
	storing   state = iota // Accept waits for the disk
	queued                 // in its line
	handedOut              // by Next
	inWork                 // and started
	finishing              // Finish waits for the disk
)

// entry is a request without an answer.
type entry struct {
	key      idKey
	number   uint64
	id       string
	way      string
	client   string
	digest   [32]byte
	document uint32
	image    uint32
	accepted time.Time
	crashes  int
	state    state
	started  bool // makes no more use of a place among those that wait
	// void is set where a file that was opened again knew better: the request is
	// in it under another number, or has its answer. Operations on it do nothing.
	void bool
}

func (e *entry) size() int64 { return int64(e.document) + int64(e.image) }

// Open opens the queue in a folder, or makes it. It waits for a process before
// this one to end.
func Open(ctx context.Context, opts Options) (*Queue, error) {
	opts = opts.withDefaults()
	if opts.Folder == "" {
		return nil, fmt.Errorf("open the queue: %w: no folder is given", ErrInvalid)
	}
	q := &Queue{
		opts: opts, changed: make(chan struct{}), active: map[idKey]*entry{}, working: map[uint64]struct{}{}, ways: map[string]*usage{},
		handed: map[string]map[uint64]uint32{},
	}
	q.file.Path, q.file.Initial = filepath.Join(opts.Folder, fileName), initial
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
	if q.marks, err = openMarks(ctx, q.opts.Folder, q.opts.LockWait); err != nil {
		return err
	}
	q.commits, err = groupcommit.Open(groupcommit.Options{
		File: &q.file, Lock: &q.mu, Load: q.load, Adopt: q.adopt, Settled: q.settled, Tidy: q.forget,
	})
	if err != nil {
		q.marks.close()
		return storageError(err)
	}
	q.clock = newClock(q.opts.now(), q.found.newest)
	q.epoch = q.found.epoch
	q.countStart(q.marks.interrupted())
	q.marks.clear()
	return nil
}

// load checks a file and takes from it what is kept in memory.
func (q *Queue) load(file io.ReaderAt, size int64) (err error) {
	q.found, err = load(file, size)
	return err
}

// adopt takes over what the file holds. Requests that are in work, or on their
// way into the file, stay. It is called with mu held.
func (q *Queue) adopt(fresh bool) {
	if fresh {
		q.found = contents{}
	}
	found := q.found
	inFile := make(map[idKey]*entry, len(found.requests))
	for _, r := range found.requests {
		e := &entry{
			key: keyOf(r.id), number: r.number, id: r.id, way: r.way, client: r.client, digest: r.digest,
			document: r.document, image: r.image, accepted: time.Unix(0, r.accepted), crashes: int(r.crashes), state: queued,
		}
		inFile[e.key] = e
	}
	for key, e := range q.active {
		_, answered := found.answered[key]
		r := inFile[key]
		switch {
		case answered, r != nil && r.number != e.number:
			e.void = true
			delete(q.active, key)
			q.letGo(e)
		case r != nil:
			inFile[key] = e
		case e.state == queued: // it went with a damaged file
			delete(q.active, key)
		}
	}
	q.lines, q.suspects = lines{}, nil
	for _, r := range found.requests {
		e := inFile[keyOf(r.id)]
		q.active[e.key] = e
		if e.state == queued {
			q.line(e, false)
		}
	}
	clear(q.ways)
	for _, e := range q.active {
		q.reserve(e, 1)
	}
	q.answers = answersInfo{byID: found.answered, bytes: found.answerBytes}
	if q.answers.byID == nil {
		q.answers.byID = map[idKey]uint64{}
	}
	q.pending = found.pending
	if q.pending == nil {
		q.pending = map[string]int{}
	}
	q.last.request = max(q.last.request, found.lastRequest)
	q.last.answer = max(q.last.answer, found.lastAnswer)
	q.synced = found.lastAnswer
	q.found = contents{newest: found.newest, epoch: found.epoch} // the rest would only take memory
	q.wake()
}

// line has a request wait for its turn, at the end of its client's line or at its
// head. Those with which the process died wait apart, and only one of them is in
// work at a time: when the process dies again, it is known of which. It is called
// with mu held.
func (q *Queue) line(e *entry, head bool) {
	switch {
	case e.crashes == 0:
		q.lines.push(e, head)
	case head:
		q.suspects = slices.Insert(q.suspects, 0, e)
	default:
		q.suspects = append(q.suspects, e)
	}
}

// turn takes the request whose turn it is, nil if there is none. It is called with
// mu held.
func (q *Queue) turn() *entry {
	if len(q.suspects) > 0 && q.suspect == nil {
		e := q.suspects[0]
		q.suspects = q.suspects[1:]
		q.suspect = e
		return e
	}
	return q.lines.pop()
}

// leave takes a request that waits out of its line. It is called with mu held.
func (q *Queue) leave(e *entry) {
	if e.crashes == 0 {
		q.lines.remove(e)
		return
	}
	q.suspects = slices.DeleteFunc(q.suspects, func(o *entry) bool { return o == e })
}

// reserve counts a request in or, with -1, out. It is called with mu held.
func (q *Queue) reserve(e *entry, sign int) {
	w := q.ways[e.way]
	if w == nil {
		w = &usage{}
		q.ways[e.way] = w
	}
	w.entries += sign
	if !e.started {
		w.waiting += sign
	}
	w.bytes += int64(sign) * e.size()
	if w.entries == 0 {
		delete(q.ways, e.way)
	}
}

// countStart notes which requests the process died with, and that answers may
// have been sent before. A full disk does not keep the queue from starting: what
// cannot be noted counts for this process only.
func (q *Queue) countStart(interrupted []uint64) {
	q.mu.Lock()
	died := make(map[*entry]uint8)
	for _, e := range q.active {
		if slices.Contains(interrupted, e.number) {
			e.crashes = min(e.crashes+1, math.MaxUint8)
			died[e] = uint8(e.crashes)
		}
	}
	for e := range died {
		q.lines.remove(e)
	}
	for _, e := range slices.SortedFunc(maps.Keys(died), func(a, b *entry) int { return cmp.Compare(a.number, b.number) }) {
		if !slices.Contains(q.suspects, e) {
			q.suspects = append(q.suspects, e)
		}
	}
	pending := 0
	for _, n := range q.pending {
		pending += n
	}
	if pending > 0 {
		q.epoch++
	}
	q.counts.Interrupted = len(died)
	epoch := q.epoch
	q.mu.Unlock()
	if pending == 0 && len(died) == 0 {
		return
	}
	_ = q.commits.Update(func(tx *bolt.Tx) error {
		value := binary.LittleEndian.AppendUint32(nil, epoch)
		if err := tx.Bucket(bucketState).Put(keyEpoch, boltfile.Seal(keyEpoch, value)); err != nil {
			return err
		}
		requests := tx.Bucket(bucketRequests)
		for e, crashes := range died {
			head, err := boltfile.Head(requests, e.number)
			if err != nil || head == nil {
				return err
			}
			head = append([]byte(nil), head...)
			head[0] = crashes
			key := boltfile.RecordKey(e.number, 0)
			if err := requests.Put(key, boltfile.Seal(key, head)); err != nil {
				return err
			}
		}
		return nil
	})
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
// Requests in work stay in the queue, and do not count as interrupted. Where ctx ends first, because the disk does not answer, Close
// returns and the files stay open.
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
		q.marks.clear()
		q.releaseErr = errors.Join(q.file.Close(), q.marks.close())
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
