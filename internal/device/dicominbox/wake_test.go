package dicominbox

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

// asked is a context that tells when somebody has begun to wait for its end.
type asked struct {
	context.Context
	once sync.Once
	by   chan struct{}
}

func (a *asked) Done() <-chan struct{} {
	a.once.Do(func() { close(a.by) })
	return a.Context.Done()
}

func TestASeriesThatWasPassedOverForANoteIsHandedOutAfterIt(t *testing.T) {
	b, err := Open(Options{Folder: t.TempDir(), Quiet: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	sent := dicomtest.Series{Number: 1, Slices: 1}
	r := dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: sent.InstanceUID(0), TransferSyntax: dicomtest.Syntax}
	if status := b.Store(t.Context(), r, bytes.NewReader(sent.DataSet(0))); status != dicomnet.Success {
		t.Fatal(status)
	}
	var s *series
	for _, s = range b.series {
	}
	s.commit.Lock() // the disk is slow
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		if err := b.Released(Series{Key: s.key, Set: "another"}, false); err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		b.mu.Lock()
		committing := s.committing
		b.mu.Unlock()
		if committing > 0 {
			break
		}
		if time.Now().After(deadline) {
			s.commit.Unlock()
			t.Fatal("the note does not begin")
		}
	}
	limited, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ctx := &asked{Context: limited, by: make(chan struct{})}
	all.Go(func() {
		if _, err := b.Complete(ctx); err != nil {
			t.Errorf("the series is not handed out: %v", err)
		}
	})
	<-ctx.by
	s.commit.Unlock()
	all.Wait()
}
