package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
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
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is a running server over the model values: class = grey value / 32,
// of three classes.
type endpoint struct {
	*Endpoint
	engine *engine.Engine
	url    string
	client *http.Client

	mu       sync.Mutex
	messages []string // of the status; guarded by mu
}

func start(t *testing.T, change ...func(*config.Config)) *endpoint {
	t.Helper()
	cfg := config.Default()
	cfg.Model.Path = filepath.Join("..", "..", "segmentation", "testdata", "models", "values")
	cfg.Model.Library = filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	cfg.Images.Roots, cfg.Images.MaxBytes, cfg.Output.Root = nil, 1<<20, ""
	cfg.HTTP.Address = "127.0.0.1:0"
	for _, c := range change {
		c(&cfg)
	}
	e := &endpoint{client: &http.Client{Transport: &http.Transport{}}}
	var err error
	e.engine, err = engine.Open(t.Context(), cfg, engine.Deps{Status: func(s request.Status) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.messages = append(e.messages, s.Message)
	}})
	if err != nil {
		t.Fatal(err)
	}
	e.Endpoint = New(e.engine, zap.NewNop())
	if err := e.engine.Attach(t.Context(), e.Endpoint); err != nil {
		t.Fatal(err)
	}
	e.url = "http://" + e.Addr() + "/"
	t.Cleanup(func() {
		e.client.CloseIdleConnections()
		if err := e.Endpoint.Close(context.Background()); err != nil {
			t.Error(err)
		}
		e.engine.Close(context.Background())
	})
	return e
}

// until returns the status messages once the last is as told: it follows the
// answer.
func (e *endpoint) until(t *testing.T, last string) []string {
	t.Helper()
	var list []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		e.mu.Lock()
		list = slices.Clone(e.messages)
		e.mu.Unlock()
		if len(list) > 0 && list[len(list)-1] == last {
			return list
		}
	}
	t.Fatalf("status messages: %q, want the last to be %q", list, last)
	return nil
}

// form is a multipart body with one file.
func form(t *testing.T, field string, content []byte) (contentType string, body *bytes.Buffer) {
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

func (e *endpoint) do(t *testing.T, method, path, contentType string, body io.Reader, headers ...string) (status int, kind string, content []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, e.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := e.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if content, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), content
}

func encode(t *testing.T, picture image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestThePostedImageIsAnsweredWithItsMask(t *testing.T) {
	e := start(t)
	// Colour becomes grey with the weights of the 2018 system: 0.3, 0.59, 0.11.
	picture := image.NewRGBA(image.Rect(0, 0, 3, 1))
	picture.Set(0, 0, color.RGBA{R: 200, A: 255}) // 60: class 1
	picture.Set(1, 0, color.RGBA{G: 150, A: 255}) // 88.5: class 2
	picture.Set(2, 0, color.RGBA{B: 255, A: 255}) // 28: class 0
	contentType, body := form(t, Field, encode(t, picture))
	status, kind, content := e.do(t, http.MethodPost, "", contentType, body)
	if status != http.StatusOK || kind != "image/png" {
		t.Fatalf("got %d %s %s", status, kind, content)
	}
	mask, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if grey, ok := mask.(*image.Gray); !ok || !bytes.Equal(grey.Pix, []uint8{1, 2, 0}) {
		t.Errorf("mask: %T %+v", mask, mask)
	}
	if got := strings.Join(e.until(t, "Image processed."), " "); got != "Model loaded. Image received. Image processed." {
		t.Errorf("status messages: %s", got)
	}
}

func TestErrorsAreJSONWithCodeAndMessage(t *testing.T) {
	e := start(t)
	formOf := func(field string, content []byte) (string, io.Reader) {
		contentType, body := form(t, field, content)
		return contentType, body
	}
	tests := []struct {
		name   string
		body   func() (contentType string, body io.Reader)
		status int
		code   request.Code
	}{
		{"no form", func() (string, io.Reader) { return "image/png", strings.NewReader("x") }, 400, request.CodeInvalidRequest},
		{"a form without boundary", func() (string, io.Reader) { return "multipart/form-data", strings.NewReader("x") }, 400, request.CodeInvalidRequest},
		{"another field", func() (string, io.Reader) { return formOf("File", []byte("x")) }, 400, request.CodeInvalidRequest},
		{"a form that ends early", func() (string, io.Reader) {
			contentType, body := form(t, Field, []byte("x"))
			return contentType, bytes.NewReader(body.Bytes()[:body.Len()-40])
		}, 400, request.CodeInvalidRequest},
		{"text", func() (string, io.Reader) { return formOf(Field, []byte("no picture")) }, 422, request.CodeImageUnreadable},
		{"nothing", func() (string, io.Reader) { return formOf(Field, nil) }, 422, request.CodeImageUnreadable},
		{"too many bytes", func() (string, io.Reader) { return formOf(Field, make([]byte, 1<<20+1)) }, 413, request.CodeImageTooLarge},
		{"far too many bytes", func() (string, io.Reader) { return formOf(Field, make([]byte, 4<<20)) }, 413, request.CodeImageTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			contentType, body := tt.body()
			status, kind, content := e.do(t, http.MethodPost, "", contentType, body)
			var failure request.Failure
			if err := json.Unmarshal(content, &failure); err != nil || kind != "application/json" {
				t.Fatalf("got %d %s %q: %v", status, kind, content, err)
			}
			if status != tt.status || failure.Code != tt.code || failure.Message == "" {
				t.Errorf("got %d %+v, want %d %s", status, failure, tt.status, tt.code)
			}
			e.until(t, "Error: "+failure.Message+".")
			contentType, good := form(t, Field, encode(t, image.NewGray(image.Rect(0, 0, 2, 2))))
			if status, _, content := e.do(t, http.MethodPost, "", contentType, good); status != http.StatusOK {
				t.Errorf("a good image after it: %d %s", status, content)
			}
		})
	}
}

func TestOnlyPostToTheRootIsServed(t *testing.T) {
	e := start(t)
	if status, _, _ := e.do(t, http.MethodGet, "", "", nil); status != http.StatusMethodNotAllowed {
		t.Errorf("GET /: %d", status)
	}
	if status, _, _ := e.do(t, http.MethodPost, "other", "", nil); status != http.StatusNotFound {
		t.Errorf("POST /other: %d", status)
	}
}

func TestAPageOfAnotherOriginIsRefused(t *testing.T) {
	e := start(t)
	contentType, body := form(t, Field, encode(t, image.NewGray(image.Rect(0, 0, 2, 2))))
	if status, _, _ := e.do(t, http.MethodPost, "", contentType, body, "Origin", "https://elsewhere.example", "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
		t.Errorf("got %d, want 403", status)
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	e := start(t)
	before := e.Addr()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		next := e.engine.Config()
		next.HTTP.Address = address
		var part *engine.PartError
		if err := e.engine.Apply(t.Context(), next); !errors.As(err, &part) || part.Part != PartHTTP {
			t.Errorf("%s: %v", address, err)
		}
		if e.Addr() != before {
			t.Errorf("%s: listening on %s", address, e.Addr())
		}
	}
}
