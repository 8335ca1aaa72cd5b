package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

const patience = time.Minute

// TestMain is also the program that the crash test kills.
func TestMain(m *testing.M) {
	if folder := os.Getenv(crashFolder); folder != "" {
		os.Exit(crashProgram(folder))
	}
	goleak.VerifyTestMain(m)
}

func TestARequestGoesThroughItsLife(t *testing.T) {
	for _, size := range []int{0, 1, boltfile.InlineBytes, boltfile.InlineBytes + 1, 2 * boltfile.PieceBytes, 100_000, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			q := open(t, Options{})
			image := bytes.Repeat([]byte("0123456789a"), size/11+1)[:size]
			r := Request{ID: "a", Way: "http", Client: "someone", Document: []byte(`{"id":"a"}`), Image: image}
			receipt := accept(t, q, r)
			if receipt.Number != 1 || receipt.Duplicate || receipt.Answer != nil {
				t.Errorf("receipt %+v", receipt)
			}
			q = again(t, q, false)
			w := next(t, q)
			if w.ID != "a" || w.Way != "http" || w.Client != "someone" || w.Number != 1 || !bytes.Equal(w.Document, r.Document) || !bytes.Equal(w.Image, image) || w.Crashes != 0 {
				t.Errorf("work %+.100v", w)
			}
			answer := strings.Repeat("answer", size/6+1)
			finish(t, q, "a", answer, "ipc")
			q = again(t, q, false)
			list := deliveries(t, q, "ipc", 10)
			if len(list) != 1 || string(list[0].Answer) != answer || list[0].ID != "a" || list[0].Request != 1 {
				t.Errorf("deliveries %+.100v", list)
			}
			delivered(t, q, "ipc", list[0].Number)
			q = again(t, q, false)
			if n := len(q.Stats().Pending); n != 0 {
				t.Errorf("%d destinations are pending", n)
			}
			receipt = accept(t, q, r)
			if !receipt.Duplicate || string(receipt.Answer) != answer || receipt.Number != 1 {
				t.Errorf("after all, receipt %+.100v", receipt)
			}
		})
	}
}

func TestARequestThatRepeatsGetsTheStoredAnswerAndIsNotWorkedOnTwice(t *testing.T) {
	q := open(t, Options{})
	first := accept(t, q, request("a"))
	check := func(when string, answer string) {
		t.Helper()
		r := accept(t, q, request("a"))
		if !r.Duplicate || r.Number != first.Number || string(r.Answer) != answer {
			t.Errorf("%s: %+v", when, r)
		}
		other := request("a")
		other.Image = []byte("another")
		if _, err := q.Accept(t.Context(), other); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: another document: %v", when, err)
		}
	}
	check("waiting", "")
	next(t, q)
	check("in work", "")
	finish(t, q, "a", "the answer", "ipc")
	check("answered", "the answer")
	q = again(t, q, true)
	check("after a restart", "the answer")
	if s := q.Stats(); s.Waiting != 0 || s.Working != 0 {
		t.Errorf("%+v", s)
	}
	if state, answer, err := q.Lookup("a"); state != Answered || string(answer) != "the answer" || err != nil {
		t.Errorf("lookup: %v %q %v", state, answer, err)
	}
}

func TestARequestHasOneAnswer(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	next(t, q)
	finish(t, q, "a", "first", "ipc")
	if err := q.Finish(t.Context(), "a", []byte("second"), "ipc"); !errors.Is(err, ErrAnswered) {
		t.Errorf("a second answer: %v", err)
	}
	if err := q.Finish(t.Context(), "b", []byte("x")); !errors.Is(err, ErrUnknown) {
		t.Errorf("an answer to nothing: %v", err)
	}
	if list := deliveries(t, q, "ipc", 10); len(list) != 1 || string(list[0].Answer) != "first" {
		t.Errorf("%+v", list)
	}
}

func TestOneOfManyAnswersAtOnceIsStored(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	next(t, q)
	errs := make(chan error)
	for i := range 20 {
		go func() { errs <- q.Finish(t.Context(), "a", fmt.Append(nil, i), "ipc") }()
	}
	stored := 0
	for range 20 {
		switch err := <-errs; {
		case err == nil:
			stored++
		case !errors.Is(err, ErrAnswered):
			t.Error(err)
		}
	}
	if stored != 1 || len(deliveries(t, q, "ipc", 100)) != 1 {
		t.Errorf("%d answers were stored", stored)
	}
}

func TestTheSameRequestManyTimesAtOnceIsStoredOnce(t *testing.T) {
	q := open(t, Options{})
	receipts := make(chan Receipt)
	for range 50 {
		go func() {
			r, err := q.Accept(t.Context(), request("a"))
			if err != nil {
				t.Error(err)
			}
			receipts <- r
		}()
	}
	fresh := 0
	for range 50 {
		if r := <-receipts; !r.Duplicate {
			fresh++
		}
	}
	if s := q.Stats(); fresh != 1 || s.Waiting != 1 {
		t.Errorf("%d are new, %d wait", fresh, s.Waiting)
	}
}

func TestAWaitingRequestCanBeAnsweredWithoutBeingHandedOut(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	accept(t, q, request("b"))
	finish(t, q, "a", "withdrawn")
	if w := next(t, q); w.ID != "b" {
		t.Errorf("%s is handed out", w.ID)
	}
}

func TestNamesThatCannotBeStoredAreRefused(t *testing.T) {
	q := open(t, Options{})
	for _, r := range []Request{{ID: "", Way: "ipc"}, {ID: strings.Repeat("x", 513), Way: "ipc"}, {ID: "a"}, {ID: "a", Way: strings.Repeat("x", 33)}, {ID: "a", Way: "ipc", Client: strings.Repeat("x", 129)}} {
		if _, err := q.Accept(t.Context(), r); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+.50v: %v", r, err)
		}
	}
	accept(t, q, request("a"))
	if err := q.Finish(t.Context(), "a", nil, ""); !errors.Is(err, ErrInvalid) {
		t.Errorf("a destination without a name: %v", err)
	}
}

func TestDeliveriesComeInOrderUntilTheyHaveArrived(t *testing.T) {
	q := open(t, Options{MaxRequests: 100})
	for i := range 10 {
		accept(t, q, request(fmt.Sprint(i)))
	}
	var want []string
	for i := 9; i >= 0; i-- { // not in the order in which they were accepted
		finish(t, q, fmt.Sprint(i), "answer", "ipc", "cloud", "ipc")
		want = append(want, fmt.Sprint(i))
	}
	if got := ids(deliveries(t, q, "ipc", 100)); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	list := deliveries(t, q, "cloud", 4)
	if got := ids(list); !slices.Equal(got, want[:4]) {
		t.Errorf("got %v", got)
	}
	delivered(t, q, "cloud", list[0].Number, list[2].Number, 12345)
	q = again(t, q, true)
	if got := ids(deliveries(t, q, "cloud", 3)); !slices.Equal(got, []string{"8", "6", "5"}) {
		t.Errorf("got %v", got)
	}
	if p := q.Stats().Pending; p["ipc"] != 10 || p["cloud"] != 8 {
		t.Errorf("pending %v", p)
	}
}

func TestTheAttemptGrowsWithEveryTimeAnAnswerMayHaveBeenSent(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	finish(t, q, "a", "answer", "ipc")
	for i, step := range []string{"", "", "", "killed", "", "killed", "closed", ""} {
		if step != "" {
			q = again(t, q, step == "killed")
		}
		if d := deliveries(t, q, "ipc", 1)[0]; d.Attempt != i+1 {
			t.Fatalf("attempt %d is called %d", i+1, d.Attempt)
		}
	}
}

func TestAQueueBelongsToOneProcess(t *testing.T) {
	q := open(t, Options{})
	opts := q.opts
	opts.LockWait = 50 * time.Millisecond
	if _, err := Open(t.Context(), opts); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	opts.LockWait = patience
	opened := make(chan *Queue)
	go func() {
		q, err := Open(context.Background(), opts)
		if err != nil {
			t.Error(err)
		}
		opened <- q
	}()
	shut(t, q)
	shut(t, <-opened)
}

func TestAClosedQueueSaysSo(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	waiting := make(chan error)
	go func() { _, err := q.Deliveries(t.Context(), "ipc", 1); waiting <- err }()
	shut(t, q)
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("one that waited: %v", err)
	}
	_, accepting := q.Accept(t.Context(), request("b"))
	_, taking := q.Next(t.Context())
	for _, err := range []error{accepting, taking, q.Finish(t.Context(), "a", nil), q.Delivered(t.Context(), "ipc", 1)} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
}

func TestAStoppedQueueLetsWorkEnd(t *testing.T) {
	q := open(t, Options{})
	for _, id := range []string{"a", "b", "c"} {
		accept(t, q, request(id))
	}
	started(t, q, next(t, q))
	started(t, q, next(t, q))
	q.Stop()
	if _, err := q.Accept(t.Context(), request("d")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := q.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	finish(t, q, "a", "answer", "ipc")
	delivered(t, q, "ipc", deliveries(t, q, "ipc", 1)[0].Number)
	if err := q.Return("b"); err != nil {
		t.Error(err)
	}
	q = again(t, q, true)
	for _, want := range []string{"b", "c"} {
		if w := next(t, q); w.ID != want || w.Crashes != 0 {
			t.Errorf("%+v", w)
		}
	}
}

func TestWhoeverWaitsCanGiveUp(t *testing.T) {
	q := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := q.Deliveries(ctx, "ipc", 1); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFilesAreForTheirOwnerOnly(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	err := filepath.WalkDir(q.opts.Folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", entry.Name(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
