package queue

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// awaitAnswers waits until a queue keeps n answers.
func awaitAnswers(t testing.TB, q *Queue, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); q.Stats().Answers != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d answers are kept, not %d", q.Stats().Answers, n)
		}
	}
}

func answerTo(t testing.TB, q *Queue, id string, destinations ...string) {
	t.Helper()
	accept(t, q, request(id))
	finish(t, q, id, "answer to "+id, destinations...)
}

func at(q *Queue, now time.Time) Options {
	opts := q.opts
	opts.now = func() time.Time { return now }
	return opts
}

func TestAnswersAreForgottenWhenTheyAreOldAndDelivered(t *testing.T) {
	q := open(t, Options{Retain: time.Hour})
	for i := range 10 {
		answerTo(t, q, fmt.Sprint(i), "ipc")
	}
	delivered(t, q, "ipc", 1, 2, 3, 5)
	shut(t, q)
	q = open(t, at(q, time.Now().Add(59*time.Minute)))
	answerTo(t, q, "younger")
	if n := q.Stats().Answers; n != 11 {
		t.Errorf("after 59 minutes %d are kept", n)
	}
	shut(t, q)
	q = open(t, at(q, time.Now().Add(61*time.Minute)))
	awaitAnswers(t, q, 7)
	if r := accept(t, q, request("younger")); string(r.Answer) != "answer to younger" {
		t.Errorf("the younger one: %+v", r)
	}
	if r := accept(t, q, request("0")); r.Duplicate {
		t.Errorf("a forgotten one: %+v", r)
	}
	// One that is delivered later is forgotten then.
	delivered(t, q, "ipc", 4, 6, 7, 8, 9, 10)
	shut(t, q)
	q = open(t, at(q, time.Now().Add(62*time.Minute)))
	awaitAnswers(t, q, 1)
}

func TestAnswersMakeRoomForNewOnes(t *testing.T) {
	for name, opts := range map[string]Options{"number": {MaxAnswers: 32}, "bytes": {MaxAnswerBytes: 400, MaxAnswers: 1000}} {
		q := open(t, opts)
		for i := range 100 {
			answerTo(t, q, fmt.Sprintf("%02d", i))
		}
		s := q.Stats()
		for deadline := time.Now().Add(patience); s.Answers > 32 || s.AnswerBytes > 400; s = q.Stats() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d answers of %d bytes are kept", name, s.Answers, s.AnswerBytes)
			}
			time.Sleep(time.Millisecond)
		}
		if s.Answers < 25 {
			t.Errorf("%s: only %d answers are kept", name, s.Answers)
		}
		if r := accept(t, q, request("99")); string(r.Answer) != "answer to 99" {
			t.Errorf("%s: the last one: %+v", name, r)
		}
		if r := accept(t, q, request("00")); r.Duplicate {
			t.Errorf("%s: the first one: %+v", name, r)
		}
		q = again(t, q, false)
		if n := q.Stats().Answers; n > s.Answers || n < 25 { // some may have gone since
			t.Errorf("%s: %d are kept after a restart, and %d before", name, n, s.Answers)
		}
	}
}

func TestAnswersMakeRoomUnderConstantLoadToo(t *testing.T) {
	q := open(t, Options{MaxAnswers: 64})
	var requesters sync.WaitGroup
	for i := range 16 {
		requesters.Go(func() {
			for j := range 50 {
				answerTo(t, q, fmt.Sprintf("%d-%d", i, j))
				if n := q.Stats().Answers; n > 64+2*16 {
					t.Errorf("%d answers are kept", n)
				}
			}
		})
	}
	requesters.Wait()
}

func TestAnswersThatMustBeDeliveredAreKeptAndRequestsMustWait(t *testing.T) {
	q := open(t, Options{MaxAnswers: 32})
	for i := range 31 {
		answerTo(t, q, fmt.Sprint(i), "ipc")
	}
	accept(t, q, request("last"))
	if _, err := q.Accept(t.Context(), request("more")); err == nil {
		t.Fatal("there is room for one more")
	}
	finish(t, q, "last", "answer", "ipc")
	for i := range uint64(4) {
		delivered(t, q, "ipc", i+1)
	}
	answerTo(t, q, "more", "ipc")
	awaitAnswers(t, q, 30)
	if n := q.Stats().Pending["ipc"]; n != 29 {
		t.Errorf("%d answers are to be delivered", n)
	}
}

func TestAnswersThatMustBeDeliveredAreBoundedInBytesToo(t *testing.T) {
	q := open(t, Options{MaxAnswerBytes: 10_000})
	stored := 0
	for ; stored < 100; stored++ {
		r := request(fmt.Sprint(stored))
		if _, err := q.Accept(t.Context(), r); errors.Is(err, ErrBusy) {
			break
		}
		finish(t, q, r.ID, strings.Repeat("x", 1000), "ipc")
	}
	if stored != 11 { // of 1000 bytes each, which is a little more than 10,000
		t.Errorf("%d answers are kept", stored)
	}
	delivered(t, q, "ipc", 1, 2, 3)
	eventuallyAccepted(t, q, "more")
}

// eventuallyAccepted waits until there is a place.
func eventuallyAccepted(t testing.TB, q *Queue, id string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, err := q.Accept(t.Context(), request(id))
		if err == nil {
			return
		}
		if !errors.Is(err, ErrBusy) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestAClockThatIsSetBackAYearChangesNeitherOrderNorAge(t *testing.T) {
	q := open(t, Options{Retain: time.Hour})
	answerTo(t, q, "1", "ipc")
	accept(t, q, request("waiting"))
	shut(t, q)
	yearAgo := time.Now().AddDate(-1, 0, 0)
	q = open(t, at(q, yearAgo))
	answerTo(t, q, "2", "ipc")
	accept(t, q, request("later"))
	if d := deliveries(t, q, "ipc", 10); len(d) != 2 || d[0].ID != "1" || d[1].ID != "2" {
		t.Errorf("deliveries %+v", d)
	}
	for _, id := range []string{"waiting", "later"} {
		if w := next(t, q); w.ID != id {
			t.Errorf("%s is handed out, not %s", w.ID, id)
		}
	}
	delivered(t, q, "ipc", 1, 2)
	shut(t, q)
	q = open(t, at(q, yearAgo.Add(time.Minute)))
	if r := accept(t, q, request("1")); string(r.Answer) != "answer to 1" {
		t.Errorf("%+v", r)
	}
	shut(t, q)
	// The right time comes back: what is old goes, once.
	q = open(t, at(q, time.Now().Add(2*time.Hour)))
	awaitAnswers(t, q, 0)
}

// As on a board without a clock of its own, which begins with the time of its last end
// until it is told the right one.
func TestAClockThatIsSetForwardWhileTheProcessRunsMakesNoAnswerOldForTheNextOne(t *testing.T) {
	var ahead atomic.Int64
	wrong := -365 * 24 * time.Hour
	ahead.Store(int64(wrong - 2*time.Hour))
	q := open(t, Options{Retain: time.Hour, now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	answerTo(t, q, "old", "ipc") // and kept until it is delivered
	ahead.Store(int64(wrong))
	q = again(t, q, false)
	answerTo(t, q, "1")
	ahead.Store(0)
	answerTo(t, q, "2")
	q = again(t, q, false)
	delivered(t, q, "ipc", 1)
	q = again(t, q, false)
	awaitAnswers(t, q, 2)
	for _, id := range []string{"1", "2"} {
		if r := accept(t, q, request(id)); string(r.Answer) != "answer to "+id {
			t.Fatalf("%s is a new request: %+v", id, r)
		}
	}
	ahead.Store(int64(2 * time.Hour)) // the process is away for as long
	q = again(t, q, false)
	awaitAnswers(t, q, 0)
	ahead.Store(int64(wrong))
	q = again(t, q, false)
	answerTo(t, q, "3")
	q = again(t, q, false)
	if r := accept(t, q, request("3")); string(r.Answer) != "answer to 3" {
		t.Errorf("%+v", r)
	}
}

func TestARequestOfAnEarlierProcessWaitsNoNegativeTimeThoughTheClockIsSetBackAYear(t *testing.T) {
	for name, tt := range map[string]struct {
		accepted    time.Time
		least, most time.Duration
	}{
		"an hour ago":        {time.Now().Add(-time.Hour), time.Hour, time.Hour + patience},
		"in a year from now": {time.Now().AddDate(1, 0, 0), 0, patience},
	} {
		q := open(t, Options{now: func() time.Time { return tt.accepted }})
		accept(t, q, request("a"))
		shut(t, q)
		q = open(t, at(q, time.Now()))
		if oldest := time.Since(q.Stats().Oldest); oldest < tt.least || oldest > tt.most {
			t.Errorf("accepted %s, it is counted to wait for %v", name, oldest)
		}
		if d := time.Since(next(t, q).Accepted); d < tt.least || d > tt.most {
			t.Errorf("accepted %s, it is said to wait for %v", name, d)
		}
	}
}

// What must go when there is no room: answers that only a network far away still
// waits for, the oldest first; none that somebody here waits for.
func TestAnswersToExpendableDestinationsAreGivenUpForWantOfRoom(t *testing.T) {
	q := open(t, Options{MaxAnswers: 64, Retain: time.Hour, Expendable: []string{"cloud"}})
	for i := range 8 {
		answerTo(t, q, fmt.Sprintf("both%d", i), "ipc", "cloud")
	}
	for i := range 24 {
		answerTo(t, q, fmt.Sprintf("old%d", i), "cloud")
	}
	shut(t, q)
	q = open(t, at(q, time.Now().Add(2*time.Hour))) // they are not given up for being old
	for i := range 100 {
		answerTo(t, q, fmt.Sprintf("new%d", i), "cloud")
	}
	for deadline := time.Now().Add(patience); q.Stats().Answers > 64; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", q.Stats())
		}
	}
	s := q.Stats()
	if s.Pending["ipc"] != 8 || s.Pending["cloud"] != s.Answers || s.Answers < 56 || s.GivenUp != uint64(132-s.Answers) {
		t.Errorf("%+v", s)
	}
	list := deliveries(t, q, "cloud", 1000)
	if len(list) != s.Answers || list[7].ID != "both7" || list[8].ID == "old0" || list[len(list)-1].ID != "new99" {
		t.Errorf("%d answers are left: %s to %s", len(list), list[8].ID, list[len(list)-1].ID)
	}
	shut(t, q)
	q = again(t, q, false)
	if got := q.Stats().Pending["cloud"]; got != s.Answers {
		t.Errorf("%d wait after a restart, want %d", got, s.Answers)
	}
}
