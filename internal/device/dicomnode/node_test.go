package dicomnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// worker is a Process that says which series it had, and makes a result of each.
// It does what the test says.
type worker struct {
	t       *testing.T
	results string // folder

	mu   sync.Mutex
	done []string // "NUMBER: OBJECTS", of each work that came to its end
	do   func(ctx context.Context, number, objects int) error
}

func (w *worker) process(ctx context.Context, work Work) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(work.Folder, "*"))
	if err != nil {
		return nil, err
	}
	number := 0
	for (dicomtest.Series{Number: number}).StudyUID() != studyOf(w.t, paths[0]) {
		number++
	}
	w.mu.Lock()
	do := w.do
	w.mu.Unlock()
	if do != nil {
		if err := do(ctx, number, len(paths)); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(w.results, work.Name+".dcm")
	result := dicomtest.Series{Number: 100 + number, Slices: 1}
	header := dicomnet.FileHeader(dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: result.InstanceUID(0), TransferSyntax: dicomtest.Syntax, CallingTitle: "WORKER"})
	if err := os.WriteFile(path, append(header, result.DataSet(0)...), 0o600); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, fmt.Sprintf("%d: %d", number, len(paths)))
	return []string{path}, nil
}

func studyOf(t *testing.T, file string) string {
	t.Helper()
	in, err := files.OnDisk(file).Open(t.Context())
	if err != nil {
		t.Error(err)
		return ""
	}
	defer in.Close()
	o, _, err := images.Parse(in)
	if err != nil {
		t.Error(err)
	}
	return o.Study
}

func (w *worker) finished() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.done)
}

// archive is a node to which results go.
type archive struct {
	mu      sync.Mutex
	answers []dicomnet.Status // to the next objects; then Success
	asked   int
	stored  []string // TRANSFERSYNTAX INSTANCE
	data    [][]byte
}

func (a *archive) Store(_ context.Context, r dicomnet.StoreRequest, data io.Reader) dicomnet.Status {
	b, err := io.ReadAll(data)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if err != nil {
		return dicomnet.OutOfResources
	}
	if len(a.answers) > 0 {
		answer := a.answers[0]
		a.answers = a.answers[1:]
		return answer
	}
	a.stored = append(a.stored, r.TransferSyntax+" "+r.SOPInstance)
	a.data = append(a.data, b)
	return dicomnet.Success
}

func (a *archive) got() (asked int, stored []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked, slices.Clone(a.stored)
}

// start runs an archive that takes some transfer syntaxes.
func (a *archive) start(t *testing.T, syntaxes ...string) dicomnet.Requestor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	server := dicomnet.Server{Title: "PACS", SOPClasses: []string{dicomtest.ClassMR}, TransferSyntaxes: syntaxes, Storer: a}
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return dicomnet.Requestor{CallingTitle: "BRAINSEG", CalledTitle: "PACS", Address: l.Addr().String()}
}

// running is a node in this process.
type running struct {
	t       *testing.T
	address string
	log     *observer.ObservedLogs
	stop    func()
}

func run(t *testing.T, folder string, w *worker, to Return) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zap.DebugLevel)
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, l, Options{
			Folder: folder, Server: dicomnet.Server{Title: "BRAINSEG"}, Inbox: dicominbox.Options{Quiet: 20 * time.Millisecond},
			Process: w.process, Return: to, Logger: zap.New(core), retry: 5 * time.Millisecond,
		})
	}()
	n := &running{t: t, address: l.Addr().String(), log: log}
	n.stop = sync.OnceFunc(func() {
		cancel(errors.New("told to stop"))
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the node ends with %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("the node does not end")
		}
	})
	t.Cleanup(n.stop)
	return n
}

// send sends slices of a series.
func (n *running) send(s dicomtest.Series, slices ...int) {
	n.t.Helper()
	r := dicomnet.Requestor{CallingTitle: "PEER", CalledTitle: "BRAINSEG", Address: n.address}
	a, err := r.Dial(n.t.Context(), dicomnet.Proposal{SOPClass: dicomtest.ClassMR, TransferSyntaxes: []string{dicomtest.Syntax}})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, k := range slices {
		if status, err := a.Store(n.t.Context(), dicomtest.ClassMR, s.InstanceUID(k), dicomtest.Syntax, bytes.NewReader(s.DataSet(k))); err != nil || !status.OK() {
			n.t.Fatal(status, err)
		}
	}
	if err := a.Release(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

func (n *running) said(message string) int { return n.log.FilterMessageSnippet(message).Len() }

func await(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to pass")
		}
	}
}

// one is a series of one slice, which cannot be complete before it is.
func one(number int) dicomtest.Series { return dicomtest.Series{Number: number, Slices: 1} }

func TestASeriesIsWorkedOnAndItsResultReturned(t *testing.T) {
	w, a := &worker{t: t, results: t.TempDir()}, &archive{}
	n := run(t, t.TempDir(), w, ByStore{Node: a.start(t, explicitLE, implicitLE)})
	n.send(one(1), 0)
	await(t, func() bool { return n.said("result returned") == 1 })
	n.send(one(1), 0)
	n.send(one(2), 0)
	await(t, func() bool { return n.said("result returned") == 2 })
	n.stop()
	if done := w.finished(); !slices.Equal(done, []string{"1: 1", "2: 1"}) {
		t.Errorf("worked on: %v", done)
	}
	if asked, stored := a.got(); asked != 2 || !strings.HasPrefix(stored[0], explicitLE) {
		t.Errorf("returned: %v", stored)
	}
	for _, entry := range n.log.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, "QXMARK") || strings.Contains(text, "1.2.826") {
			t.Errorf("the log shows a header: %s", text)
		}
	}
}

func TestANodeThatTakesImplicitOnlyGetsImplicit(t *testing.T) {
	w, a := &worker{t: t, results: t.TempDir()}, &archive{}
	n := run(t, t.TempDir(), w, ByStore{Node: a.start(t, implicitLE)})
	n.send(one(1), 0)
	await(t, func() bool { return n.said("result returned") == 1 })
	sent := dicomtest.Series{Number: 101, Slices: 1}.DataSet(0)
	// In the short form both encodings take eight bytes, and of pixels implicit four
	// less.
	if _, stored := a.got(); !strings.HasPrefix(stored[0], implicitLE+" ") || len(a.data[0]) != len(sent)-4 {
		t.Errorf("%v, %d bytes of %d", stored, len(a.data[0]), len(sent))
	}
}

func TestLateObjectsHaveTheSeriesWorkedOnAgainAndOnlyTheLastResultReturned(t *testing.T) {
	w, a := &worker{t: t, results: t.TempDir()}, &archive{}
	begun := make(chan struct{}, 100)
	w.do = func(ctx context.Context, _, objects int) error {
		begun <- struct{}{}
		if objects == 3 {
			return nil
		}
		<-ctx.Done() // the work takes until late objects come
		return context.Cause(ctx)
	}
	n := run(t, t.TempDir(), w, ByStore{Node: a.start(t, explicitLE)})
	n.send(dicomtest.Series{Number: 1, Slices: 3}, 0, 1)
	<-begun
	n.send(dicomtest.Series{Number: 1, Slices: 3}, 2)
	await(t, func() bool { return n.said("result returned") == 1 })
	if asked, _ := a.got(); !slices.Equal(w.finished(), []string{"1: 3"}) || asked != 1 || n.said("late objects came") == 0 {
		t.Errorf("worked on: %v, asked %d times", w.finished(), asked)
	}
}

func TestANodeThatStopsGoesOnWhereItWas(t *testing.T) {
	folder := t.TempDir()
	w := &worker{t: t, results: t.TempDir()}
	begun := make(chan struct{})
	w.do = func(ctx context.Context, _, _ int) error {
		close(begun)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	nobody := dicomnet.Requestor{CallingTitle: "BRAINSEG", CalledTitle: "PACS", Address: "127.0.0.1:1"}
	first := run(t, folder, w, ByStore{Node: nobody})
	first.send(one(1), 0)
	<-begun
	first.send(one(2), 0)
	first.stop() // within the work on the one, while the other waits
	w.mu.Lock()
	w.do = nil
	w.mu.Unlock()
	second := run(t, folder, w, ByStore{Node: nobody})
	await(t, func() bool { return len(w.finished()) == 2 && second.said("returning a result failed") >= 2 })
	second.stop() // within returning
	a := &archive{}
	third := run(t, folder, w, ByStore{Node: a.start(t, explicitLE)})
	await(t, func() bool { return third.said("result returned") == 2 })
	third.stop()
	if asked, stored := a.got(); asked != 2 || len(w.finished()) != 2 {
		t.Errorf("returned: %v; worked on: %v", stored, w.finished())
	}
}

func TestASeriesIsWorkedOnAgainWhereItsQueueWasLost(t *testing.T) {
	folder := t.TempDir()
	w := &worker{t: t, results: t.TempDir()}
	begun := make(chan struct{})
	w.do = func(ctx context.Context, _, _ int) error {
		close(begun)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	first := run(t, folder, w, nil)
	first.send(one(1), 0)
	<-begun
	first.stop()
	if err := os.RemoveAll(filepath.Join(folder, "queue")); err != nil {
		t.Fatal(err)
	}
	w.do = nil
	second := run(t, folder, w, nil)
	await(t, func() bool { return second.said("series done") == 1 })
	if done := w.finished(); !slices.Equal(done, []string{"1: 1"}) {
		t.Errorf("worked on: %v", done)
	}
}

func TestARefusedSeriesIsDoneWithAndOneThatFailedIsTriedAgainOnRequest(t *testing.T) {
	w, a := &worker{t: t, results: t.TempDir()}, &archive{}
	tries := make(map[int]int)
	w.do = func(_ context.Context, number, _ int) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		tries[number]++
		switch {
		case number == 1:
			return &RefusedError{"no-signal", "there is nothing to see"}
		case number == 2 && tries[number] <= processTries:
			return errors.New("the disk is full")
		}
		return nil
	}
	n := run(t, t.TempDir(), w, ByStore{Node: a.start(t, explicitLE)})
	refused, failed := one(1), one(2)
	n.send(refused, 0)
	await(t, func() bool { return n.said("series refused") == 1 })
	n.send(failed, 0)
	await(t, func() bool { return n.said("series failed") == 1 })
	n.send(refused, 0)
	var sent time.Time
	await(t, func() bool { // released a moment after it failed; who sends without end never is quiet
		if time.Since(sent) > time.Second {
			n.send(failed, 0)
			sent = time.Now()
		}
		return n.said("result returned") == 1
	})
	if !slices.Equal(w.finished(), []string{"2: 1"}) || tries[1] != 1 || tries[2] != processTries+1 {
		t.Errorf("worked on: %v, tries: %v", w.finished(), tries)
	}
}

func TestEverySyntaxThatIsTakenIsRead(t *testing.T) {
	for _, uid := range slices.Concat(readSyntaxes, jpeg2000Syntaxes) {
		codec := dataset.SyntaxOf(uid).Codec
		if program := slices.Contains(jpeg2000Syntaxes, uid); codec == dataset.CodecNone || (codec == dataset.CodecProgram) != program {
			t.Errorf("%s has codec %v", uid, codec)
		}
	}
}
