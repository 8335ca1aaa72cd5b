package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/diskqueue"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/listener"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/segmentation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a running API over the model values: class = grey value / 32, of
// three classes. Whatever it answers is held against the OpenAPI document.
type service struct {
	*API
	engine *engine.Engine
	url    string
	client *http.Client

	mu       sync.Mutex
	messages []string // of the status; guarded by mu
}

func start(t testing.TB, change ...func(*config.Config)) *service {
	t.Helper()
	return startWith(t, engine.Deps{}, change...)
}

func startWith(t testing.TB, deps engine.Deps, change ...func(*config.Config)) *service {
	t.Helper()
	cfg := config.Default()
	cfg.Service.Workers = 1
	cfg.Model.Path = filepath.Join("..", "..", "segmentation", "testdata", "models", "values")
	cfg.Model.Library = filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	cfg.Images.Roots, cfg.Images.MaxBytes, cfg.Output.Root, cfg.Queue.Folder = nil, 1<<20, "", ""
	for _, c := range change {
		c(&cfg)
	}
	s := serve(t)
	deps.Status = func(m request.Status) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.messages = append(s.messages, m.Message)
	}
	if cfg.Queue.Folder != "" {
		kept, err := diskqueue.Open(t.Context(), diskqueue.Options{Config: cfg})
		if err != nil {
			t.Fatal(err)
		}
		deps.Queue = kept
		t.Cleanup(func() { kept.Close(context.Background()) })
	}
	var err error
	if s.engine, err = engine.Open(t.Context(), cfg, deps); err != nil {
		t.Fatal(err)
	}
	s.SetEngine(s.engine)
	t.Cleanup(func() { s.engine.Close(context.Background()) })
	return s
}

// held is a model that begins with a slice when it is let.
type held struct {
	engine.Model
	began chan struct{} // a value for each slice
	gate  chan struct{} // closed to let go
}

func (h held) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	h.began <- struct{}{}
	<-h.gate
	return h.Model.Segment(ctx, slice, mask)
}

// startHeld is a service whose requests stay in work until release is called.
func startHeld(t testing.TB, change ...func(*config.Config)) (s *service, began <-chan struct{}, release func()) {
	h := held{began: make(chan struct{}, 100), gate: make(chan struct{})}
	s = startWith(t, engine.Deps{OpenModel: func(_ context.Context, cfg config.Config, _ *zap.Logger) (engine.Model, error) {
		m, err := segmentation.Open(cfg.Model.Path, segmentation.Options{Library: cfg.Model.Library})
		h.Model = m
		return h, err
	}}, change...)
	release = sync.OnceFunc(func() { close(h.gate) })
	t.Cleanup(release)
	return s, h.began, release
}

// serve is a service without an engine.
func serve(t testing.TB) *service {
	s := &service{API: New(Options{Version: "1.2.3"})}
	l := listener.New(s.API, zap.NewNop())
	if err := l.Listen(t.Context(), listener.Settings{HTTP: config.HTTP{Address: "127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.Addr() + "/"
	transport := &http.Transport{}
	s.client = &http.Client{Transport: contract(t, transport)}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// until returns the status messages once one was told so often: it follows the
// answer.
func (s *service) until(t *testing.T, message string, times int) []string {
	t.Helper()
	var list []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		s.mu.Lock()
		list = slices.Clone(s.messages)
		s.mu.Unlock()
		told := 0
		for _, m := range list {
			if m == message {
				told++
			}
		}
		if told >= times {
			return list
		}
	}
	t.Fatalf("status messages: %q, want %q %d times", list, message, times)
	return nil
}

// form is a multipart body with one file.
func form(t testing.TB, field string, content []byte) (contentType string, body *bytes.Buffer) {
	t.Helper()
	body = new(bytes.Buffer)
	w := multipart.NewWriter(body)
	w.WriteField("comment", "what the endpoint does not look at")
	part, err := w.CreateFormFile(field, "slice.png")
	if err == nil {
		_, err = part.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), body
}

// reply is an answer that was read.
type reply struct {
	status int
	kind   string // its type
	header http.Header
	body   []byte
}

// code is that of a problem document.
func (r reply) code(t testing.TB) request.Code {
	t.Helper()
	var document struct {
		Code   request.Code
		Status int
	}
	if err := json.Unmarshal(r.body, &document); err != nil || r.kind != "application/problem+json" || document.Status != r.status {
		t.Fatalf("got %d %s %q: %v", r.status, r.kind, r.body, err)
	}
	return document.Code
}

func (s *service) do(t testing.TB, method, path, contentType string, body io.Reader, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header.Get("Content-Type"), answer.Header, content}
}

func encode(t testing.TB, picture image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// small is a picture of two times two pixels.
func small(t testing.TB) []byte { return encode(t, image.NewGray(image.Rect(0, 0, 2, 2))) }

func TestBeforeTheModelIsThereWorkIsRefusedAndTheProcessIsHealthy(t *testing.T) {
	s := serve(t)
	contentType, body := form(t, Field, small(t))
	for _, r := range []reply{s.do(t, http.MethodPost, "", contentType, body), s.do(t, http.MethodGet, "readyz", "", nil)} {
		if r.status != http.StatusServiceUnavailable || r.code(t) != problem.CodeStarting || r.header.Get("Retry-After") == "" {
			t.Errorf("got %d %s", r.status, r.body)
		}
	}
	if r := s.do(t, http.MethodGet, "healthz", "", nil); r.status != http.StatusOK {
		t.Errorf("healthz: %d %s", r.status, r.body)
	}
	if r := s.do(t, http.MethodGet, "version", "", nil); r.status != http.StatusOK || strings.Contains(string(r.body), "model") {
		t.Errorf("version: %d %s", r.status, r.body)
	}
}

func TestTheServiceTellsItsStateAndItsVersion(t *testing.T) {
	s := start(t)
	if r := s.do(t, http.MethodGet, "readyz", "", nil); r.status != http.StatusOK {
		t.Errorf("readyz: %d %s", r.status, r.body)
	}
	var v version
	if r := s.do(t, http.MethodGet, "version", "", nil); json.Unmarshal(r.body, &v) != nil || v.Version != "1.2.3" || v.Go != runtime.Version() || v.Model == nil || v.Model.Name == "" {
		t.Errorf("version: %d %s", r.status, r.body)
	}
	s.engine.Close(t.Context())
	if r := s.do(t, http.MethodGet, "readyz", "", nil); r.status != http.StatusServiceUnavailable || r.code(t) != request.CodeStopping {
		t.Errorf("readyz at the end: %d %s", r.status, r.body)
	}
}

func TestWhatIsNotServedIsAProblemToo(t *testing.T) {
	s := start(t)
	s.client.Transport = http.DefaultTransport // these are outside of the document
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, tt := range []struct {
		method, path, allow string
		status              int
		code                request.Code
	}{
		{http.MethodGet, "", "POST", 405, problem.CodeMethodNotAllowed},
		{http.MethodDelete, "healthz", "GET, HEAD", 405, problem.CodeMethodNotAllowed},
		{http.MethodPost, "other", "", 404, problem.CodeNotFound},
		{http.MethodGet, "a/../b", "", 404, problem.CodeNotFound},
	} {
		r := s.do(t, tt.method, tt.path, "", nil)
		if r.status != tt.status || r.code(t) != tt.code || r.header.Get("Allow") != tt.allow {
			t.Errorf("%s /%s: %d %s, Allow %q", tt.method, tt.path, r.status, r.body, r.header.Get("Allow"))
		}
	}
}

func TestAPageThatIsMountedLeavesTheRestAsItIs(t *testing.T) {
	s := start(t)
	s.Handle("GET /{$}", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, "page")
	}))
	if r := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(small(t))); r.status != http.StatusOK {
		t.Errorf("POST /: %d %s", r.status, r.body)
	}
	s.client.Transport = http.DefaultTransport
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if r := s.do(t, http.MethodGet, "", "", nil); string(r.body) != "page" || r.header.Get("Cache-Control") != "max-age=60" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("GET /: %q %v", r.body, r.header)
	}
}

func TestWhatTheClientPrefersIsChosen(t *testing.T) {
	for accept, want := range map[string]string{
		"": typePNG, "*/*": typePNG, "image/*": typePNG, "application/json": typeJSON, "application/*;q=0.5": typeJSON,
		"image/png;q=0.5, application/json": typeJSON, "application/json;q=0.5, */*": typePNG, "image/png;q=0, */*": typeJSON,
		"text/html": "", "*/*;q=0": "", "image/png;q=x": typePNG, ";;, image/png": typePNG,
		"text/html,application/xhtml+xml,image/avif,*/*;q=0.8": typePNG,
	} {
		if got := Choose(http.Header{"Accept": {accept}}, typePNG, typeJSON); got != want {
			t.Errorf("Accept: %s gives %q, want %q", accept, got, want)
		}
	}
	for prefer, want := range map[string]bool{"respond-async": true, "wait=10, Respond-Async; a=b": true, "respond-asynchronously": false, "": false} {
		if got := prefers(http.Header{"Prefer": {prefer}}, "respond-async"); got != want {
			t.Errorf("Prefer: %s gives %t", prefer, got)
		}
	}
}

func FuzzWhateverClientsPreferSomethingTheyTakeIsChosen(f *testing.F) {
	f.Add("image/png;q=0.5, application/json, */*;q=0.1")
	f.Add(`text/html;level="1,2";q=2, image/*;q=-1`)
	f.Fuzz(func(t *testing.T, accept string) {
		header := http.Header{"Accept": {accept}, "Prefer": {accept}}
		prefers(header, "respond-async")
		switch got := Choose(header, typePNG, typeJSON); got {
		case typePNG, typeJSON:
		case "":
			if strings.TrimSpace(accept) == "" || accept == "*/*" {
				t.Error("nothing is chosen")
			}
		default:
			t.Errorf("chosen: %q", got)
		}
	})
}
