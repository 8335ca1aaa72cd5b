// Package diskqueue is the engine's queue on disk: it gives package queue the
// engine's jobs, and the engine their answers' way out. A job that was accepted here
// is answered, whatever becomes of the process; package queue says how that is kept.
//
// It turns requests into the bytes that are stored and back, remembers who in this
// process waits for which answer, and keeps the outputs that an answer names claimed
// until that answer goes out; those of answers that an earlier process left are free.
// Answers to requests of other components, and all answers where they go to AWS IoT
// Core, are handed out by Deliveries, over restarts, until they have arrived; those of
// HTTP are given to who waits, or stay to be asked for. While IoT Core is away for
// longer than there is room, the oldest answers to it are given up; nobody on the device
// is kept waiting for it.
//
// It works on nothing and sends nothing. Package greengrass opens it, gives it to
// the engine, and sends what Deliveries hands out.
package diskqueue

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/claim"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/queue"
	"github.com/brainseg/brainseg/internal/device/request"
)

// Queue is a job.Queue on disk. Its methods may be called concurrently.
type Queue struct {
	disk     *queue.Queue
	restored []*job.Job

	mu        sync.Mutex
	limit     int                     // bytes of an answer to another component; guarded by mu
	toIoTCore bool                    // answers go there; guarded by mu
	jobs      map[string]*entry       // without an answer, by key; guarded by mu
	claims    map[string]*claim.Claim // of answers that are not delivered, by key; guarded by mu
}

// entry is what this process knows of a job without an answer.
type entry struct {
	job     *job.Job // nil before Next has read it
	handed  bool     // by Next
	waiting []func(job.Outcome)
}

// Options are the settings of a Queue.
type Options struct {
	// Config says where the queue is, its bounds, and how long answers are kept.
	Config config.Config
	// Damaged is told of a damaged file and the name under which it is kept.
	// Default: none.
	Damaged func(setAside string, cause error)
}

// Open opens the queue in the configured folder, or makes it. It waits for a process
// before this one to end. The error is a *parts.Error.
func Open(ctx context.Context, opts Options) (*Queue, error) {
	q := &Queue{jobs: make(map[string]*entry), claims: make(map[string]*claim.Claim)}
	q.follow(opts.Config)
	settings := bounds(opts.Config)
	settings.Folder, settings.Damaged = opts.Config.Queue.Folder, opts.Damaged
	var err error
	if q.disk, err = queue.Open(ctx, settings); err != nil {
		return nil, &parts.Error{Part: PartQueue, Summary: "the folder of the queue cannot be used", Err: fmt.Errorf("%w (queue.folder is %s)", err, opts.Config.Queue.Folder)}
	}
	waiting, err := q.disk.Waiting()
	if err != nil {
		return nil, errors.Join(&parts.Error{Part: PartQueue, Summary: "the queue cannot be read", Err: err}, q.disk.Close(ctx))
	}
	for _, w := range waiting {
		j := restore(w)
		q.jobs[j.Key] = &entry{job: j}
		q.restored = append(q.restored, j)
	}
	return q, nil
}

// PartQueue is what the queue is called in a *parts.Error.
const PartQueue = "queue"

// bounds are the settings of the queue that a configuration can change.
func bounds(cfg config.Config) queue.Options {
	return queue.Options{
		MaxRequests: cfg.Service.Queue,
		// Whatever image is allowed has a place.
		MaxBytes:       max(cfg.Queue.Bytes, cfg.Images.MaxBytes+64<<10),
		MaxAnswerBytes: cfg.Queue.AnswerBytes, Retain: cfg.Queue.Retain, Expendable: []string{ToIoTCore},
	}
}

func (q *Queue) follow(cfg config.Config) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.toIoTCore = cfg.IoTCore.Results
	q.limit = ggipc.MaxMessage(cfg.IPC.MaxFrame, cfg.Topics.Result)
}

// Configure follows a new configuration, but for the folder: that is opened at the
// start.
func (q *Queue) Configure(cfg config.Config) {
	q.follow(cfg)
	q.disk.Change(bounds(cfg))
}

// restore makes the job of an earlier process anew.
func restore(w *queue.Work) *job.Job {
	r, err := request.FromStored(w.Document, w.Image)
	if err != nil { // of another version of the component: it fails as a request without an image
		r = request.Request{ID: w.ID}
	}
	return &job.Job{Key: w.ID, From: job.Requester{Way: job.WayOf(w.Way), Client: w.Client}, Request: r, Accepted: w.Accepted, Poisoned: w.Poisoned}
}

// Restored are the jobs of an earlier process that wait, without their images. It
// hands them over, once.
func (q *Queue) Restored() []*job.Job {
	restored := q.restored
	q.restored = nil
	return restored
}

// Knows reports whether a job of this key was accepted and is not forgotten.
func (q *Queue) Knows(key string) bool { return q.disk.Knows(key) }

// Accept is job.Queue's.
func (q *Queue) Accept(j *job.Job) func(context.Context) (job.Receipt, error) {
	document, image, err := j.Request.Stored()
	if err != nil {
		return func(context.Context) (job.Receipt, error) { return job.Receipt{}, err }
	}
	j.Request.Image.Inline = nil // Next brings it back
	q.mu.Lock()
	if q.jobs[j.Key] == nil {
		q.jobs[j.Key] = &entry{job: j}
	}
	accept := q.disk.Begin(queue.Request{ID: j.Key, Way: j.Line(), Client: j.From.Client, Document: document, Image: image})
	q.mu.Unlock()
	return func(ctx context.Context) (job.Receipt, error) {
		receipt, err := accept(ctx)
		switch {
		case err != nil:
			q.drop(j)
			return job.Receipt{}, acceptError(err)
		case receipt.Answer != nil:
			q.drop(j)
			return job.Receipt{Known: true, Answer: receipt.Answer}, nil
		case receipt.Duplicate && (job.WayOf(receipt.Way) != job.WayIPC || j.From.Way != job.WayIPC), !receipt.Duplicate && !q.has(j):
			return q.join(j)
		}
		return job.Receipt{Known: receipt.Duplicate}, nil
	}
}

// has reports whether a job that was stored is the one that is worked on. It is not
// where the file had the request already, which a fault of the disk had hidden.
func (q *Queue) has(j *job.Job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[j.Key]
	return e == nil || e.job == j // nil: it is answered by now
}

// join has who sent a request again wait for the answer of the first.
func (q *Queue) join(j *job.Job) (job.Receipt, error) {
	stage, answer, err := q.Lookup(j.Key)
	if err != nil {
		return job.Receipt{}, acceptError(err)
	}
	return q.waitFor(j, stage, answer)
}

func (q *Queue) waitFor(j *job.Job, stage job.Stage, answer []byte) (job.Receipt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[j.Key]
	switch {
	case e != nil && e.job != nil && e.job.From.Way == job.WayIPC && j.From.Way == job.WayIPC: // it is delivered, to both
		return job.Receipt{Known: true}, nil
	case e != nil:
		e.waiting = append(e.waiting, j.Done)
		return job.Receipt{Known: true, Joined: true}, nil
	case stage == job.StageAnswered:
		return job.Receipt{Known: true, Answer: answer}, nil
	default: // it has its answer since, or is forgotten
		return job.Receipt{}, request.NewError(request.CodeBusy, "the request is just being answered, send it again", nil)
	}
}

// drop forgets a job that was not accepted.
func (q *Queue) drop(j *job.Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.jobs[j.Key]; e != nil && e.job == j {
		delete(q.jobs, j.Key)
	}
}

// Next is job.Queue's.
func (q *Queue) Next(ctx context.Context) (*job.Job, error) {
	w, err := q.disk.Next(ctx)
	if errors.Is(err, queue.ErrClosed) {
		return nil, job.ErrClosed
	}
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[w.ID]
	if e == nil {
		e = &entry{}
		q.jobs[w.ID] = e
	}
	if e.job == nil {
		e.job = restore(w)
	}
	e.handed = true
	if len(w.Image) > 0 {
		e.job.Request.Image.Inline = w.Image
	}
	return e.job, nil
}

// Started is job.Queue's.
func (q *Queue) Started(j *job.Job) {
	_ = q.disk.Started(j.Key) // which it refuses only to a job that was withdrawn meanwhile
}

// Return is job.Queue's.
func (q *Queue) Return(j *job.Job) []func(job.Outcome) {
	_ = q.disk.Return(j.Key) // which it refuses only to a job that was withdrawn meanwhile
	return q.take(j.Key)
}

// Stop is job.Queue's. What is handed out can still be finished, and what is
// answered delivered, until Close.
func (q *Queue) Stop() (tell []func(job.Outcome)) {
	q.disk.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for key, e := range q.jobs {
		if !e.handed {
			tell = append(tell, e.tell()...)
			delete(q.jobs, key)
		}
	}
	return tell
}

// take forgets a job and returns who waits for its answer.
func (q *Queue) take(key string) []func(job.Outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[key]
	if e == nil {
		return nil
	}
	delete(q.jobs, key)
	return e.tell()
}

// tell lists who waits: other components do not, answers are delivered to them.
func (e *entry) tell() []func(job.Outcome) {
	if e.job != nil && e.job.Done != nil && e.job.From.Way != job.WayIPC {
		return append(e.waiting, e.job.Done)
	}
	return e.waiting
}

// Lookup is job.Queue's.
func (q *Queue) Lookup(key string) (job.Stage, []byte, error) {
	state, answer, err := q.disk.Lookup(key)
	if err != nil {
		return job.StageUnknown, nil, err
	}
	stages := map[queue.State]job.Stage{queue.Waiting: job.StageWaiting, queue.Working: job.StageInWork, queue.Answered: job.StageAnswered}
	return stages[state], answer, nil
}

// Close closes the files. The engine must be closed, and Deliveries given up.
func (q *Queue) Close(ctx context.Context) error { return q.disk.Close(ctx) }

// acceptError gives an error of the queue the code that its requester sees.
func acceptError(err error) error {
	switch {
	case errors.Is(err, queue.ErrBusy):
		return job.ErrQueueFull
	case errors.Is(err, queue.ErrClosed):
		return job.ErrClosed
	case errors.Is(err, queue.ErrConflict):
		return request.NewError(request.CodeConflict, "the id belongs to another request, use a new one", err)
	case errors.Is(err, queue.ErrTooLarge):
		return request.NewError(request.CodeImageTooLarge, "the request has more bytes than the queue may hold", err)
	case errors.Is(err, queue.ErrStorage):
		return request.NewError(request.CodeStorageUnavailable, "the request could not be stored; send it again, under the same id", err)
	}
	return err
}
