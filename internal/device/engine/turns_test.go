package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
)

// dead is a store of which some images never come: those of a mount that hangs.
type dead struct {
	Store
	hangs chan struct{} // closed when the mount comes back
}

func (s dead) Read(ctx context.Context, ref store.Reference) ([]byte, error) {
	if strings.HasPrefix(ref.Location, "hung/") {
		<-s.hangs // a read from a mount heeds no context
	}
	return s.Store.Read(ctx, ref)
}

// withDead puts a dead store before the real one.
func withDead(t *testing.T, readTimeout time.Duration) func(*config.Config, *Deps) {
	hangs := make(chan struct{})
	t.Cleanup(func() { close(hangs) })
	return func(_ *config.Config, d *Deps) {
		d.ReadTimeout = readTimeout
		d.OpenStore = func(cfg config.Config) (Store, error) {
			s, err := openStore(cfg, nil, nil)
			return dead{s, hangs}, err
		}
	}
}

// callOff closes the engine without waiting for what does not come.
func (b *bench) callOff() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Close(ctx)
}

func path(name string) request.Request {
	return request.Request{ID: name, Image: request.Image{Path: name}}
}

func TestAReadThatDoesNotComeBackIsGivenUpAndTheEndDoesNotWaitForIt(t *testing.T) {
	b := start(t, withDead(t, 20*time.Millisecond))
	write(t, b.in, "slice.png", ramp(t, 12, 5))
	const n = 24 // more than have a place: they are given up, or the last would have none
	for i := range n {
		if r := b.ask(t, path("hung/"+strconv.Itoa(i))); r.Error == nil || r.Error.Code != request.CodeStorageUnavailable {
			t.Fatalf("result %+v", r)
		}
	}
	if r := b.ask(t, path("slice.png")); r.Error != nil {
		t.Errorf("a file that is there: %+v", r.Error)
	}
	if lost := b.Stuck(); lost != n {
		t.Errorf("%d reads are counted, want %d", lost, n)
	}
	answers := make(chan request.Result, 1)
	b.Submit(t.Context(), anybody, path("hung/last"), func(o job.Outcome) { answers <- o.Result })
	b.callOff()
	if r := <-answers; r.Error == nil {
		t.Errorf("result %+v", r)
	}
}

func TestRequestsOfOneRequesterAreAnsweredInOrder(t *testing.T) {
	b := start(t, func(c *config.Config, _ *Deps) { c.Service.Queue = 1000 })
	write(t, b.in, "slice.png", ramp(t, 12, 5))
	inline := request.Image{Inline: ramp(t, 12, 5)}
	answers := make(chan string, 100)
	for i := range 100 {
		image := request.Image{Path: "slice.png"}
		if i%3 == 0 {
			image = inline
		}
		b.Submit(t.Context(), anybody, request.Request{ID: strconv.Itoa(i), Image: image, Output: request.Output{Discard: true}}, func(o job.Outcome) { answers <- o.Result.ID })
	}
	for i := range 100 {
		if id := <-answers; id != strconv.Itoa(i) {
			t.Fatalf("answer %d is of request %s", i, id)
		}
	}
}

func TestRequestersTakeTurns(t *testing.T) {
	hold, started := make(chan struct{}), make(chan struct{})
	b := start(t)
	image := request.Image{Inline: ramp(t, 4, 4)}
	var order []string
	answers := make(chan string, 100)
	submit := func(from job.Requester, done func(job.Outcome)) {
		b.Submit(t.Context(), from, request.Request{ID: from.Way + from.Client, Image: image, Output: request.Output{Discard: true}}, done)
	}
	note := func(o job.Outcome) { answers <- o.Result.ID }
	submit(job.Requester{Way: "first"}, func(job.Outcome) { close(started); <-hold })
	<-started
	for range 20 {
		submit(job.Requester{Way: job.WayHTTP, Client: "1"}, note)
	}
	for range 3 {
		submit(job.Requester{Way: job.WayHTTP, Client: "2"}, note)
		submit(job.Requester{Way: job.WayIPC}, note)
	}
	close(hold)
	for range 26 {
		order = append(order, <-answers)
	}
	// Two may have been taken before the others came.
	for _, id := range []string{"ipc", "http2"} {
		last := 0
		for i, o := range order {
			if o == id {
				last = i
			}
		}
		if count := len(order) - len(slices.DeleteFunc(slices.Clone(order), func(o string) bool { return o == id })); count != 3 || last > 12 {
			t.Errorf("%s had %d turns, the last at %d: %v", id, count, last, order)
		}
	}
}

func TestAFullWayLeavesTheOthersTheirPlaces(t *testing.T) {
	b := start(t, withDead(t, time.Hour), func(c *config.Config, _ *Deps) { c.Service.Queue = 5 })
	defer b.callOff()
	busy := make(chan request.Code, 100)
	for i := range 60 {
		b.Submit(t.Context(), job.Requester{Way: job.WayHTTP}, path(fmt.Sprintf("hung/%d", i)), func(o job.Outcome) {
			if o.Result.Error != nil {
				busy <- o.Result.Error.Code
			}
		})
	}
	if code := <-busy; code != request.CodeBusy {
		t.Errorf("got %s", code)
	}
	if r := b.ask(t, request.Request{ID: "a", Image: request.Image{Inline: ramp(t, 4, 4)}}); r.Error != nil {
		t.Errorf("another way in: %+v", r.Error)
	}
}

func TestEncodedImagesInMemoryAreBoundedByBytes(t *testing.T) {
	const size = 100_000
	hold, started := make(chan struct{}), make(chan struct{})
	b := start(t, func(c *config.Config, _ *Deps) {
		c.Images.MaxBytes, c.Images.TotalBytes, c.Service.Queue = size, 4*size, 1000
	})
	b.Submit(t.Context(), anybody, request.Request{ID: "stuck", Image: request.Image{Inline: ramp(t, 4, 4)}, Output: request.Output{Discard: true}},
		func(job.Outcome) { close(started); <-hold })
	<-started
	answers := make(chan request.Result, 100)
	for range 20 {
		b.Submit(t.Context(), anybody, request.Request{ID: "large", Image: request.Image{Inline: make([]byte, size)}, Output: request.Output{Discard: true}},
			func(o job.Outcome) { answers <- o.Result })
	}
	for range 16 { // while the others wait
		if r := <-answers; r.Error == nil || r.Error.Code != request.CodeBusy {
			t.Errorf("result %+v, error %+v", r, r.Error)
		}
	}
	close(hold)
	for range 4 {
		if r := <-answers; r.Error == nil || r.Error.Code != request.CodeImageUnreadable {
			t.Errorf("result %+v, error %+v", r, r.Error)
		}
	}
	b.Close(t.Context())
	if b.budget.Used() != 0 {
		t.Errorf("%d bytes are held by nobody", b.budget.Used())
	}
}

func TestAReadWaitsForRoomInMemory(t *testing.T) {
	const size = 100_000
	hold, started := make(chan struct{}), make(chan struct{})
	b := start(t, func(c *config.Config, _ *Deps) { c.Images.MaxBytes, c.Images.TotalBytes = size, size })
	write(t, b.in, "slice.png", ramp(t, 12, 5))
	b.Submit(t.Context(), anybody, request.Request{ID: "stuck", Image: request.Image{Inline: ramp(t, 4, 4)}, Output: request.Output{Discard: true}},
		func(job.Outcome) { close(started); <-hold })
	<-started
	answers := make(chan request.Result, 2)
	note := func(o job.Outcome) { answers <- o.Result }
	b.Submit(t.Context(), anybody, request.Request{ID: "large", Image: request.Image{Inline: make([]byte, size)}, Output: request.Output{Discard: true}}, note)
	b.Submit(t.Context(), anybody, path("slice.png"), note)
	close(hold)
	for _, want := range []string{"large", "slice.png"} {
		if r := <-answers; r.ID != want || (r.Error != nil) != (want == "large") {
			t.Errorf("result %+v, error %+v", r, r.Error)
		}
	}
	b.Close(t.Context())
	if b.budget.Used() != 0 {
		t.Errorf("%d bytes are held by nobody", b.budget.Used())
	}
}
