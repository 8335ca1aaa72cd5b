package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestWaysAndClientsTakeTurns(t *testing.T) {
	q := open(t, Options{MaxRequests: 1000})
	for i := range 100 {
		r := request(fmt.Sprintf("http-%d", i))
		r.Way, r.Client = "http", fmt.Sprint(i%10)
		accept(t, q, r)
	}
	for i := range 5 {
		accept(t, q, request(fmt.Sprintf("ipc-%d", i)))
		r := request(fmt.Sprintf("scan-%d", i))
		r.Way = "scan"
		accept(t, q, r)
	}
	r := request("late")
	r.Way, r.Client = "http", "late"
	accept(t, q, r)
	for round, reopened := range []bool{false, true} {
		if reopened {
			q = again(t, q, false)
		}
		var order []string
		for q.Stats().Waiting > 0 {
			order = append(order, next(t, q).ID)
		}
		ways := map[string]int{}
		for _, id := range order[:15] {
			ways[strings.Split(id, "-")[0]]++
		}
		if ways["http"] != 5 || ways["ipc"] != 5 || ways["scan"] != 5 {
			t.Errorf("round %d: the first fifteen are %v", round, ways)
		}
		if i := slices.Index(order, "late"); i > 30 {
			t.Errorf("round %d: a new client's request comes as number %d", round, i)
		}
		if i, j := slices.Index(order, "http-3"), slices.Index(order, "http-13"); i > j {
			t.Errorf("round %d: a client's requests come out of order", round)
		}
	}
}

func TestAReturnedRequestIsTheNextOfItsClient(t *testing.T) {
	q := open(t, Options{MaxCrashes: 1})
	for _, id := range []string{"a", "b"} {
		accept(t, q, request(id))
	}
	if w := started(t, q, next(t, q)); w.ID != "a" {
		t.Fatal(w.ID)
	}
	if err := q.Return("a"); err != nil {
		t.Fatal(err)
	}
	if err := q.Return("b"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a request that waits: %v", err)
	}
	q = again(t, q, true)
	if w := next(t, q); w.ID != "a" || w.Crashes != 0 || w.Poisoned {
		t.Errorf("%+v", w)
	}
}

func TestAFullWayIsBusyAtOnceAndLeavesTheOthersTheirs(t *testing.T) {
	q := open(t, Options{MaxRequests: 3, MaxBytes: 1000})
	for i := range 3 {
		accept(t, q, request(fmt.Sprint(i)))
	}
	for _, handedOut := range []bool{false, true} {
		if handedOut {
			next(t, q)
		}
		if _, err := q.Accept(t.Context(), request("more")); !errors.Is(err, ErrBusy) {
			t.Errorf("handed out %t: %v", handedOut, err)
		}
	}
	if err := q.Started("0"); err != nil {
		t.Fatal(err)
	}
	accept(t, q, request("3"))
	other := request("http")
	other.Way, other.Document = "http", make([]byte, 900)
	accept(t, q, other)
	other.ID, other.Document = "http-2", make([]byte, 200)
	if _, err := q.Accept(t.Context(), other); !errors.Is(err, ErrBusy) {
		t.Errorf("too many bytes: %v", err)
	}
	other.Document = make([]byte, 1001)
	if _, err := q.Accept(t.Context(), other); !errors.Is(err, ErrTooLarge) {
		t.Errorf("more than ever fits: %v", err)
	}
	q = again(t, q, false)
	if _, err := q.Accept(t.Context(), request("more")); !errors.Is(err, ErrBusy) {
		t.Errorf("after a restart: %v", err)
	}
	q.Change(Options{MaxRequests: 5})
	accept(t, q, request("more"))
	if n := q.Stats().Busy; n != 1 {
		t.Errorf("%d were counted as refused since the restart", n)
	}
}

// hang makes a queue's disk answer only after the function that it returns is
// called. It returns when a first transaction waits for it.
func hang(t *testing.T, q *Queue) (release func()) {
	t.Helper()
	entered, answer := make(chan struct{}), make(chan struct{})
	q.mu.Lock()
	q.file.Commit = func(tx *bolt.Tx) error {
		q.file.Commit = nil
		close(entered)
		<-answer
		return tx.Commit()
	}
	q.mu.Unlock()
	go func() {
		if _, err := q.Accept(context.Background(), request("first")); err != nil {
			t.Error(err)
		}
	}()
	<-entered
	return func() { close(answer) }
}

func TestABurstSharesATransaction(t *testing.T) {
	q := open(t, Options{MaxRequests: 100})
	before := q.Stats().Transactions
	release := hang(t, q)
	errs := make(chan error)
	for i := range 50 {
		go func() { _, err := q.Accept(t.Context(), request(fmt.Sprint(i))); errs <- err }()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		q.mu.Lock()
		n := q.backlog.Len() - 1
		q.mu.Unlock()
		if n == 50 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait", n)
		}
	}
	release()
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := q.Stats().Transactions - before; n != 2 {
		t.Errorf("a request and a burst behind it took %d transactions", n)
	}
}

func TestADiskThatDoesNotAnswerHoldsNobody(t *testing.T) {
	q := open(t, Options{MaxRequests: 2})
	accept(t, q, request("stored"))
	release := hang(t, q)
	if _, err := q.Accept(t.Context(), request("third")); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	if w := next(t, q); w.ID != "stored" {
		t.Errorf("%s is handed out", w.ID)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	other := request("other")
	other.Way = "http"
	if _, err := q.Accept(ctx, other); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that gives up: %v", err)
	}
	if err := q.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the end: %v", err)
	}
	release()
	q = again(t, q, false)
	if n := q.Stats().Waiting; n != 3 { // also the one that gave up
		t.Errorf("%d wait", n)
	}
}
