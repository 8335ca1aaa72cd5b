package engine

import (
	"context"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
)

// slowDisk is a queue whose disk does not store answers until it may.
type slowDisk struct {
	*memoryQueue
	may chan struct{}
}

func (q slowDisk) Finish(j *Job, answer request.Result) func(context.Context) ([]byte, []func(Outcome), error) {
	stored := q.memoryQueue.Finish(j, answer)
	return func(ctx context.Context) ([]byte, []func(Outcome), error) { <-q.may; return stored(ctx) }
}

func TestOnlyAnAnswerThatIsKeptWaitsForTheDisk(t *testing.T) {
	may := make(chan struct{})
	b := start(t, func(cfg *config.Config, d *Deps) { d.Queue = slowDisk{newMemoryQueue(*cfg), may} })
	answers := make(chan Outcome, 4)
	submit := func(id string, output request.Output) {
		r := request.Request{ID: id, Image: request.Image{Inline: ramp(t, 12, 5)}, Output: output}
		b.Submit(t.Context(), Requester{Way: WayHTTP}, r, func(o Outcome) { answers <- o })
	}
	next := func() Outcome {
		t.Helper()
		select {
		case o := <-answers:
			return o
		case <-time.After(time.Minute):
			t.Fatal("no answer")
		}
		return Outcome{}
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
