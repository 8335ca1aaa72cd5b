// Package job has the words that the engine shares with the queues that keep its
// requests: a Job, who it is from, what became of it, and what a Queue does.
//
// It keeps nothing and works on nothing. Packages memoryqueue and diskqueue are
// queues; package engine puts jobs into one and works on what it hands out; the ways
// in say whose request it is and take the Outcome.
package job

import (
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/claim"
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
	Number   uint64 // counts the requests of this process
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
	// Received is closed when the status has told of the job; nil for one of an
	// earlier process until it is taken from the queue.
	Received chan struct{}
	// Hold is the room for the encoded image in memory; nil before it is known.
	Hold *budget.Hold
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

// Outcome is what became of a request.
type Outcome struct {
	Result request.Result
	// Mask is the encoded mask, nil where there is none, or where the answer is one
	// that was stored before. It is valid until the function that took the outcome
	// returns.
	Mask []byte
	// Overlay is the encoded overlay, likewise; empty where none was asked for.
	Overlay []byte
	// Document is Result as it is stored on disk, byte for byte; nil where it is not.
	Document []byte
	// Files are those that Result names of a scan whose output is discarded, in the
	// same order. They are the taker's.
	Files [][]byte
	// Claim keeps the files that Result names from other requests. Whoever takes
	// the outcome must release it when the result is on its way.
	Claim *claim.Claim
}
