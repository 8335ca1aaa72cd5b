package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

// kept has requests kept on disk.
func kept(t testing.TB) func(*config.Config) {
	folder := t.TempDir()
	return func(c *config.Config) { c.Queue.Folder = folder }
}

// later sends a request document to be answered later, and returns where.
func (s *service) later(t *testing.T, document string) string {
	t.Helper()
	r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(document), "Prefer", "respond-async")
	if r.status != http.StatusAccepted || r.header.Get("Preference-Applied") != "respond-async" {
		t.Fatalf("got %d %s", r.status, r.body)
	}
	return strings.TrimPrefix(r.header.Get("Location"), "/")
}

// result asks until the request is answered.
func (s *service) result(t *testing.T, location string) (result request.Result) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		r := s.do(t, http.MethodGet, location, "", nil)
		if r.status == http.StatusAccepted {
			continue
		}
		if err := json.Unmarshal(r.body, &result); err != nil || r.status != http.StatusOK {
			t.Fatalf("got %d %s", r.status, r.body)
		}
		return result
	}
	t.Fatal("there is no answer")
	return result
}

func TestARequestCanBeAnsweredLater(t *testing.T) {
	_, _, folders := withFolders(t)
	s := start(t, folders, kept(t))
	for _, id := range []string{"a", "a/b//c", "..", "50 % of ü?", strings.Repeat("é", request.MaxID)} {
		location := s.later(t, strings.TrimSuffix(inline(t, id), "}")+`,"output":{"overlay":true}}`)
		result := s.result(t, location)
		if result.ID != id || result.Mask == nil || result.Overlay == nil {
			t.Fatalf("%q: %+v", id, result)
		}
		for name, file := range map[string]*request.File{"mask": result.Mask, "overlay": result.Overlay} {
			want, err := os.ReadFile(file.Path)
			if err != nil {
				t.Fatal(err)
			}
			if r := s.do(t, http.MethodGet, location+"/"+name, "", nil); r.status != http.StatusOK || r.kind != typePNG || !bytes.Equal(r.body, want) {
				t.Errorf("%q, %s: %d %s", id, name, r.status, r.kind)
			}
		}
		if r := s.do(t, http.MethodGet, location+"/report", "", nil); r.status != http.StatusNotFound || r.code(t) != problem.CodeNoOutput {
			t.Errorf("%q, report: %d %s", id, r.status, r.body)
		}
	}
}

func TestARequestThatComesAgainIsNotWorkedOnAgain(t *testing.T) {
	_, _, folders := withFolders(t)
	s := start(t, folders, kept(t))
	var results [3]request.Result
	for i, headers := range [][]string{nil, {"Prefer", "respond-async"}, nil} {
		r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(inline(t, "a")), headers...)
		if err := json.Unmarshal(r.body, &results[i]); err != nil || r.status != http.StatusOK {
			t.Fatalf("got %d %s", r.status, r.body)
		}
		if results[i].Time != results[0].Time || (results[i].Attempt > 1) != (i > 0) {
			t.Errorf("attempt %d: %s", i, r.body)
		}
	}
	r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(strings.TrimSuffix(inline(t, "a"), "}")+`,"output":{"inline":true}}`))
	if r.status != http.StatusConflict || r.code(t) != request.CodeConflict {
		t.Errorf("another request of this id: %d %s", r.status, r.body)
	}
}

func TestAFailureIsAResultLater(t *testing.T) {
	s := start(t, kept(t))
	result := s.result(t, s.later(t, `{"id":"a","image":{"base64":"eHh4"}}`))
	if result.Error == nil || result.Error.Code != request.CodeImageUnreadable {
		t.Errorf("got %+v", result)
	}
	if r := s.do(t, http.MethodGet, "v1/requests/a/mask", "", nil); r.status != http.StatusNotFound || r.code(t) != problem.CodeNoOutput {
		t.Errorf("its mask: %d %s", r.status, r.body)
	}
}

func TestARequestCanBeWithdrawnWhileItWaitsAndNotInWork(t *testing.T) {
	_, _, folders := withFolders(t)
	s, began, release := startHeld(t, folders, kept(t))
	working := s.later(t, inline(t, "working"))
	<-began
	var last string
	for i := range 8 { // more than are fetched ahead
		last = s.later(t, inline(t, fmt.Sprint("waits", i)))
	}
	for location, want := range map[string]string{working: "working", last: "waiting"} {
		var told state
		r := s.do(t, http.MethodGet, location, "", nil)
		if err := json.Unmarshal(r.body, &told); err != nil || r.status != http.StatusAccepted || told.State != want || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", want, r.status, r.body)
		}
		if r := s.do(t, http.MethodGet, location+"/mask", "", nil); r.status != http.StatusConflict || r.code(t) != problem.CodeUnfinished || r.header.Get("Retry-After") == "" {
			t.Errorf("the mask of one that is %s: %d %s", want, r.status, r.body)
		}
	}
	if r := s.do(t, http.MethodDelete, working, "", nil); r.status != http.StatusConflict || r.code(t) != problem.CodeUnfinished {
		t.Errorf("in work: %d %s", r.status, r.body)
	}
	if r := s.do(t, http.MethodDelete, last, "", nil); r.status != http.StatusNoContent {
		t.Errorf("waiting: %d %s", r.status, r.body)
	}
	if r := s.do(t, http.MethodGet, last, "", nil); r.status != http.StatusNotFound {
		t.Errorf("withdrawn: %d %s", r.status, r.body)
	}
	release()
	if result := s.result(t, working); result.Error != nil {
		t.Errorf("in work: %+v", result.Error)
	}
}

func TestWhatIsForgottenIsUnknown(t *testing.T) {
	_, masks, folders := withFolders(t)
	s := start(t, folders, kept(t))
	location := s.later(t, inline(t, "a"))
	result := s.result(t, location)
	if r := s.do(t, http.MethodDelete, location, "", nil); r.status != http.StatusNoContent || len(r.body) > 0 {
		t.Errorf("got %d %s", r.status, r.body)
	}
	for _, path := range []string{"v1/requests/a", "v1/requests/a/mask", "v1/requests/never", "v1/requests/never/mask"} {
		if r := s.do(t, http.MethodGet, path, "", nil); r.status != http.StatusNotFound || r.code(t) != problem.CodeUnknownRequest {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := s.do(t, http.MethodDelete, location, "", nil); r.status != http.StatusNotFound {
		t.Errorf("again: %d %s", r.status, r.body)
	}
	if _, err := os.Stat(result.Mask.Path); err != nil {
		t.Errorf("its file in %s: %v", masks, err)
	}
}

func TestAFileThatWasReplacedIsNotGivenOut(t *testing.T) {
	_, _, folders := withFolders(t)
	s := start(t, folders, kept(t))
	location := s.later(t, inline(t, "a"))
	path := s.result(t, location).Mask.Path
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(original)
	other[len(other)-1]++
	for name, replace := range map[string]func() error{
		"another of the same size": func() error { return os.WriteFile(path, other, 0o600) },
		"a larger one":             func() error { return os.WriteFile(path, append(other, 1), 0o600) },
		"none":                     func() error { return os.Remove(path) },
		"a link":                   func() error { return os.Symlink("/etc/passwd", path) },
		"a folder":                 func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		os.RemoveAll(path)
		if err := errors.Join(os.WriteFile(path, original, 0o600), func() error {
			if name == "a link" {
				return os.Remove(path)
			}
			return nil
		}(), replace()); err != nil {
			t.Fatal(err)
		}
		if r := s.do(t, http.MethodGet, location+"/mask", "", nil); r.status != http.StatusNotFound || r.code(t) != problem.CodeNoOutput {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

func TestWithoutAQueueOnDiskRequestsAreAnsweredAtOnce(t *testing.T) {
	_, _, folders := withFolders(t)
	s := start(t, folders)
	r := s.do(t, http.MethodPost, "v1/requests", "application/json", strings.NewReader(inline(t, "a")), "Prefer", "respond-async")
	if r.status != http.StatusOK || r.header.Get("Preference-Applied") != "" {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

func TestAnImageThatWasOnlyPostedHasNoPlaceAmongRequests(t *testing.T) {
	s := start(t, kept(t))
	r := s.do(t, http.MethodPost, "", "image/png", bytes.NewReader(small(t)), "Accept", "application/json")
	var result request.Result
	if err := json.Unmarshal(r.body, &result); err != nil {
		t.Fatal(err)
	}
	// Its answer waited for no disk: that the work is over is stored soon.
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if r = s.do(t, http.MethodGet, "v1/requests/"+url.PathEscape(result.ID), "", nil); r.status == http.StatusNotFound {
			return
		}
		if r.status != http.StatusAccepted || time.Now().After(end) {
			t.Fatalf("got %d %s", r.status, r.body)
		}
	}
}
