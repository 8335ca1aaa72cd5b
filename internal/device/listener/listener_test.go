package listener

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// component is an engine over the model values, and what listens for it.
type component struct {
	*Listener
	engine *engine.Engine
	client *http.Client
}

func start(t testing.TB, change ...func(*config.Config)) *component {
	t.Helper()
	cfg := config.Default()
	cfg.Model.Path = filepath.Join("..", "..", "segmentation", "testdata", "models", "values")
	cfg.Model.Library = filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	cfg.Images.Roots, cfg.Images.MaxBytes, cfg.Output.Root = nil, 1<<20, ""
	cfg.HTTP.Address = "127.0.0.1:0"
	for _, c := range change {
		c(&cfg)
	}
	e, err := engine.Open(t.Context(), cfg, engine.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	api := httpapi.New(httpapi.Options{})
	api.SetEngine(e)
	c := &component{New(api, zap.NewNop()), e, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}}}
	if err := e.Attach(t.Context(), c.Listener); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.client.CloseIdleConnections()
		if err := c.Listener.Close(context.Background()); err != nil {
			t.Error(err)
		}
		e.Close(context.Background())
	})
	return c
}

func (c *component) url() string { return "http://" + c.Addr() + "/" }

var picture = func() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 256, 256))); err != nil {
		panic(err)
	}
	return b.Bytes()
}()

// post sends an image and returns the status.
func (c *component) post(t testing.TB) int {
	t.Helper()
	answer, err := c.client.Post(c.url(), "image/png", bytes.NewReader(picture))
	if err != nil {
		t.Error(err)
		return 0
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func TestTheListenerOutlivesConfigurations(t *testing.T) {
	c := start(t)
	c.client.Transport.(*http.Transport).DisableKeepAlives = true // a connection each
	stop := make(chan struct{})
	var asking sync.WaitGroup
	var asked atomic.Int32
	for range 2 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status := c.post(t); status != http.StatusOK {
					t.Errorf("got %d", status)
					return
				}
				asked.Add(1)
			}
		})
	}
	for i := range 20 {
		next := c.engine.Config()
		next.Service.Workers, next.Service.Queue, next.Log.Level = 1+i%2, 64+i, zap.DebugLevel
		next.Images.MaxBytes = 1<<20 + int64(i)
		next.Images.MaxPixels = 256*256 + int64(i%5)
		next.HTTP.Connections = 100 + i
		if err := c.engine.Apply(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	asking.Wait()
	if asked.Load() == 0 {
		t.Error("nothing was asked")
	}
}

func TestAnUploadInWorkIsFinishedThoughTheAddressChanges(t *testing.T) {
	c := start(t)
	from, to := io.Pipe()
	answers := make(chan *http.Response, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url(), from)
		if err != nil {
			t.Error(err)
		}
		r.Header.Set("Content-Type", "image/png")
		r.Header.Set("Expect", "100-continue") // the body goes when the server asks for it
		answer, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	to.Write(picture[:20])
	before := c.Addr()
	next := c.engine.Config()
	next.HTTP.Address = freeAddress(t)
	if err := c.engine.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if c.Addr() != next.HTTP.Address {
		t.Errorf("listening on %s, want %s", c.Addr(), next.HTTP.Address)
	}
	if _, err := net.Dial("tcp", before); err == nil {
		t.Error("the old address is still listened on")
	}
	to.Write(picture[20:])
	to.Close()
	if answer := <-answers; answer != nil {
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("got %s", answer.Status)
		}
	}
	next.HTTP.Address = ""
	if err := c.engine.Apply(t.Context(), next); err != nil || c.Addr() != "" {
		t.Errorf("switched off: %v, listening on %q", err, c.Addr())
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestAnAddressInUseIsRefusedAndTheOldOneStays(t *testing.T) {
	c := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := c.engine.Config()
	next.HTTP.Address = l.Addr().String()
	var part *parts.Error
	if err := c.engine.Apply(t.Context(), next); !errors.As(err, &part) || part.Part != PartHTTP || strings.Contains(part.Summary, "127") {
		t.Errorf("got %v", err)
	}
	if status := c.post(t); status != http.StatusOK {
		t.Errorf("the old address answers %d", status)
	}
}

func TestAnswersThatNeverEndAreEndedWhenTheListenerIsClosed(t *testing.T) {
	ended := make(chan struct{})
	l := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: 1\n\n")
		http.NewResponseController(w).Flush()
		<-ended
	}), zap.NewNop())
	l.OnShutdown(func() { close(ended) })
	if err := l.Listen(t.Context(), Settings{HTTP: config.HTTP{Address: "127.0.0.1:0"}}); err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if content, err := io.ReadAll(answer.Body); err != nil || string(content) != "data: 1\n\n" {
		t.Errorf("got %q, %v", content, err)
	}
}

func TestAClientWhoseLargeBodyIsRefusedIsToldWhy(t *testing.T) {
	for name, settings := range map[string]config.HTTP{"no token": {Token: token}, "too often": {Requests: 1}} {
		settings.Address = "127.0.0.1:0"
		l, err := listen(t, Settings{HTTP: settings})
		if err != nil {
			t.Fatal(err)
		}
		sending := newClient(t, nil)
		refused := 0
		for range 20 {
			answer, err := sending.Post("http://"+l.Addr()+"/", "image/png", bytes.NewReader(make([]byte, 1<<20)))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			content, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				continue
			}
			if refused++; err != nil || !strings.Contains(string(content), `"code"`) {
				t.Fatalf("%s: %v %q", name, err, content)
			}
		}
		if refused < 10 {
			t.Errorf("%s: %d were refused", name, refused)
		}
	}
}
