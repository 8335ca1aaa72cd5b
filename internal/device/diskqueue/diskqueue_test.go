package diskqueue

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/parts"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/segmentation"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(cutFolder); folder != "" {
		requests, err := strconv.Atoi(os.Getenv(cutLimit))
		if err == nil {
			err = cutProgram(folder, requests)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const patience = time.Minute

// held is a model that begins with nothing before it is let go.
type held struct {
	engine.Model
	began chan struct{} // a value for each slice
	gate  chan struct{} // closed to let go
}

func (h held) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	h.began <- struct{}{}
	select {
	case <-h.gate:
		return h.Model.Segment(ctx, slice, mask)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bench is an engine over a queue on disk, whose model is held.
type bench struct {
	*engine.Engine
	t     *testing.T
	queue *Queue
	model held
	cfg   config.Config
	open  unanswered
	ended bool
}

// unanswered counts the requests that were accepted and have no answer.
type unanswered struct{ atomic.Int64 }

func (u *unanswered) Accepted(uint64)                 { u.Add(1) }
func (u *unanswered) Answered(uint64, request.Result) { u.Add(-1) }

// start opens an engine; folder is that of the queue. Where images are read below
// in, the model is one that knows scans of any brightness.
func start(t *testing.T, folder, out string, in ...string) *bench {
	t.Helper()
	b := &bench{t: t, model: held{began: make(chan struct{}, 1000), gate: make(chan struct{})}, cfg: config.Default()}
	b.cfg.Model = config.Model{
		Path:    filepath.Join("..", "..", "segmentation", "testdata", "models", "values"),
		Library: filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
	}
	b.cfg.Images.Roots, b.cfg.Output.Root, b.cfg.Queue.Folder, b.cfg.Service.Workers = in, out, folder, 1
	if len(in) > 0 {
		b.cfg.Model.Path = filepath.Join(filepath.Dir(b.cfg.Model.Path), "threshold")
	}
	var err error
	if b.queue, err = Open(t.Context(), Options{Config: b.cfg, Damaged: func(_ string, cause error) { t.Errorf("damaged: %v", cause) }}); err != nil {
		t.Fatal(err)
	}
	b.Engine, err = engine.Open(t.Context(), b.cfg, engine.Deps{Queue: b.queue, Watch: &b.open, OpenModel: func(_ context.Context, cfg config.Config, _ *zap.Logger) (engine.Model, error) {
		m, err := segmentation.Open(cfg.Model.Path, segmentation.Options{Library: cfg.Model.Library})
		b.model.Model = m
		return b.model, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.end)
	return b
}

// end ends the engine without waiting for what is held.
func (b *bench) end() {
	if b.ended {
		return
	}
	b.ended = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Engine.Close(ctx)
	if err := b.queue.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
}

func slice(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 12, 5))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func inline(t *testing.T, id string) request.Request {
	return request.Request{ID: id, Image: request.Image{Inline: slice(t)}, Acknowledge: true}
}

// submit returns what comes back, an acknowledgement first where there is one.
func (b *bench) submit(way string, r request.Request) <-chan job.Outcome {
	outcomes := make(chan job.Outcome, 10)
	b.Submit(b.t.Context(), job.Requester{Way: way}, r, func(o job.Outcome) {
		o.Mask = bytes.Clone(o.Mask)
		outcomes <- o
	})
	return outcomes
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// accepted waits for the acknowledgement.
func accepted(t *testing.T, outcomes <-chan job.Outcome) {
	t.Helper()
	if o := next(t, outcomes); o.Result.Status != request.StatusAccepted {
		t.Fatalf("%+v, error %+v", o.Result, o.Result.Error)
	}
}

func (b *bench) deliveries() []Delivery {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	list, err := b.queue.Deliveries(ctx, ToIPC)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) stage(id string) (job.Stage, request.Result) {
	b.t.Helper()
	stage, document, err := b.Lookup(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	var r request.Result
	if document != nil {
		if r, err = request.ParseResult(document); err != nil {
			b.t.Fatal(err)
		}
	}
	return stage, r
}

func TestWhatWaitsIsAnsweredByTheNextProcessImageIncluded(t *testing.T) {
	folder, out := filepath.Join(t.TempDir(), "queue"), t.TempDir()
	b := start(t, folder, out)
	waits := b.submit(job.WayHTTP, inline(t, "http"))
	for _, id := range []string{"a", "b", "c"} {
		accepted(t, b.submit(job.WayIPC, inline(t, id)))
	}
	accepted(t, waits)
	next(t, b.model.began)
	b.end()
	if o := next(t, waits); o.Result.Error == nil || o.Result.Error.Code != request.CodeStopping {
		t.Errorf("who waits over HTTP is told %+v", o.Result)
	}

	b = start(t, folder, out)
	if o := next(t, b.submit(job.WayIPC, request.Request{ID: "thief", Image: request.Image{Path: "x.png"}, Output: request.Output{To: "c.png"}})); o.Result.Error == nil || o.Result.Error.Code != request.CodeOutputExists {
		t.Errorf("an output of a request that waits: %+v", o.Result.Error)
	}
	close(b.model.gate)
	seen := map[string]bool{}
	for len(seen) < 3 {
		list := b.deliveries()
		for _, d := range list {
			r, err := request.ParseResult(d.Document)
			if err != nil || r.Error != nil || r.Attempt != 1 || seen[r.ID] {
				t.Errorf("%s, %v", d.Document, err)
			}
			if content, err := os.ReadFile(r.Mask.Path); err != nil || len(content) != r.Mask.Bytes {
				t.Errorf("the mask of %s: %v", r.ID, err)
			}
			seen[r.ID] = true
		}
		if err := b.queue.Delivered(t.Context(), ToIPC, list...); err != nil {
			t.Fatal(err)
		}
	}
	for stage := job.StageUnknown; stage != job.StageAnswered; time.Sleep(time.Millisecond) {
		stage, _ = b.stage("http")
	}
}

func TestTwoWhoSendTheSameRequestGetTheSameBytes(t *testing.T) {
	b := start(t, filepath.Join(t.TempDir(), "queue"), t.TempDir())
	first := b.submit(job.WayHTTP, inline(t, "a"))
	accepted(t, first)
	second := b.submit(job.WayHTTP, inline(t, "a"))
	accepted(t, second)
	// This one is not told that it is accepted: what it waits for is not delivered to
	// it by another process.
	overIPC := b.submit(job.WayIPC, inline(t, "a"))
	for joined := 0; joined < 2; time.Sleep(time.Millisecond) {
		b.queue.mu.Lock()
		joined = len(b.queue.jobs["a"].waiting)
		b.queue.mu.Unlock()
	}
	close(b.model.gate)
	answer := next(t, first)
	if answer.Result.Error != nil || len(answer.Mask) == 0 || len(answer.Document) == 0 {
		t.Fatalf("%+v", answer)
	}
	for _, other := range []<-chan job.Outcome{second, overIPC} {
		if o := next(t, other); !bytes.Equal(o.Document, answer.Document) {
			t.Errorf("%s\nand\n%s", o.Document, answer.Document)
		}
	}
	if o := next(t, b.submit(job.WayIPC, inline(t, "a"))); !bytes.Equal(o.Document, request.WithAttempt(answer.Document, 2)) || o.Result.Attempt != 2 {
		t.Errorf("later: %s", o.Document)
	}
	if n := len(b.model.began); n != 1 {
		t.Errorf("it was worked on %d times", n)
	}
}

func TestARequestIsWithdrawnBeforeItsTurnAndForgottenAfterItsAnswer(t *testing.T) {
	b := start(t, filepath.Join(t.TempDir(), "queue"), t.TempDir())
	working := b.submit(job.WayHTTP, inline(t, "working"))
	accepted(t, working)
	next(t, b.model.began)
	for _, id := range []string{"ahead", "waits"} { // one more is taken ahead of its turn
		accepted(t, b.submit(job.WayIPC, inline(t, id)))
	}
	if err := b.Forget(t.Context(), "working"); !errors.Is(err, job.ErrInWork) {
		t.Errorf("in work: %v", err)
	}
	if err := b.Forget(t.Context(), "unknown"); !errors.Is(err, job.ErrUnknownRequest) {
		t.Errorf("unknown: %v", err)
	}
	if stage, _ := b.stage("waits"); stage != job.StageWaiting {
		t.Errorf("stage %v", stage)
	}
	joined := b.submit(job.WayHTTP, inline(t, "waits")) // by one who waits for the answer
	accepted(t, joined)
	if err := b.Forget(t.Context(), "waits"); err != nil {
		t.Error(err)
	}
	if o := next(t, joined); o.Result.Error == nil || o.Result.Error.Code != request.CodeCancelled {
		t.Errorf("who waits for it: %+v", o.Result.Error)
	}
	if n := b.open.Load(); n != 2 {
		t.Errorf("%d requests are counted as unanswered, want working and ahead", n)
	}
	if stage, r := b.stage("waits"); stage != job.StageAnswered || r.Error == nil || r.Error.Code != request.CodeCancelled {
		t.Errorf("stage %v, %+v", stage, r.Error)
	}
	list := b.deliveries() // its requester is told
	if len(list) != 1 || !bytes.Contains(list[0].Document, []byte(`"waits"`)) {
		t.Errorf("%+v", list)
	}
	for range 2 {
		err := b.Forget(t.Context(), "waits")
		if stage, _ := b.stage("waits"); stage != job.StageUnknown {
			t.Errorf("stage %v, %v", stage, err)
		}
	}
	close(b.model.gate)
	if o := next(t, working); o.Result.Error != nil {
		t.Errorf("error %+v", o.Result.Error)
	}
	if o := next(t, b.submit(job.WayHTTP, request.Request{ID: "waits", Image: request.Image{Inline: slice(t)}})); o.Result.Error != nil {
		t.Errorf("the id and its output are not free: %+v", o.Result.Error)
	}
}

func TestAnOutputIsFreeAgainWhenNobodyWaitsForItsAnswerAnyMore(t *testing.T) {
	folder, out := filepath.Join(t.TempDir(), "queue"), t.TempDir()
	b := start(t, folder, out)
	to := func(id string) request.Request {
		r := inline(t, id)
		r.Output.To = "latest.png"
		return r
	}
	accepted(t, b.submit(job.WayHTTP, to("first")))
	next(t, b.model.began)
	left := died(t, folder)
	b.end()
	b = start(t, left, out)
	close(b.model.gate)
	for stage := job.StageUnknown; stage != job.StageAnswered; time.Sleep(time.Millisecond) {
		stage, _ = b.stage("first")
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) { // it is told a moment later
		o := next(t, b.submit(job.WayHTTP, request.Request{ID: rand.Text(), Image: request.Image{Inline: slice(t)}, Output: request.Output{To: "latest.png"}}))
		if o.Result.Error == nil {
			break
		}
		if o.Result.Error.Code != request.CodeOutputExists || time.Now().After(end) {
			t.Fatalf("%+v", o.Result.Error)
		}
	}
}

func TestTheFilesOfAnAnswerAreKeptUntilItIsDelivered(t *testing.T) {
	b := start(t, filepath.Join(t.TempDir(), "queue"), t.TempDir())
	close(b.model.gate)
	accepted(t, b.submit(job.WayIPC, inline(t, "a")))
	list := b.deliveries()
	other := func(id string) request.Code {
		o := next(t, b.submit(job.WayHTTP, request.Request{ID: id, Image: request.Image{Inline: slice(t)}, Output: request.Output{To: "a.png"}}))
		o.Claim.Release()
		if o.Result.Error == nil {
			return ""
		}
		return o.Result.Error.Code
	}
	if code := other("b"); code != request.CodeOutputExists {
		t.Errorf("before it goes out: %q", code)
	}
	list[0].Claim.Release() // it goes out
	list[0].Claim.Renew()   // and does not arrive
	if code := other("c"); code != request.CodeOutputExists {
		t.Errorf("after a try: %q", code)
	}
	if err := b.queue.Delivered(t.Context(), ToIPC, list...); err != nil {
		t.Fatal(err)
	}
	if code := other("d"); code != "" {
		t.Errorf("after the delivery: %q", code)
	}
}

// died makes a folder as a process leaves it that dies now.
func died(t *testing.T, folder string) string {
	t.Helper()
	left := filepath.Join(t.TempDir(), "queue")
	if err := os.CopyFS(left, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return left
}

func TestARequestOfWhichTheProcessDiedTwiceIsAnsweredAsPoisonedAndTheOthersWell(t *testing.T) {
	folder, out := filepath.Join(t.TempDir(), "queue"), t.TempDir()
	b := start(t, folder, out)
	accepted(t, b.submit(job.WayIPC, inline(t, "poison")))
	next(t, b.model.began)
	accepted(t, b.submit(job.WayIPC, inline(t, "good")))
	for deaths := 1; deaths <= 2; deaths++ {
		left := died(t, folder)
		b.end()
		folder = left
		b = start(t, folder, out)
		if deaths == 1 {
			next(t, b.model.began)
		}
	}
	close(b.model.gate)
	codes := map[string]request.Code{}
	for len(codes) < 2 {
		list := b.deliveries()
		for _, d := range list {
			r, err := request.ParseResult(d.Document)
			if err != nil {
				t.Fatal(err)
			}
			if codes[r.ID] = ""; r.Error != nil {
				codes[r.ID] = r.Error.Code
			}
		}
		if err := b.queue.Delivered(t.Context(), ToIPC, list...); err != nil {
			t.Fatal(err)
		}
	}
	if codes["poison"] != request.CodePoisoned || codes["good"] != "" {
		t.Errorf("answers: %v", codes)
	}
}

func TestAMaskThatNobodyCanGetIsNotMadeAfterARestart(t *testing.T) {
	folder, out := filepath.Join(t.TempDir(), "queue"), t.TempDir()
	b := start(t, folder, out)
	r := inline(t, "a")
	r.Output.Discard = true
	accepted(t, b.submit(job.WayHTTP, r))
	next(t, b.model.began)
	b.end()
	b = start(t, folder, out)
	for stage := job.StageUnknown; stage != job.StageAnswered; time.Sleep(time.Millisecond) {
		stage, _ = b.stage("a")
	}
	if len(b.model.began) > 0 {
		t.Error("it was worked on")
	}
}

func TestAFolderThatCannotBeUsedIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Queue.Folder = filepath.Join(file, "queue")
	_, err := Open(t.Context(), Options{Config: cfg})
	var part *parts.Error
	if !errors.As(err, &part) || part.Part != PartQueue || !bytes.Contains([]byte(err.Error()), []byte(cfg.Queue.Folder)) {
		t.Errorf("error %v", err)
	}
}

// A fault of the disk had hidden the request when it was sent again.
func TestARequestThatTurnsUpOnTheDiskIsAnsweredOverIPCOnceThoughItWasSentAgain(t *testing.T) {
	q := Queue{jobs: map[string]*entry{}}
	for way, waiting := range map[string]int{job.WayIPC: 0, job.WayHTTP: 1} {
		found := &entry{job: &job.Job{Key: "a", From: job.Requester{Way: job.WayIPC}}, handed: true}
		q.jobs["a"] = found
		receipt, err := q.waitFor(&job.Job{Key: "a", From: job.Requester{Way: way}, Done: func(job.Outcome) {}}, job.StageInWork, nil)
		if err != nil || !receipt.Known || receipt.Joined != (waiting > 0) || len(found.waiting) != waiting {
			t.Errorf("over %s: %+v, %v; %d wait beside the delivery", way, receipt, err, len(found.waiting))
		}
	}
}
