package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/models"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an engine over temporary folders, and what it said.
type bench struct {
	*Engine
	in, out string
	logs    *observer.ObservedLogs

	mu       sync.Mutex
	statuses []request.Status // guarded by mu
}

// library names ONNX Runtime, and modelDir one of the small models.
func library() string {
	return filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
}

func modelDir(name string) string {
	return filepath.Join("..", "..", "segmentation", "testdata", "models", name)
}

// start opens an engine over the model values: class = grey value / 32, of three.
func start(t testing.TB, change ...func(*config.Config, *Deps)) *bench {
	t.Helper()
	b := &bench{in: t.TempDir(), out: t.TempDir()}
	core, logs := observer.New(zapcore.DebugLevel)
	b.logs = logs
	cfg := config.Default()
	cfg.Service.Workers = 1
	cfg.Model = config.Model{Path: modelDir("values"), Library: library()}
	cfg.Images.Roots, cfg.Images.MaxBytes, cfg.Output.Root = []string{b.in}, 1<<20, b.out
	deps := Deps{Logger: zap.New(core), Thing: "thing", Status: func(s request.Status) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.statuses = append(b.statuses, s)
	}}
	for _, c := range change {
		c(&cfg, &deps)
	}
	var err error
	if b.Engine, err = Open(t.Context(), cfg, deps); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(context.Background()) })
	return b
}

var openModel = models.Open

// anybody is who asks where that does not matter.
var anybody = job.Requester{Way: job.WayIPC}

// ask submits a request and waits for its answer.
func (b *bench) ask(t testing.TB, r request.Request) request.Result {
	t.Helper()
	answers := make(chan request.Result, 2)
	b.Submit(t.Context(), anybody, r, func(o job.Outcome) { o.Claim.Release(); answers <- o.Result })
	select {
	case r := <-answers:
		return r
	case <-time.After(time.Minute):
		t.Fatal("no answer")
		return request.Result{}
	}
}

// messages returns the status messages once the last is as told: it follows the
// answer to a request.
func (b *bench) messages(t testing.TB, last string) []string {
	t.Helper()
	var list []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		b.mu.Lock()
		list = nil
		for _, s := range b.statuses {
			list = append(list, s.Message)
		}
		b.mu.Unlock()
		if len(list) > 0 && list[len(list)-1] == last {
			return list
		}
	}
	t.Fatalf("status messages: %q, want the last to be %q", list, last)
	return nil
}

// ramp is a slice whose grey value is 8 times the column.
func ramp(t testing.TB, width, height int) []byte {
	t.Helper()
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(8 * (i % width))
	}
	var b bytes.Buffer
	if err := png.Encode(&b, slice); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func readMask(t testing.TB, path string) *image.Gray {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return picture.(*image.Gray)
}

func TestARequestBecomesAMaskAnOverlayAndAResultThatCountsTissues(t *testing.T) {
	b := start(t)
	write(t, b.in, "slice.png", ramp(t, 12, 5)) // values 0 to 88: classes 0, 1 and 2, four columns each
	r := b.ask(t, request.Request{ID: "a", Image: request.Image{Path: "slice.png"}, Output: request.Output{To: "day/mask.png", Overlay: true, Inline: true}})

	if r.Status != request.StatusSucceeded || r.Error != nil || r.ID != "a" || r.Thing != "thing" || !r.Complete || r.Time.IsZero() {
		t.Fatalf("result: %+v", r)
	}
	wantTissues := []request.Tissue{
		{Value: 0, Name: "background", Colour: "#000000", Pixels: 20},
		{Value: 1, Name: "a", Colour: "#3b7dd8", Pixels: 20, Share: 0.5},
		{Value: 2, Name: "b", Colour: "#7f7f7f", Pixels: 20, Share: 0.5},
	}
	if diff := cmp.Diff(wantTissues, r.Tissues); diff != "" {
		t.Errorf("tissues (-want +got):\n%s", diff)
	}
	if r.Image.Width != 12 || r.Image.Height != 5 || r.Image.Flags != nil || r.Model.Name != "values" || len(r.Model.SHA256) != 64 {
		t.Errorf("image %+v, model %+v", r.Image, r.Model)
	}
	if want := filepath.Join(b.out, "day", "mask.png"); r.Mask.Path != want {
		t.Errorf("mask at %s, want %s", r.Mask.Path, want)
	}
	mask := readMask(t, r.Mask.Path)
	for i, v := range mask.Pix {
		if want := uint8(i % 12 / 4); v != want {
			t.Fatalf("pixel %d is %d, want %d", i, v, want)
		}
	}
	if content, _ := os.ReadFile(r.Mask.Path); !bytes.Equal(content, r.Mask.Base64) || len(content) != r.Mask.Bytes {
		t.Error("the inline mask is not the file")
	}
	if info, err := os.Stat(filepath.Join(b.out, "day", "mask.overlay.png")); err != nil || info.Mode().Perm() != 0o640 || r.Overlay.Path == "" {
		t.Errorf("overlay: %v, %v", info, err)
	}
	checkSchema(t, schemas.Result, r)
	if diff := cmp.Diff([]string{"Model loaded.", "Image received.", "Image processed."}, b.messages(t, "Image processed.")); diff != "" {
		t.Errorf("status messages (-want +got):\n%s", diff)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.statuses {
		checkSchema(t, schemas.Status, s)
	}
	if last := b.statuses[2]; last.State != request.StateReady || last.Request != 1 {
		t.Errorf("last status: %+v", last)
	}
}

func checkSchema(t testing.TB, schema []byte, document any) {
	t.Helper()
	s, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", s); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Errorf("%s: %v", encoded, err)
	}
}

func TestWithoutADestinationTheMaskIsNamedAfterTheID(t *testing.T) {
	b := start(t)
	names := make(map[string]bool)
	for _, id := range []string{"scan-1", "scan/1", "scan:1", "..", "ünïcode", strings.Repeat("x", 128)} {
		r := b.ask(t, request.Request{ID: id, Image: request.Image{Inline: ramp(t, 4, 4)}})
		if r.Error != nil {
			t.Fatalf("%q: %+v", id, r.Error)
		}
		if filepath.Dir(r.Mask.Path) != b.out || names[r.Mask.Path] {
			t.Errorf("%q: mask at %s", id, r.Mask.Path)
		}
		names[r.Mask.Path] = true
	}
	if !names[filepath.Join(b.out, "scan-1.png")] {
		t.Errorf("a plain id does not name its mask: %v", names)
	}
}

// hugeHeader is the beginning of a PNG of 100,000 x 100,000 pixels.
func hugeHeader() []byte {
	b := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x01\x86\xa0\x00\x01\x86\xa0\x08\x00\x00\x00\x00")
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[12:]))
}

func TestBadRequestsGetOneClearErrorAndTheEngineLivesOn(t *testing.T) {
	b := start(t)
	good := ramp(t, 12, 5)
	write(t, b.in, "good.png", good)
	write(t, b.in, "empty.png", nil)
	write(t, b.in, "cut.png", good[:len(good)/2])
	write(t, b.in, "text.png", []byte("this is no picture"))
	write(t, b.in, "huge.png", hugeHeader())
	write(t, b.in, "bright.png", ramp(t, 32, 1)) // values that the model has no class for
	zeros, err := os.Create(filepath.Join(b.in, "zeros.png"))
	if err == nil {
		err = zeros.Truncate(1 << 30)
	}
	if err != nil {
		t.Fatal(err)
	}
	zeros.Close()
	if err := os.Symlink("/etc/hostname", filepath.Join(b.in, "link.png")); err != nil {
		t.Fatal(err)
	}
	write(t, b.out, "file", nil)

	tests := []struct {
		name    string
		image   request.Image
		to      string
		code    request.Code
		message string
	}{
		{"no such file", request.Image{Path: "secret-name.png"}, "", request.CodeImageNotFound, "not found"},
		{"a folder", request.Image{Path: "."}, "", request.CodeImageNotFound, "not a regular file"},
		{"an empty file", request.Image{Path: "empty.png"}, "", request.CodeImageUnreadable, "empty"},
		{"a PNG that was cut", request.Image{Path: "cut.png"}, "", request.CodeImageUnreadable, "corrupt or cut short: the PNG ends inside a chunk"},
		{"text", request.Image{Path: "text.png"}, "", request.CodeImageUnreadable, "neither PNG nor JPEG"},
		{"100,000 x 100,000 pixels", request.Image{Path: "huge.png"}, "", request.CodeImageTooLarge, "too many pixels"},
		{"1 GB of zeros", request.Image{Path: "zeros.png"}, "", request.CodeImageTooLarge, "too large"},
		{"a path out of the roots", request.Image{Path: "../../etc/hostname"}, "", request.CodeImageNotAllowed, "outside the configured folders"},
		{"an absolute path", request.Image{Path: "/etc/hostname"}, "", request.CodeImageNotAllowed, "outside the configured folders"},
		{"a link out of the roots", request.Image{Path: "link.png"}, "", request.CodeImageNotAllowed, "outside the configured folders"},
		{"S3 that is switched off", request.Image{S3: "s3://bucket/key"}, "", request.CodeImageNotAllowed, "bucket is not allowed"},
		{"inline text", request.Image{Inline: []byte("no picture")}, "", request.CodeImageUnreadable, "neither PNG nor JPEG"},
		{"a mask out of the output folder", request.Image{Path: "good.png"}, "../mask.png", request.CodeOutputNotAllowed, "outside the configured folders"},
		{"a mask below a file", request.Image{Path: "good.png"}, "file/mask.png", request.CodeOutputNotAllowed, ""},
		{"more classes than the manifest has", request.Image{Path: "bright.png"}, "", request.CodeInternal, "the component failed on this request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b.logs.TakeAll()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r := b.ask(t, request.Request{ID: "patient-7", Image: tt.image, Output: request.Output{To: tt.to}})
			runtime.ReadMemStats(&after)
			if r.Status != request.StatusFailed || r.Error == nil || r.Error.Code != tt.code || !strings.Contains(r.Error.Message, tt.message) {
				t.Fatalf("result %+v, error %+v; want code %s, message %q", r, r.Error, tt.code, tt.message)
			}
			if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
				t.Errorf("%d bytes of memory were taken", taken)
			}
			if r.ID != "patient-7" || r.Mask != nil {
				t.Errorf("result: %+v", r)
			}
			checkSchema(t, schemas.Result, r)
			status := r.Error.Message
			if strings.HasPrefix(status, "the image ") { // how it is built is for the requester alone
				status, _, _ = strings.Cut(status, ": ")
			}
			b.messages(t, "Error: "+status+".")
			if strings.Contains(r.Error.Message, "secret-name") || strings.Contains(r.Error.Message, "hostname") {
				t.Errorf("the message names the file: %q", r.Error.Message)
			}
			for _, entry := range b.logs.All() {
				if text := entry.Message + logFields(entry); entry.Level > zapcore.DebugLevel && (strings.Contains(text, "patient-7") || strings.Contains(text, "png") || strings.Contains(text, "hostname")) {
					t.Errorf("the log names id or file above debug level: %s", text)
				}
			}
			if r := b.ask(t, request.Request{ID: "after", Image: request.Image{Path: "good.png"}}); r.Error != nil {
				t.Errorf("a good request after it: %+v", r.Error)
			}
		})
	}
}

func logFields(entry observer.LoggedEntry) string {
	encoded, _ := json.Marshal(entry.ContextMap())
	return string(encoded)
}

func TestADocumentThatIsNoRequestIsAnsweredWithItsID(t *testing.T) {
	b := start(t)
	for document, id := range map[string]string{`{`: "", `{"id":"x"}`: "x", `{"id":"x","image":{"path":"a"},"zoo":1}`: "x", "\xff": ""} {
		answers := make(chan request.Result, 1)
		b.SubmitDocument(t.Context(), anybody, []byte(document), func(o job.Outcome) { answers <- o.Result })
		if r := <-answers; r.Error == nil || r.Error.Code != request.CodeInvalidRequest || r.ID != id {
			t.Errorf("%q: %+v", document, r)
		}
	}
}

func TestEveryRequestIsAnsweredOnceThoughTheQueueIsFullAndTheEngineIsClosed(t *testing.T) {
	b := start(t, func(c *config.Config, _ *Deps) { c.Service.Queue, c.Service.Workers = 4, 2 })
	image := ramp(t, 12, 5)
	const n = 200
	answers := make(chan request.Result, 2*n)
	var submitting sync.WaitGroup
	for i := range n {
		submitting.Go(func() {
			b.Submit(t.Context(), anybody, request.Request{ID: strconv.Itoa(i), Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, func(o job.Outcome) { answers <- o.Result })
		})
	}
	time.Sleep(2 * time.Millisecond)
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	submitting.Wait()
	close(answers)
	times := make(map[string]int)
	codes := make(map[request.Code]int)
	for r := range answers {
		times[r.ID]++
		if r.Error != nil {
			codes[r.Error.Code]++
		}
	}
	for i := range n {
		if times[strconv.Itoa(i)] != 1 {
			t.Errorf("request %d was answered %d times", i, times[strconv.Itoa(i)])
		}
	}
	for code := range codes {
		if code != request.CodeBusy && code != request.CodeStopping {
			t.Errorf("a request failed with %s", code)
		}
	}
	t.Logf("of %d requests, refused: %v", n, codes)
	if b.Busy() {
		t.Error("still busy")
	}
}

func TestAFullQueueIsToldAsBusy(t *testing.T) {
	hold := make(chan struct{})
	b := start(t, func(c *config.Config, _ *Deps) { c.Service.Queue = 1 })
	image := ramp(t, 4, 4)
	answers := make(chan request.Result, 8)
	submit := func(id string, done func(job.Outcome)) {
		b.Submit(t.Context(), anybody, request.Request{ID: id, Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, done)
	}
	started := make(chan struct{})
	submit("held", func(o job.Outcome) { close(started); <-hold; answers <- o.Result }) // the worker waits in done
	<-started
	submit("waits", func(o job.Outcome) { answers <- o.Result })
	submit("refused", func(o job.Outcome) { answers <- o.Result })
	if r := <-answers; r.ID != "refused" || r.Error == nil || r.Error.Code != request.CodeBusy {
		t.Errorf("got %+v, error %+v", r, r.Error)
	}
	close(hold)
	for range 2 {
		if r := <-answers; r.Error != nil {
			t.Errorf("%s: %+v", r.ID, r.Error)
		}
	}
}

func TestWhatIsNotDoneWhenTimeIsUpIsAnsweredAsStopping(t *testing.T) {
	hold := make(chan struct{})
	b := start(t)
	image := ramp(t, 4, 4)
	answers := make(chan request.Result, 2)
	started := make(chan struct{})
	b.Submit(t.Context(), anybody, request.Request{ID: "held", Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, func(o job.Outcome) {
		close(started)
		<-hold
	})
	<-started
	b.Submit(t.Context(), anybody, request.Request{ID: "late", Image: request.Image{Inline: image}, Output: request.Output{Discard: true}}, func(o job.Outcome) { answers <- o.Result })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Close(ctx) }()
	<-b.ctx.Done() // Close has called off what is left
	close(hold)
	if err := <-ended; err == nil {
		t.Error("Close does not tell that time was up")
	}
	if r := <-answers; r.Error == nil || r.Error.Code != request.CodeStopping {
		t.Errorf("got %+v", r.Error)
	}
	b.Submit(t.Context(), anybody, request.Request{ID: "after", Image: request.Image{Inline: image}}, func(o job.Outcome) { answers <- o.Result })
	if r := <-answers; r.Error == nil || r.Error.Code != request.CodeStopping {
		t.Errorf("after Close: got %+v", r.Error)
	}
}

// faulty is a model with a fault at one slice.
type faulty struct {
	Model
	calls atomic.Int32
}

func (f *faulty) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	if f.calls.Add(1) == 1 {
		panic("a fault of the program")
	}
	return f.Model.Segment(ctx, slice, mask)
}

func TestAPanicIsAnAnswerAndTheWorkerGoesOn(t *testing.T) {
	b := start(t, func(_ *config.Config, d *Deps) {
		d.OpenModel = func(ctx context.Context, cfg config.Config, logger *zap.Logger) (Model, error) {
			m, err := openModel(ctx, cfg, logger)
			return &faulty{Model: m}, err
		}
	})
	if r := b.ask(t, request.Request{ID: "a", Image: request.Image{Inline: ramp(t, 4, 4)}}); r.Error == nil || r.Error.Code != request.CodeInternal {
		t.Errorf("got %+v, error %+v", r, r.Error)
	}
	if r := b.ask(t, request.Request{ID: "b", Image: request.Image{Inline: ramp(t, 4, 4)}}); r.Error != nil {
		t.Errorf("after it: %+v", r.Error)
	}
}

func dark(t testing.TB, side int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
