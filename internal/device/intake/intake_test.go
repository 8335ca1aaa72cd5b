package intake

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/device/budget"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/memoryqueue"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// imageBytes is the size of every image.
const imageBytes = 100

// setup has images of which some never come: those of a mount that hangs, and those
// of a bucket that does not answer.
type setup struct {
	hangs chan struct{} // closed when the mount comes back
	refs  atomic.Int32
}

func (s *setup) Read(ctx context.Context, ref store.Reference) ([]byte, error) {
	switch {
	case strings.HasPrefix(ref.Location, "hung/"):
		<-s.hangs // a read from a mount heeds no context
	case strings.HasPrefix(ref.Location, "s3://dead/"):
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err := ref.Room(ctx, imageBytes); err != nil {
		return nil, err
	}
	return make([]byte, imageBytes), nil
}

func (s *setup) ObjectTimeout() time.Duration { return time.Hour }
func (s *setup) Retain()                      { s.refs.Add(1) }
func (s *setup) Release()                     { s.refs.Add(-1) }

// bench is an intake of one worker, which is the test, behind a queue.
type bench struct {
	*Intake[*setup]
	queue  *memoryqueue.Queue
	setup  *setup
	budget *budget.Budget // of one image
}

func start(t *testing.T, readTimeout time.Duration) *bench {
	cfg := config.Default()
	cfg.Service.Queue = 1000
	b := &bench{queue: memoryqueue.New(cfg), setup: &setup{hangs: make(chan struct{})}, budget: budget.New(imageBytes)}
	ctx, cancel := context.WithCancel(t.Context())
	b.Intake = New(ctx, Options[*setup]{
		Queue: b.queue, Budget: b.budget, ReadTimeout: readTimeout,
		Admit: func(*job.Job) (*setup, bool) { b.setup.Retain(); return b.setup, true },
	})
	b.Employ(1)
	ended := make(chan struct{})
	go func() { b.Run(); close(ended) }()
	t.Cleanup(func() {
		b.queue.Stop()
		cancel()
		b.Abort()
		for j := b.Next(); j != nil; j = b.Next() {
			j.Setup.Release()
		}
		<-ended
		b.comeBack()
		if b.Stuck() != 0 || b.setup.refs.Load() != 0 {
			t.Errorf("at the end %d reads are counted, and the setup is held %d times", b.Stuck(), b.setup.refs.Load())
		}
	})
	return b
}

// comeBack has the mount answer, and waits for the reads that hang.
func (b *bench) comeBack() {
	close(b.setup.hangs)
	for end := time.Now().Add(time.Minute); (b.Stuck() > 0 || b.setup.refs.Load() > 0) && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
}

// put queues a job.
func (b *bench) put(t *testing.T, image request.Image) {
	t.Helper()
	j := &job.Job{Request: request.Request{Image: image}, Done: func(job.Outcome) {}}
	if _, err := b.queue.Accept(j)(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// next is the job that a worker gets next.
func (b *bench) next(t *testing.T) *Taken[*setup] {
	t.Helper()
	came := make(chan *Taken[*setup], 1)
	go func() { came <- b.Next() }()
	select {
	case j := <-came:
		j.Setup.Release()
		j.Hold.Release()
		return j
	case <-time.After(time.Minute):
		t.Fatal("no job comes")
		return nil
	}
}

func TestAnImageThatDoesNotComeTakesNoWorkersPlace(t *testing.T) {
	b := start(t, time.Hour)
	for i := range 10 {
		b.put(t, request.Image{S3: "s3://dead/" + strconv.Itoa(i)})
	}
	for i := range maxFetching - 1 {
		b.put(t, request.Image{Path: "hung/" + strconv.Itoa(i)})
	}
	for i := range 3 {
		name := strconv.Itoa(i) + ".png"
		b.put(t, request.Image{Path: name})
		if j := b.next(t); j.Err != nil || len(j.Image) != imageBytes || j.Request.Image.Path != name {
			t.Fatalf("image %s of %d bytes, error %v", j.Request.Image.Path, len(j.Image), j.Err)
		}
	}
	if b.budget.Used() != 0 {
		t.Errorf("%d bytes are held by nobody", b.budget.Used())
	}
}

func TestAMountThatStaysDeadIsNotReadFromWithoutEnd(t *testing.T) {
	b := start(t, time.Millisecond)
	for i := range maxLost + 10 {
		b.put(t, request.Image{Path: "hung/" + strconv.Itoa(i)})
		if j := b.next(t); !errors.Is(j.Err, failure.ErrGivenUp) {
			t.Fatalf("error %v", j.Err)
		}
	}
	if lost := b.Stuck(); lost != maxLost {
		t.Errorf("%d reads hang, want %d", lost, maxLost)
	}
}

func TestAReadThatFindsNoRoomUntilItsTimeIsOverSaysSo(t *testing.T) {
	b := start(t, 20*time.Millisecond)
	hold, _ := b.budget.Take(imageBytes)
	defer hold.Release()
	for range 100 { // on a busy machine the time may be over before it asks
		b.put(t, request.Image{Path: "slice.png"})
		switch j := b.next(t); {
		case j.Err == nil:
			t.Fatal("it was read")
		case errors.Is(j.Err, failure.ErrNoRoom):
			return
		}
	}
	t.Error("the storage is blamed")
}
