package invocations

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/httpapi"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

func TestTheServiceIsToldToWaitUntilTheModelIsReady(t *testing.T) {
	s := New(Options{})
	defer s.Stop()
	mux := http.NewServeMux()
	s.Mount(mux.Handle)
	for _, tt := range []struct{ method, path string }{{"GET", "/ping"}, {"GET", "/execution-parameters"}, {"POST", "/invocations"}} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, strings.NewReader("x")))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s is answered %d, Retry-After %q", tt.path, w.Code, w.Header().Get("Retry-After"))
		}
	}
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
		} else if status := problem.Status(request.AsError(err).Code); status != http.StatusBadRequest && status != http.StatusUnsupportedMediaType {
			t.Errorf("status %d", status)
		}
		if offer := httpapi.Choose(r.Header, typePNG, typeJSON); offer != "" && offer != typePNG && offer != typeJSON {
			t.Errorf("offer %q", offer)
		}
	})
}
