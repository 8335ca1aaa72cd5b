package engine

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
)

// The ways in by which requests come.
const (
	WayIPC     = "ipc"     // other components
	WayHTTP    = "http"    // the HTTP endpoint
	WayDICOM   = "dicom"   // the DICOM node
	WayCommand = "command" // the command line
)

// Requester says whose request it is: ways in take turns, and so do the clients
// of one way.
type Requester struct {
	Way    string // WayIPC and so on
	Client string // tells those apart who come the same way; "" where that cannot be told
}

// Job is a request on its way from Submit to its answer.
type Job struct {
	// Key names the job in the queue: the request's id, or one made up for a request
	// without.
	Key      string
	Number   uint64 // counts the requests since the engine was opened
	From     Requester
	Request  request.Request
	Accepted time.Time
	// Done takes the answer; nil for a job that an earlier process accepted.
	Done func(Outcome)
	// Claim is of the job's outputs, nil for none.
	Claim *claim.Claim
	// Poisoned is set where the process died of the job, as often as it may: it is
	// answered without being tried again.
	Poisoned bool

	state
}

// Line is what the job waits in: whole scans have a line of their own for each way
// in, so that scans that wait leave the places of slices alone.
func (j *Job) Line() string {
	if j.Request.Scan != nil {
		return j.From.Way + scanLine
	}
	return j.From.Way
}

// WayOf is the way in of a job that waits in a line.
func WayOf(line string) string { return strings.TrimSuffix(line, scanLine) }

const scanLine = "-scan"

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
	// Return gives back a job that will not be finished, for the engine ends. Who
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

// Errors of a Queue.
var (
	// ErrQueueFull says that no more jobs of that way in can wait now.
	ErrQueueFull = errors.New("the queue is full")
	// ErrUnknownRequest says that no request of that id was accepted, or that it is
	// forgotten.
	ErrUnknownRequest = errors.New("no such request")
	// ErrInWork says that a request cannot be withdrawn any more.
	ErrInWork = errors.New("the request is in work")
)
