package engine

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
)

// hanging is a store of which some writes do not come back before it is told.
type hanging struct {
	Store
	which string        // in the names of those
	began chan struct{} // receives one for each
	back  chan struct{}
}

func (s hanging) Write(ctx context.Context, destination string, data []byte, options store.WriteOptions) (store.Written, error) {
	before := bytes.Clone(data)
	if strings.Contains(destination, s.which) {
		s.began <- struct{}{}
		<-s.back
	}
	if !bytes.Equal(before, data) {
		panic("the data of a write was changed meanwhile")
	}
	return s.Store.Write(ctx, destination, data, options)
}

func startHanging(t *testing.T, which string) (*bench, hanging) {
	h := hanging{which: which, began: make(chan struct{}, 100), back: make(chan struct{})}
	b := start(t, func(_ *config.Config, d *Deps) {
		d.OpenStore = func(cfg config.Config) (s Store, err error) {
			s, err = openStore(cfg, nil, nil)
			h.Store = s
			return h, err
		}
	})
	return b, h
}

func TestAWriteThatDoesNotComeBackIsGivenUpAndTheWorkerGoesOn(t *testing.T) {
	b, h := startHanging(t, "hung")
	image := request.Image{Inline: ramp(t, 12, 5)}
	hung := request.Request{ID: "a", Image: image, Output: request.Output{To: "hung.png"}}
	b.deps.Timeout = 100 * time.Millisecond
	for began := false; !began; { // on a busy machine the time may be over before the write
		r := b.ask(t, hung)
		select {
		case <-h.began:
			began = true
			if r.Error == nil || r.Error.Code != request.CodeStorageUnavailable || r.Mask != nil {
				t.Fatalf("result %+v, error %+v", r, r.Error)
			}
		default:
		}
	}
	b.deps.Timeout = time.Minute
	for i := range 3 { // by the one worker, with buffers of its own
		r := b.ask(t, request.Request{ID: strconv.Itoa(i), Image: request.Image{Inline: ramp(t, 4+i, 300)}})
		if r.Error != nil || readMask(t, r.Mask.Path).Rect.Dx() != 4+i {
			t.Fatalf("after it: %+v", r.Error)
		}
	}
	if n := b.Stuck(); n != 1 {
		t.Errorf("%d writes are counted, want 1", n)
	}
	if r := b.ask(t, hung); r.Error == nil || r.Error.Code != request.CodeOutputExists {
		t.Errorf("the output of a write that may still come: %+v", r.Error)
	}

	close(h.back)
	for end := time.Now().Add(time.Minute); b.Stuck() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if n := b.claims.Held(); n != 0 || b.Stuck() != 0 {
		t.Errorf("%d outputs are claimed, %d writes counted", n, b.Stuck())
	}
	if _, err := os.Stat(filepath.Join(b.out, "hung.png")); !os.IsNotExist(err) {
		t.Errorf("a write that was given up left a file: %v", err)
	}
	if r := b.ask(t, hung); r.Error != nil {
		t.Errorf("once the storage is back: %+v", r.Error)
	}
}

func TestTheEndDoesNotWaitForAWriteThatHangs(t *testing.T) {
	b, h := startHanging(t, "hung")
	const requests = 40 // for one worker: more than it is handed ahead
	answers := make(chan request.Result, 2*requests)
	for i := range requests {
		b.Submit(t.Context(), anybody, request.Request{ID: "hung" + strconv.Itoa(i), Image: request.Image{Inline: ramp(t, 12, 5)}}, func(o job.Outcome) { answers <- o.Result })
	}
	<-h.began
	b.callOff()
	if len(answers) != requests {
		t.Errorf("%d of %d requests are answered at the end", len(answers), requests)
	}
	close(h.back)
	close(answers)
	seen := make(map[string]bool)
	for r := range answers {
		if seen[r.ID] || r.Error == nil || r.Error.Code != request.CodeStopping {
			t.Errorf("result %+v, error %+v", r, r.Error)
		}
		seen[r.ID] = true
	}
}
