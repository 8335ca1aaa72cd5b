// Package dicominbox keeps the objects that DICOM peers send, series by series,
// until each series was worked on.
//
// An object that was confirmed is on the disk, its file synced and its folder. A
// series is complete when nothing came for a while (Complete); an object that
// comes later reopens it, one that is there already does not. What has become
// of a series is noted beside its objects, so that neither a killed process nor a
// power cut has a series worked on twice or never: Complete hands a series out
// again until Accepted, and its ID is the same as long as its objects are.
//
// Folders and files are called after hashes of UIDs. Nothing of a header gets into
// a name or a log. Bytes and objects are bounded; where there is no room, series
// that were worked on go first, the oldest before the others, and then the peer is
// told to come again.
//
// It knows no network and does not work on series. Package dicomnode has it between
// dicomnet and the queue.
package dicominbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"
)

// ErrReopened ends the work on a series to which objects came.
var ErrReopened = errors.New("late objects reopened the series")

// Options are the settings of an Inbox.
type Options struct {
	// Folder holds the objects and nothing else. It is made where it is missing.
	// Required. One process at a time uses it.
	Folder string
	// Quiet is how long nothing must come until a series is complete. Default 30 s.
	Quiet time.Duration
	// Keep is how long the objects of a series are kept after Released, for late
	// ones: a series is only worked on as a whole. Default 24 h.
	Keep time.Duration
	// MaxBytes bounds the files of all objects, on a disk with blocks of 4 KiB.
	// Default 8 GiB.
	MaxBytes int64
	// MaxObjects bounds their number. Default 100,000.
	MaxObjects int
	// Free tells how many bytes the disk of a folder has left. Default: what the system
	// says; of a disk that does not say, enough.
	Free func(folder string) int64
	// Removed is told of a series whose objects were removed, and whether it had been
	// released as failed. It must not call the Inbox. Default: none.
	Removed func(key string, failed bool)
	// Logger gets what went wrong with the disk. Default: none.
	Logger *zap.Logger
}

// Series is a series as it was when it was complete.
type Series struct {
	// Key names the series for good: the same UIDs of study and series, the same
	// key.
	Key string `json:"series"`
	// Set names the objects, by UID and content.
	Set string `json:"set"`
	// Attempt grows where the same objects are to be worked on again.
	Attempt int `json:"attempt"`
	// Objects is their number.
	Objects int `json:"objects"`
}

// ID names this work on the series: at most 80 characters.
func (s Series) ID() string { return fmt.Sprintf("%s-%s-%d", s.Key, s.Set, s.Attempt) }

// Inbox is an open inbox. Its methods may be called concurrently.
type Inbox struct {
	opts Options

	mu      sync.Mutex
	series  map[string]*series // by key; guarded by mu, as is all below
	bytes   int64              // of the objects, and of those that are coming
	objects int
	opened  chan struct{} // closed and made anew when a series opens
}

// series is one of an Inbox, guarded by its mu.
type series struct {
	key     string
	objects map[string]object // by the hash of the instance UID
	bytes   int64
	set     string // "" where it has to be computed
	note    note
	open    bool // not handed out since the last change
	last    time.Time
	// released is note.At on the process' own clock, which nobody sets.
	released time.Time
	changed  chan struct{} // closed and made anew when the set changes
	// committing objects and notes are on their way into the folder, one at a time.
	committing int
	commit     sync.Mutex
}

type object struct {
	content string // hash
	bytes   int64
	loose   bool // its folder could not be synced
}

// Open opens an inbox, or makes it.
func Open(opts Options) (*Inbox, error) {
	if opts.Quiet <= 0 {
		opts.Quiet = 30 * time.Second
	}
	if opts.Keep <= 0 {
		opts.Keep = 24 * time.Hour
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 8 << 30
	}
	if opts.MaxObjects <= 0 {
		opts.MaxObjects = 100_000
	}
	if opts.Free == nil {
		opts.Free = free
	}
	if opts.Removed == nil {
		opts.Removed = func(string, bool) {}
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	b := &Inbox{opts: opts, series: make(map[string]*series), opened: make(chan struct{})}
	if err := b.load(); err != nil {
		return nil, fmt.Errorf("open the folder for received series: %w", err)
	}
	return b, nil
}

// Complete waits for a series to which nothing came for Options.Quiet, and
// returns it. It is returned again after late objects, and after a new start
// unless Accepted was called. One goroutine calls it.
func (b *Inbox) Complete(ctx context.Context) (Series, error) {
	for {
		b.mu.Lock()
		wait, opened := time.Hour, b.opened
		for _, s := range b.series {
			if !s.open || s.committing > 0 || len(s.objects) == 0 {
				continue
			}
			left := b.opts.Quiet - time.Since(s.last)
			if left <= 0 {
				s.open = false
				complete := s.complete()
				b.mu.Unlock()
				return complete, nil
			}
			wait = min(wait, left)
		}
		wait = min(wait, b.removeOld())
		b.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-opened:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Series{}, context.Cause(ctx)
		}
		timer.Stop()
	}
}

// complete describes the series as it is now.
func (s *series) complete() Series {
	c := Series{Key: s.key, Set: s.setName(), Objects: len(s.objects)}
	if s.note.Set == c.Set {
		c.Attempt = s.note.Attempt
		if s.note.Phase == phaseReopened {
			c.Attempt++
		}
	}
	return c
}

// Accepted notes that somebody else keeps the work on a series from now on, under
// its ID. Nil means that this is on the disk, or that the work is over already.
func (b *Inbox) Accepted(s Series) error {
	return b.note(s, note{Set: s.Set, Attempt: s.Attempt, Phase: phaseAccepted})
}

// Released notes that the work on a series is over, and its result is where it
// belongs; failed, that the same objects may be sent again to try again. From now on the
// objects are kept for late ones only. Nil means that this is on the disk, or
// that the series has changed since.
func (b *Inbox) Released(s Series, failed bool) error {
	return b.note(s, note{Set: s.Set, Attempt: s.Attempt, Phase: phaseReleased, Failed: failed, At: time.Now().UTC().Truncate(time.Second)})
}

// Superseded notes that the work on a series was given up as its objects changed.
// Where they are by now what they were, the series is handed out again under
// another ID; else nothing is noted. Nil means that this is on the disk.
func (b *Inbox) Superseded(s Series) error {
	return b.note(s, note{Set: s.Set, Attempt: s.Attempt, Phase: phaseReopened})
}

// Reopen has a series worked on again, after its quiet time, as nobody knows of
// its work any more.
func (b *Inbox) Reopen(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.series[key]; s != nil {
		b.reopen(s)
	}
}

// Unreleased lists the series of which the work was accepted and is not
// over.
func (b *Inbox) Unreleased() []Series {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Series
	for _, s := range b.series {
		if !s.open && s.note.Phase == phaseAccepted {
			list = append(list, s.complete())
		}
	}
	return list
}

// Hold gives the folder with the objects of a series, and a context that ends
// with ErrReopened when the series changes. ok is false where it has changed
// already or is gone. release frees what belongs to the context.
func (b *Inbox) Hold(ctx context.Context, held Series) (folder string, until context.Context, release func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.series[held.Key]
	if s == nil || s.setName() != held.Set {
		return "", nil, nil, false
	}
	changed := s.changed
	until, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-changed:
			cancel(ErrReopened)
		case <-until.Done():
		}
	}()
	release = func() { cancel(context.Canceled); <-done }
	return b.objectsFolder(held.Key), until, release, true
}

// note stores what has become of a series, if it is still the same.
func (b *Inbox) note(of Series, n note) error {
	b.mu.Lock()
	s := b.series[of.Key]
	if s == nil {
		b.mu.Unlock()
		return nil
	}
	s.committing++ // so that it is not removed meanwhile
	b.mu.Unlock()
	s.commit.Lock()
	defer s.commit.Unlock()
	b.mu.Lock()
	same := s.setName() == of.Set && n.follows(s.note)
	b.mu.Unlock()
	var err error
	if same {
		err = n.write(filepath.Join(b.folderOf(s.key), noteName))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.committed(s)
	if err != nil {
		return fmt.Errorf("note what became of a series: %w", err)
	}
	if same {
		s.note = n
		switch n.Phase { // as it is after a new start
		case phaseReleased:
			s.open, s.released = false, time.Now()
		case phaseReopened:
			b.reopen(s)
		}
	}
	return nil
}

// reopen has a series handed out again. It is called with mu held.
func (b *Inbox) reopen(s *series) {
	s.last = time.Now()
	if !s.open {
		s.open = true
		close(b.opened)
		b.opened = make(chan struct{})
	}
}

// Stats counts what is there.
type Stats struct {
	Series, Objects int
	Bytes           int64
}

// Stats counts what is there.
func (b *Inbox) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Stats{Series: len(b.series), Objects: b.objects, Bytes: b.bytes}
}

func (b *Inbox) folderOf(key string) string      { return filepath.Join(b.opts.Folder, seriesName, key) }
func (b *Inbox) objectsFolder(key string) string { return filepath.Join(b.folderOf(key), objectsName) }
func (b *Inbox) incoming() string                { return filepath.Join(b.opts.Folder, incomingName) }
