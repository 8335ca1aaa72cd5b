package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/crashtest"
)

var kills = flag.Int("kills", 20, "how often the program of the crash test is killed")

// The variables that make a program of the tests.
const (
	crashFolder = "QUEUE_CRASH_FOLDER"
	crashRun    = "QUEUE_CRASH_RUN"
	crashLimit  = "QUEUE_CRASH_LIMIT" // requests after which it ends; none if empty
)

func TestNothingIsLostAndNothingAnsweredAnewByAProgramThatIsKilled(t *testing.T) {
	folder := memoryFolder(t)
	var ledger crashtest.Ledger
	err := crashtest.Run(t.Context(), crashtest.Options{
		Command: func(run int) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), crashFolder+"="+folder, crashRun+"="+strconv.Itoa(run))
			return cmd
		},
		Kills: *kills, Line: ledger.Line, Seed: uint64(*kills),
	})
	if err != nil {
		t.Fatal(err)
	}
	finishAll(t, folder, &ledger)
	if err := ledger.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("killed %d times: %v", *kills, &ledger)
}

// finishAll answers and delivers what a killed program has left.
func finishAll(t testing.TB, folder string, ledger *crashtest.Ledger) {
	t.Helper()
	q := open(t, Options{Folder: folder, MaxCrashes: 255, MaxRequests: 1 << 20, MaxAnswers: 1 << 20, Damaged: func(_ string, cause error) {
		t.Errorf("the file is damaged: %v", cause)
	}})
	for q.Stats().Waiting > 0 {
		w := next(t, q)
		checkWork(t, w)
		finish(t, q, w.ID, "the last answer to "+w.ID, "ipc")
	}
	for q.Stats().Pending["ipc"] > 0 {
		var numbers []uint64
		for _, d := range deliveries(t, q, "ipc", 256) {
			ledger.Answer(d.ID, d.Attempt, sum(d.Answer))
			numbers = append(numbers, d.Number)
		}
		delivered(t, q, "ipc", numbers...)
	}
	for id, before := range ledger.Answers() {
		state, answer, err := q.Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		if state == Answered && sum(answer) != before {
			t.Errorf("the stored answer to %s has other bytes", id)
		}
	}
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("files that are left: %v, %v", left, err)
	}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return fmt.Sprintf("%x", s[:8])
}

// crashRequest is the request of an id, always the same.
func crashRequest(id string) Request {
	s := sha256.Sum256([]byte(id))
	r := Request{ID: id, Way: []string{"ipc", "http"}[s[0]%2], Client: fmt.Sprint(s[1] % 4), Document: []byte("document of " + id)}
	if s[2]%4 == 0 {
		r.Image = make([]byte, 100*int(s[3]))
		copy(r.Image, s[:])
	}
	return r
}

func checkWork(t testing.TB, w *Work) {
	if err := wrongWork(w); err != nil {
		t.Error(err)
	}
}

func wrongWork(w *Work) error {
	want := crashRequest(w.ID)
	if string(want.Document) != string(w.Document) || string(want.Image) != string(w.Image) || want.Way != w.Way || want.Client != w.Client {
		return fmt.Errorf("%s is handed out as another", w.ID)
	}
	return nil
}

// crashProgram takes requests, works on them and delivers their answers, and says
// so, until it is killed.
func crashProgram(folder string) int {
	run, _ := strconv.Atoi(os.Getenv(crashRun))
	limit, _ := strconv.Atoi(os.Getenv(crashLimit))
	if limit == 0 {
		return crashLife(folder, run, 0)
	}
	// Two lives, so that opening what was closed is tried too.
	return max(crashLife(folder, run, limit/2), crashLife(folder, run+1, limit/2))
}

func crashLife(folder string, run, limit int) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	q, err := Open(ctx, Options{Folder: folder, MaxCrashes: 255, MaxRequests: 32, MaxAnswers: 20_000, Damaged: func(_ string, cause error) {
		fmt.Fprintln(os.Stderr, "damaged:", cause)
		os.Exit(1)
	}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	say("ready")
	p := crashing{q: q, run: run, limit: limit}
	var work, requesters sync.WaitGroup
	for range 3 {
		work.Go(func() { p.must(p.work(ctx)) })
	}
	work.Go(func() { p.must(p.deliver(ctx)) })
	for i := range 4 {
		requesters.Go(func() { p.must(p.ask(ctx, i)) })
	}
	requesters.Wait() // for ever without a limit
	// Some are left for the next life.
	for s := q.Stats(); s.Waiting+s.Working+s.Pending["ipc"] > 8; s = q.Stats() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	work.Wait()
	p.must(q.Close(context.Background()))
	return 0
}

type crashing struct {
	q          *Queue
	run, limit int
}

// say writes a line in one piece.
func say(format string, args ...any) {
	_, _ = os.Stdout.WriteString(fmt.Sprintf(format, args...) + "\n")
}

func (p *crashing) must(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// ask sends new requests, and some that were sent before.
func (p *crashing) ask(ctx context.Context, requester int) error {
	for n := 0; p.limit == 0 || n < p.limit/4; n++ {
		id := fmt.Sprintf("%d-%d-%d", p.run, requester, n)
		if mathrand.IntN(4) == 0 {
			id = fmt.Sprintf("%d-%d-%d", max(0, p.run-mathrand.IntN(3)), mathrand.IntN(4), mathrand.IntN(n+1))
		}
		receipt, err := p.q.Accept(ctx, crashRequest(id))
		switch {
		case errors.Is(err, ErrBusy):
			time.Sleep(time.Millisecond)
			continue
		case err != nil:
			return err
		}
		say("accepted %s", id)
		if receipt.Answer != nil {
			say("answer %s 0 %s", id, sum(receipt.Answer))
		}
	}
	return nil
}

func (p *crashing) work(ctx context.Context) error {
	for {
		w, err := p.q.Next(ctx)
		if err != nil {
			return err
		}
		if err := wrongWork(w); err != nil {
			return err
		}
		if err := p.q.Started(w.ID); err != nil {
			return err
		}
		answer := make([]byte, mathrand.IntN(1500)) // never the same twice
		if _, err := rand.Read(answer); err != nil {
			return err
		}
		if err := p.q.Finish(ctx, w.ID, fmt.Appendf(answer, "%s %d", w.ID, p.run), "ipc"); err != nil {
			return err
		}
	}
}

func (p *crashing) deliver(ctx context.Context) error {
	for {
		// At any moment of a transaction.
		time.Sleep(time.Duration(mathrand.IntN(3000)) * time.Microsecond)
		list, err := p.q.Deliveries(ctx, "ipc", 1+mathrand.IntN(64))
		if err != nil {
			return err
		}
		var numbers []uint64
		for _, d := range list {
			say("answer %s %d %s", d.ID, d.Attempt, sum(d.Answer))
			numbers = append(numbers, d.Number)
		}
		if err := p.q.Delivered(ctx, "ipc", numbers...); err != nil {
			return err
		}
		for _, d := range list {
			say("delivered %s", d.ID)
		}
	}
}
