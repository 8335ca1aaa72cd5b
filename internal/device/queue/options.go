package queue

import (
	"errors"
	"math"
	"time"
)

// Errors by which a caller decides.
var (
	// ErrBusy: there is no place for another request now; try again later.
	ErrBusy = errors.New("the queue is full, try again later")
	// ErrTooLarge: the request has more bytes than the queue may ever hold for its
	// way in; raise Options.MaxBytes.
	ErrTooLarge = errors.New("the request is larger than the queue")
	// ErrConflict: the id belongs to another request, whose answer is not
	// forgotten yet; use a new id.
	ErrConflict = errors.New("the id belongs to another request")
	// ErrInvalid: the caller gave a name that is empty or too long.
	ErrInvalid = errors.New("not a usable name")
	// ErrUnknown: no request of this id waits or is in work.
	ErrUnknown = errors.New("no such request")
	// ErrUnanswered: the request has no answer yet.
	ErrUnanswered = errors.New("the request has no answer yet")
	// ErrAnswered: the request has an answer already.
	ErrAnswered = errors.New("the request has an answer already")
	// ErrStorage: the disk is full, read-only or failing. What was confirmed
	// stays; what met this error may be tried again, under the same id.
	ErrStorage = errors.New("the queue's disk does not store (free space, or check the device)")
	// ErrLocked: another process holds the folder.
	ErrLocked = errors.New("another process uses the queue")
	// ErrClosed: the queue was closed.
	ErrClosed = errors.New("the queue is closed")
)

// Options are the settings of a Queue.
type Options struct {
	// Folder holds the queue's files and nothing else. It is made where it is
	// missing. Required.
	Folder string
	// MaxRequests bounds the requests that were not started, for each way in.
	// Default 64.
	MaxRequests int
	// MaxBytes bounds the documents and images of those without an answer, for each
	// way in. Default 64 MiB.
	MaxBytes int64
	// MaxAnswers bounds the answers that are kept, delivered or not. Default
	// 100,000, which takes about 8 MB of memory when they are there.
	MaxAnswers int
	// MaxAnswerBytes bounds their documents. Default 128 MiB.
	MaxAnswerBytes int64
	// Retain is how long an answer is kept after it was given, unless its room is
	// needed. Default 24 h.
	Retain time.Duration
	// Expendable are destinations whose answers are given up for want of room, the
	// oldest first, so that a network that is away for days keeps nobody from being
	// answered here. Default: none.
	Expendable []string
	// MaxCrashes is the number of times that the process may die with a request in
	// work until it is handed out as poisoned. Default 2. Starts of the system in
	// between do not count.
	MaxCrashes int
	// Damaged is told of a damaged file and the name under which it is kept. It
	// must not call the queue. Default: none.
	Damaged func(setAside string, cause error)
	// LockWait is how long Open waits for a process before this one to let go of
	// the folder. Default 10 s.
	LockWait time.Duration

	now func() time.Time // time.Now, but for tests
}

func (o Options) withDefaults() Options {
	set := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	set(&o.MaxRequests, 64)
	set(&o.MaxAnswers, 100_000)
	set(&o.MaxCrashes, 2)
	o.MaxCrashes = min(o.MaxCrashes, math.MaxUint8)
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxAnswerBytes <= 0 {
		o.MaxAnswerBytes = 128 << 20
	}
	if o.Retain <= 0 {
		o.Retain = 24 * time.Hour
	}
	if o.LockWait <= 0 {
		o.LockWait = 10 * time.Second
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.Damaged == nil {
		o.Damaged = func(string, error) {}
	}
	return o
}
