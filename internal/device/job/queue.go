package job

import (
	"context"
	"errors"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Receipt says what became of a job that was accepted.
type Receipt struct {
	// Known is set where the request was accepted before. The job is not handed out.
	Known bool
	// Joined is set where the answer of a request that came another way is waited
	// for, in this process only.
	Joined bool
	// Answer is the document of the answer that a known request has; nil while it
	// has none: then Done is called, or the answer delivered, with that of the first.
	Answer []byte
}

// Queue keeps accepted jobs until they are answered. It outlives configurations.
type Queue interface {
	// Restored are the jobs of an earlier process that wait, without their images.
	Restored() []*Job
	// Knows reports whether a job of this key was accepted and is not forgotten.
	Knows(key string) bool
	// Accept gives a job its place, behind those before it, and does not wait. What
	// it returns does, until the job is stored. It is refused with ErrQueueFull,
	// ErrClosed or a *request.Error. It may be handed out before that returns.
	Accept(j *Job) (stored func(context.Context) (Receipt, error))
	// Next waits for the job whose turn it is and hands it out once. It returns
	// ErrClosed when the queue is stopped and, where it cannot keep them for
	// another process, all jobs were handed out.
	Next(ctx context.Context) (*Job, error)
	// Started tells that a job no longer waits: it makes room for another.
	Started(j *Job)
	// Finish gives the answer of a job, which has reached nobody yet, its place and
	// does not wait. What it returns does, until the answer is stored; it returns
	// the answer's document, where that is kept, and who must be told: all to whom
	// the queue does not deliver by itself.
	Finish(j *Job, answer request.Result) (stored func(context.Context) (document []byte, tell []func(Outcome), err error))
	// Return gives back a job that will not be finished, for the process ends. Who
	// must be told is returned.
	Return(j *Job) (tell []func(Outcome))
	// Lookup tells where a job is, and the document of the answer that it has.
	Lookup(key string) (Stage, []byte, error)
	// Forget forgets an answer. A job that waits gets the given one instead, and is
	// returned with those who must be told. The error is ErrUnknownRequest or
	// ErrInWork where that is so.
	Forget(ctx context.Context, key string, answer request.Result) (j *Job, tell []func(Outcome), err error)
	// Configure follows a new configuration.
	Configure(cfg config.Config)
	// Stop has Accept refuse whatever comes. Who waits for a job that will not be
	// handed out any more is returned.
	Stop() (tell []func(Outcome))
}

// Stage is how far a job has come.
type Stage int

// The stages of a job.
const (
	StageUnknown  Stage = iota // never accepted, or forgotten
	StageWaiting               // accepted
	StageInWork                // has a worker, or is about to
	StageAnswered              // has an answer
)

// Errors of a Queue.
var (
	// ErrClosed says that the queue is stopped.
	ErrClosed = errors.New("the queue is stopped")
	// ErrQueueFull says that no more jobs of that way in can wait now.
	ErrQueueFull = errors.New("the queue is full")
	// ErrUnknownRequest says that no request of that id was accepted, or that it is
	// forgotten.
	ErrUnknownRequest = errors.New("no such request")
	// ErrInWork says that a request cannot be withdrawn any more.
	ErrInWork = errors.New("the request is in work")
)
