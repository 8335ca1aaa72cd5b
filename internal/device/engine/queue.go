package engine

import (
	"context"
	"errors"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
)

// The ways in by which requests come.
const (
	WayIPC     = "ipc"     // other components
	WayHTTP    = "http"    // the HTTP endpoint
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
	Number   uint64 // counts the requests since the engine was opened
	From     Requester
	Request  request.Request
	Accepted time.Time

	state
}

// Queue keeps accepted jobs until they are answered. It outlives configurations.
type Queue interface {
	// Accept takes a job, or refuses it with ErrQueueFull or ErrClosed. It may be
	// handed out before Accept returns.
	Accept(ctx context.Context, j *Job) error
	// Next waits for the job whose turn it is and hands it out once. It returns
	// ErrClosed when the queue is closed and, where it cannot keep them for
	// another process, all jobs were handed out.
	Next(ctx context.Context) (*Job, error)
	// Started tells that a job no longer waits: it makes room for another.
	Started(j *Job)
	// Finish notes the answer of a job, which has reached nobody yet.
	Finish(ctx context.Context, j *Job, answer request.Result) error
	// SetBound changes how many jobs of one way in may wait.
	SetBound(jobs int)
	// Close has Accept refuse whatever comes.
	Close()
}

// ErrQueueFull says that no more jobs of that way in can wait now.
var ErrQueueFull = errors.New("the queue is full")
