package dicomnode

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/device/queue"
)

// corrected is one with another object.
func corrected(number int) dicomtest.Series {
	return dicomtest.Series{Number: number, Slices: 1, Changed: true}
}

// noted is the note of the only series of a node.
func noted(t *testing.T, folder string) (note struct{ Set, Phase string }) {
	t.Helper()
	notes, err := filepath.Glob(filepath.Join(folder, "inbox", "series", "*", "note.json"))
	if err != nil || len(notes) > 1 {
		t.Fatal(notes, err)
	}
	if len(notes) == 1 {
		raw, err := os.ReadFile(notes[0])
		if err == nil {
			err = json.Unmarshal(raw, &note)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return note
}

func TestACorrectionThatIsTakenBackWithinTheWorkHasTheSeriesWorkedOn(t *testing.T) {
	w := &worker{t: t, results: t.TempDir()}
	begun, back := make(chan struct{}), make(chan struct{})
	first := true
	w.do = func(ctx context.Context, _, _ int) error {
		if !first {
			return nil
		}
		first = false
		close(begun)
		<-ctx.Done()
		<-back
		return context.Cause(ctx)
	}
	n := run(t, t.TempDir(), w, nil)
	n.send(one(1), 0)
	<-begun
	n.send(corrected(1), 0)
	n.send(one(1), 0)
	close(back)
	await(t, func() bool { return n.said("series done") == 1 })
	n.stop()
	if done := w.finished(); !slices.Equal(done, []string{"1: 1"}) {
		t.Errorf("worked on: %v", done)
	}
}

func TestACorrectionThatIsTakenBackAfterItsWorkLeavesNothingUndone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given bool // up, as the correction came within the work
		want  int  // times that the work came to its end
	}{
		{"done before", false, 2},
		{"given up before", true, 2},
	} {
		folder := t.TempDir()
		w := &worker{t: t, results: t.TempDir()}
		begun := make(chan struct{})
		first := tt.given
		w.do = func(ctx context.Context, _, _ int) error {
			if !first {
				return nil
			}
			first = false
			close(begun)
			<-ctx.Done()
			return context.Cause(ctx)
		}
		n := run(t, folder, w, nil)
		n.send(one(1), 0)
		phase := "released"
		if tt.given {
			<-begun
			phase = "accepted"
		}
		await(t, func() bool { return noted(t, folder).Phase == phase })
		before := noted(t, folder).Set
		for _, s := range []dicomtest.Series{corrected(1), one(1)} {
			n.send(s, 0)
			same := s == one(1)
			await(t, func() bool {
				now := noted(t, folder)
				return (now.Set == before) == same && now.Phase == "released"
			})
		}
		n.stop()
		if done := w.finished(); len(done) != tt.want {
			t.Errorf("%s: worked on: %v", tt.name, done)
		}
	}
}

func TestASeriesWhoseAnswerWasDeliveredForOtherObjectsIsNotForgotten(t *testing.T) {
	for outcome, want := range map[string]int{outcomeDone: 0, outcomeSuperseded: 1} {
		folder := t.TempDir()
		answerBefore(t, folder, outcome)
		w := &worker{t: t, results: t.TempDir()}
		n := run(t, folder, w, nil)
		await(t, func() bool { return noted(t, folder).Phase == "released" })
		n.stop()
		if done := w.finished(); len(done) != want {
			t.Errorf("%s: worked on: %v", outcome, done)
		}
	}
}

func TestSeriesAreWorkedOnThoughTheQueueIsDamagedWhileTheyWait(t *testing.T) {
	folder := t.TempDir()
	w := &worker{t: t, results: t.TempDir()}
	begun, free := make(chan int, 3), make(chan struct{})
	w.do = func(ctx context.Context, number, _ int) error {
		begun <- number
		select {
		case <-free:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	n := run(t, folder, w, nil)
	n.send(one(1), 0)
	<-begun
	n.send(one(2), 0)
	await(t, func() bool { return n.said("series complete") == 2 })
	if err := os.Truncate(filepath.Join(folder, "queue", "queue.db"), 0); err != nil {
		t.Fatal(err)
	}
	n.send(one(3), 0) // has the queue find out
	await(t, func() bool { return n.said("the queue of received series was damaged") == 1 })
	close(free)
	await(t, func() bool { return n.said("series done") == 3 })
	n.stop()
	done := w.finished()
	if slices.Sort(done); !slices.Equal(done, []string{"1: 1", "2: 1", "3: 1"}) {
		t.Errorf("worked on: %v", done)
	}
}

// answerBefore makes the folder of a node that died when a series had again the
// objects that it was accepted with, whose answer is delivered.
func answerBefore(t *testing.T, folder, outcome string) {
	t.Helper()
	b, err := dicominbox.Open(dicominbox.Options{Folder: filepath.Join(folder, "inbox"), Quiet: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	r := dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: one(1).InstanceUID(0), TransferSyntax: dicomtest.Syntax}
	if status := b.Store(t.Context(), r, bytes.NewReader(one(1).DataSet(0))); status != dicomnet.Success {
		t.Fatal(status)
	}
	s, err := b.Complete(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Accepted(s); err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(t.Context(), queue.Options{Folder: filepath.Join(folder, "queue")})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(t.Context())
	document, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Accept(t.Context(), queue.Request{ID: s.ID(), Way: way, Document: document}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	document, err = json.Marshal(answer{Series: s, Outcome: outcome})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Finish(t.Context(), s.ID(), document, destination); err != nil {
		t.Fatal(err)
	}
	list, err := q.Deliveries(t.Context(), destination, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Delivered(t.Context(), destination, list[0].Number); err != nil {
		t.Fatal(err)
	}
}
