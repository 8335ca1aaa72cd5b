package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/request"
)

const patience = time.Minute

// over returns a link that sends by a function.
func over(send func(context.Context, Message) error) *Link {
	return NewLink(LinkOptions{Send: send})
}

// lostMessages adds up what the log tells of.
func lostMessages(logs *observer.ObservedLogs) (n uint64) {
	for _, entry := range logs.FilterMessage("messages are lost").All() {
		n += entry.ContextMap()["messages"].(uint64)
	}
	return n
}

func TestMessagesThatNobodyTakesDoNotKeepTheProcessFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		o := New(Options{Name: "result", Logger: zap.New(core), Link: over(func(ctx context.Context, _ Message) error {
			<-ctx.Done() // as long as the connection is lost
			return ctx.Err()
		})})
		for range 10 {
			o.Put(Message{Document: []byte("{}")})
		}
		synctest.Wait() // the first is being sent
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		o.Close(ctx)
		if took := time.Since(start); took != time.Second {
			t.Errorf("the outbox closed after %v", took)
		}
		if lost := lostMessages(logs); lost != 10 {
			t.Errorf("the log tells of %d lost messages", lost)
		}
	})
}

func TestAtTheEndALostConnectionIsWaitedForAndARefusalIsNot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault error
		want  time.Duration
	}{
		{"a lost connection", ggipc.ErrConnectionLost, time.Second},
		{"a device that is offline", &ggipc.Error{Code: ggipc.CodeServiceError}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := New(Options{Name: "message", Link: over(func(context.Context, Message) error { return tt.fault })})
				o.Put(Message{Document: []byte("{}")})
				o.Put(Message{Document: []byte("{}")})
				time.Sleep(time.Minute) // of the test's own clock: the first was tried many times
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				o.Close(ctx)
				if took := time.Since(start); took != tt.want {
					t.Errorf("the outbox closed after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

func TestAFullOutboxCountsWhatItLosesAndMakesNobodyWait(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	hold := make(chan struct{})
	var sent atomic.Int64
	const bound, most = 100, 4000
	o := New(Options{Name: "result", MaxMessages: bound, MaxBytes: most, Logger: zap.New(core), Link: over(func(context.Context, Message) error {
		<-hold
		sent.Add(1)
		return nil
	})})
	const n = bound + 1000
	for range n {
		o.Put(Message{Document: []byte("{}")})
	}
	large := make([]byte, most/4)
	for range 8 { // all small ones go, and then large ones
		o.Put(Message{Document: large})
	}
	close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.Close(ctx)
	if lost := lostMessages(logs); lost != o.Stats().Lost || int64(lost)+sent.Load() != n+8 || sent.Load() > 5 {
		t.Errorf("of %d messages %d were sent, %d lost, %d told", n+8, sent.Load(), o.Stats().Lost, lost)
	}
	if told := o.Told(); told != o.Stats().Lost || o.Told() != 0 {
		t.Errorf("told %d", told)
	}
	o.Put(Message{Document: []byte("{}")})
	if s := o.Stats(); s.Waiting != 0 || int64(s.Lost)+sent.Load() != n+9 {
		t.Errorf("after the end: %+v", s)
	}
}

func TestAnAnswerThatIsSentAgainSaysSo(t *testing.T) {
	document, err := request.Failed("a", nil).Encode(0)
	if err != nil {
		t.Fatal(err)
	}
	var attempts []int
	faults := []error{ggipc.ErrConnectionLost, ggipc.ErrConnectionLost, nil}
	o := New(Options{Name: "result", Link: over(func(_ context.Context, m Message) error {
		var r request.Result
		if err := json.Unmarshal(m.Document, &r); err != nil {
			t.Error(err)
		}
		attempts = append(attempts, r.Attempt)
		return faults[len(attempts)-1]
	})})
	o.Put(Message{Document: request.WithAttempt(document, 2), Attempt: 2})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.Close(ctx)
	if diff := cmp.Diff([]int{2, 3, 4}, attempts); diff != "" {
		t.Errorf("attempts (-want +got):\n%s", diff)
	}
}

func TestWhatIsRefusedForGoodIsCountedAndTheNextGoesOn(t *testing.T) {
	var sent []string
	o := New(Options{Name: "message", Link: over(func(_ context.Context, m Message) error {
		if m.Topic == "forbidden" {
			return &ggipc.Error{Code: ggipc.CodeUnauthorized}
		}
		sent = append(sent, m.Topic)
		return nil
	})})
	for _, topic := range []string{"a", "forbidden", "b"} {
		o.Put(Message{Topic: topic})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.Close(ctx)
	if diff := cmp.Diff([]string{"a", "b"}, sent); diff != "" || o.Stats().Lost != 1 {
		t.Errorf("%+v, sent (-want +got):\n%s", o.Stats(), diff)
	}
}

func TestPausesGrowToHalfAMinuteAndDifferBetweenDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		var away error
		var back time.Duration
		start := time.Now()
		fault := errors.New("offline")
		l := NewLink(LinkOptions{
			Send: func(context.Context, Message) error {
				tries = append(tries, time.Since(start))
				if time.Since(start) > 10*time.Minute {
					return nil
				}
				return fault
			},
			Away: func(err error) {
				if away != nil {
					t.Error("it is told twice that it is away")
				}
				away = err
			},
			Back: func(d time.Duration) { back = d },
		})
		for err := fault; err != nil; err = l.Try(t.Context(), &Message{}) {
			l.Wait(t.Context(), nil)
		}
		growing, even := 0, true
		for i := 2; i < len(tries); i++ {
			pause, before := tries[i]-tries[i-1], tries[i-1]-tries[i-2]
			even = even && pause == before*3/2
			if pause > before {
				growing++
			}
			if pause < firstPause/2 || pause > longestPause*3/2 {
				t.Errorf("a pause of %v", pause)
			}
		}
		if growing < 8 || even || len(tries) > 60 {
			t.Errorf("%d tries in ten minutes, at %v", len(tries), tries)
		}
		if away != fault || back < 10*time.Minute {
			t.Errorf("away: %v, back after %v", away, back)
		}
	})
}
