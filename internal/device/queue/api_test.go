package queue

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRequestsThatBeginTogetherStandInTheOrderOfTheirBeginning(t *testing.T) {
	q := open(t, Options{})
	var confirm []func() error
	for i := range 20 {
		accepted := q.Begin(request(fmt.Sprint(i)))
		confirm = append(confirm, func() error { _, err := accepted(t.Context()); return err })
	}
	for i := range confirm { // in any order
		if err := confirm[len(confirm)-1-i](); err != nil {
			t.Fatal(err)
		}
	}
	if n := q.Stats().Transactions; n > 10 {
		t.Errorf("%d transactions for 20 requests that began together", n)
	}
	for i := range 20 {
		if w := next(t, q); w.ID != fmt.Sprint(i) {
			t.Fatalf("request %s comes as number %d", w.ID, i)
		}
	}
}

func TestAnIDOf128CharactersIsAnID(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request(strings.Repeat("🧠", 128)))
}

func TestAForgottenAnswerFreesItsID(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	if err := q.Forget(t.Context(), "a"); !errors.Is(err, ErrUnanswered) {
		t.Errorf("before it has an answer: %v", err)
	}
	if err := q.Forget(t.Context(), "b"); !errors.Is(err, ErrUnknown) {
		t.Errorf("of an unknown request: %v", err)
	}
	finish(t, q, next(t, q).ID, "answer", "ipc", "cloud")
	accept(t, q, request("other"))
	finish(t, q, next(t, q).ID, "other answer", "ipc")
	before := q.Stats()
	if err := q.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	after := q.Stats()
	if after.Answers != 1 || after.AnswerBytes != before.AnswerBytes-int64(len("answer")) || after.Pending["ipc"] != 1 || after.Pending["cloud"] != 0 {
		t.Errorf("after it: %+v", after)
	}
	if q.Knows("a") || !q.Knows("other") {
		t.Error("the queue knows the wrong requests")
	}
	if d := deliveries(t, q, "ipc", 10); len(d) != 1 || d[0].ID != "other" {
		t.Errorf("still delivered: %+v", d)
	}
	q = again(t, q, false)
	if r := accept(t, q, Request{ID: "a", Way: "ipc", Document: []byte("another document")}); r.Duplicate {
		t.Error("the id is not free")
	}
}

func TestWhatWaitsCanBeLookedAt(t *testing.T) {
	q := open(t, Options{})
	for _, id := range []string{"a", "b", "c"} {
		r := request(id)
		r.Image = make([]byte, 5000)
		accept(t, q, r)
	}
	next(t, q)
	q = again(t, q, false)
	next(t, q) // of what is handed out nothing is told
	list, err := q.Waiting()
	if err != nil || len(list) != 2 || list[0].ID != "b" || list[1].ID != "c" || string(list[1].Document) != "document of c" || list[1].Image != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestChangedBoundsHoldAtOnce(t *testing.T) {
	q := open(t, Options{MaxRequests: 1})
	accept(t, q, request("a"))
	if _, err := q.Accept(t.Context(), request("b")); !errors.Is(err, ErrBusy) {
		t.Errorf("beyond the bound: %v", err)
	}
	q.Change(Options{MaxRequests: 2, MaxBytes: 30})
	accept(t, q, request("b"))
	q.Change(Options{MaxBytes: 10})
	if _, err := q.Accept(t.Context(), request("c")); !errors.Is(err, ErrTooLarge) {
		t.Errorf("larger than the queue: %v", err)
	}
}
