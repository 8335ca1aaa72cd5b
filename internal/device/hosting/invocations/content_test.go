package invocations

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheServiceIsToldToWaitUntilTheModelIsReady(t *testing.T) {
	s := New(Options{})
	defer s.Stop()
	for _, tt := range []struct{ method, path string }{{"GET", "/ping"}, {"GET", "/execution-parameters"}, {"POST", "/invocations"}} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader("x")))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s is answered %d, Retry-After %q", tt.path, w.Code, w.Header().Get("Retry-After"))
		}
	}
}

func TestAClientThatPausesIsGivenUpAndOneThatWaitsForItsAnswerIsNot(t *testing.T) {
	ends := make(chan error, 1)
	answer := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, &steady{r.Body, http.NewResponseController(w), 20 * time.Millisecond})
		ends <- err
		if err == nil {
			select {
			case <-answer:
			case <-r.Context().Done():
				ends <- r.Context().Err()
			}
		}
	}))
	defer server.Close()

	reader, writer := io.Pipe()
	go func() {
		if r, err := http.Post(server.URL, "", reader); err == nil {
			r.Body.Close()
		}
	}()
	io.WriteString(writer, "a part of it")
	if err := <-ends; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that pauses: %v", err)
	}
	writer.Close()

	go func() {
		if r, err := http.Post(server.URL, "", strings.NewReader("all of it")); err == nil {
			r.Body.Close()
		}
		close(ends)
	}()
	if err := <-ends; err != nil {
		t.Fatalf("a client that sends: %v", err)
	}
	select {
	case err := <-ends:
		t.Errorf("a client that waits: %v", err)
	case <-time.After(100 * time.Millisecond): // five times the pause
	}
	close(answer)
	<-ends
}

func FuzzContentOf(f *testing.F) {
	f.Add("application/json", "*/*", "{}")
	f.Add("", "image/png;q=0.1,", "\x89PNG")
	f.Add("/;", "q=;,*/*;q=NaN", "")
	f.Fuzz(func(t *testing.T, contentType, accept, body string) {
		r, err := http.NewRequest(http.MethodPost, "/invocations", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Content-Type"], r.Header["Accept"] = []string{contentType}, []string{accept}
		if whole, _, err := contentOf(r); err == nil {
			got := new(bytes.Buffer)
			if _, err := got.ReadFrom(whole); err != nil || got.String() != body {
				t.Errorf("looking at the body changed it: %v", err)
			}
		} else if status := statusOf(err); status != http.StatusBadRequest && status != http.StatusUnsupportedMediaType {
			t.Errorf("status %d", status)
		}
		if offer, ok := accepted(r, typePNG, typeJSON); ok && offer != typePNG && offer != typeJSON {
			t.Errorf("offer %q", offer)
		}
	})
}
