package engine

import (
	"context"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/memoryqueue"
	"github.com/brainseg/brainseg/internal/device/request"
)

// slowDisk is a queue whose disk does not store answers until it may.
type slowDisk struct {
	*memoryqueue.Queue
	may chan struct{}
}

func (q slowDisk) Finish(j *job.Job, answer request.Result) func(context.Context) ([]byte, []func(job.Outcome), error) {
	stored := q.Queue.Finish(j, answer)
	return func(ctx context.Context) ([]byte, []func(job.Outcome), error) { <-q.may; return stored(ctx) }
}

func TestOnlyAnAnswerThatIsKeptWaitsForTheDisk(t *testing.T) {
	may := make(chan struct{})
	b := start(t, func(cfg *config.Config, d *Deps) { d.Queue = slowDisk{memoryqueue.New(*cfg), may} })
	answers := make(chan job.Outcome, 4)
	submit := func(id string, output request.Output) {
		r := request.Request{ID: id, Image: request.Image{Inline: ramp(t, 12, 5)}, Output: output}
		b.Submit(t.Context(), job.Requester{Way: job.WayHTTP}, r, func(o job.Outcome) { answers <- o })
	}
	next := func() job.Outcome {
		t.Helper()
		select {
		case o := <-answers:
			return o
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
		return job.Outcome{}
	}
	submit("kept", request.Output{})
	submit("discarded", request.Output{Discard: true})
	if o := next(); o.Result.ID != "discarded" || o.Result.Error != nil || len(o.Mask) == 0 {
		t.Errorf("answer %+v", o.Result)
	}
	close(may)
	if o := next(); o.Result.ID != "kept" || o.Result.Error != nil {
		t.Errorf("answer %+v", o.Result)
	}
	if err := b.Close(t.Context()); err != nil || len(answers) > 0 {
		t.Errorf("%d more answers, %v", len(answers), err)
	}
}

// refusingDisk is a queue whose disk refuses what comes, once it may.
type refusingDisk struct {
	job.Queue
	may chan struct{}
}

func (q refusingDisk) Accept(*job.Job) func(context.Context) (job.Receipt, error) {
	return func(context.Context) (job.Receipt, error) {
		<-q.may
		return job.Receipt{}, request.NewError(request.CodeStorageUnavailable, "the request could not be stored", nil)
	}
}

func TestARequestThatComesAgainWhileItIsRefusedIsNoOtherRequest(t *testing.T) {
	may := make(chan struct{})
	b := start(t, func(cfg *config.Config, d *Deps) { d.Queue = refusingDisk{memoryqueue.New(*cfg), may} })
	codes := make(chan request.Code, 3)
	submit := func(id, to string) {
		r := request.Request{ID: id, Image: request.Image{Inline: ramp(t, 12, 5)}, Output: request.Output{To: to}}
		b.Submit(t.Context(), job.Requester{Way: job.WayHTTP}, r, func(o job.Outcome) { codes <- o.Result.Error.Code })
	}
	submit("a", "a.png")
	for id, want := range map[string]request.Code{"a": request.CodeBusy, "b": request.CodeOutputExists} {
		submit(id, "a.png")
		if got := <-codes; got != want {
			t.Errorf("request %s is refused with %s, want %s", id, got, want)
		}
	}
	close(may)
	if got := <-codes; got != request.CodeStorageUnavailable {
		t.Errorf("the first is refused with %s", got)
	}
}

func TestARequestThatHasComeIsTakenThoughItsTopicWasJustLeft(t *testing.T) {
	b := start(t, func(cfg *config.Config, d *Deps) { d.Queue = memoryqueue.New(*cfg) })
	left, leave := context.WithCancel(t.Context())
	leave()
	for range 50 { // either would be chosen by chance
		answers := make(chan job.Outcome, 1)
		r := request.Request{Image: request.Image{Inline: ramp(t, 12, 5)}, Output: request.Output{Discard: true}}
		b.Submit(left, anybody, r, func(o job.Outcome) { answers <- o })
		if o := <-answers; o.Result.Error != nil {
			t.Fatalf("%+v", o.Result.Error)
		}
	}
}
