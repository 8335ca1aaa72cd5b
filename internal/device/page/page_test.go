package page_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/device/page"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, a *page.Activity) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	a.Mount(mux.Handle)
	server := httptest.NewServer(mux)
	t.Cleanup(func() { a.Disconnect(); server.Close() })
	return server
}

func get(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestThePageAndAllThatItNamesAreServed(t *testing.T) {
	server := serve(t, new(page.Activity))
	references := regexp.MustCompile(`(?:href|src|from)[= ]"(/page/[^"]+|\./[^"]+)"`)
	total := 0
	seen := map[string]bool{"/": true}
	seen[page.Prefix+"niivue.js"] = true // at length below
	for waiting := []string{"/"}; len(waiting) > 0; waiting = waiting[1:] {
		answer, body := get(t, http.MethodGet, server.URL+waiting[0])
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", waiting[0], answer.Status)
		}
		if answer.Header.Get("Content-Security-Policy") != page.Policy || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s is not protected: %v", waiting[0], answer.Header)
		}
		if strings.Contains(body, "http://") && !strings.HasSuffix(waiting[0], ".svg") || strings.Contains(body, "https://") {
			t.Errorf("%s names another host", waiting[0])
		}
		total += len(body)
		for _, match := range references.FindAllStringSubmatch(body, -1) {
			name := strings.Replace(match[1], "./", page.Prefix, 1)
			if !seen[name] {
				seen[name] = true
				waiting = append(waiting, name)
			}
		}
	}
	embedded, err := filepath.Glob("assets/*")
	if err != nil || len(embedded) != len(seen) {
		t.Errorf("%d files are embedded and %d are used (%v)", len(embedded), len(seen), err)
	}
	viewer, err := os.ReadFile("assets/niivue.js.gz")
	if total += len(viewer); err != nil || total > 1_500_000 {
		t.Errorf("the page has %d bytes in the program (%v)", total, err)
	}
}

func TestThePolicyForbidsWhatIsInline(t *testing.T) {
	content, err := os.ReadFile("assets/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, inline := range []string{`<style`, `style=`, `<script>`, `javascript:`, ` on[a-z]+=`} {
		if regexp.MustCompile(inline).Match(content) {
			t.Errorf("the page has %s", inline)
		}
	}
	if strings.Contains(page.Policy, "unsafe") || !strings.HasPrefix(page.Policy, "default-src 'none'") {
		t.Errorf("the policy is %s", page.Policy)
	}
}

func TestTheViewerOfScansIsTheFileThatWasFetched(t *testing.T) {
	script, err := os.ReadFile("fetch-niivue.sh")
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`script_sha256=([0-9a-f]{64})`).FindSubmatch(script)
	server := serve(t, new(page.Activity))
	for _, accept := range []string{"gzip, deflate, br", "identity", "br", "gzip;q=0"} {
		answer, body := get(t, http.MethodGet, server.URL+"/page/niivue.js", "Accept-Encoding", accept)
		if zipped := accept == "gzip, deflate, br"; zipped != (answer.Header.Get("Content-Encoding") == "gzip") || answer.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", accept, answer.Header)
		} else if zipped {
			plain, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(plain)
			if body = string(content); err != nil {
				t.Fatal(err)
			}
		}
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(body))); len(want) != 2 || got != string(want[1]) {
			t.Errorf("%s: the checksum is %s", accept, got)
		}
	}
}

func TestThePageHasWordsForEveryFlagAndCode(t *testing.T) {
	words, err := os.ReadFile("assets/words.js")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Error struct {
				Properties struct {
					Code struct{ Enum []string }
				}
			}
			Image struct {
				Properties struct {
					Flags struct {
						Items struct{ Enum []string }
					}
				}
			}
			Timings struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(schemas.Result, &schema); err != nil {
		t.Fatal(err)
	}
	p := schema.Properties
	for _, list := range [][]string{p.Error.Properties.Code.Enum, p.Image.Properties.Flags.Items.Enum, slices.Collect(maps.Keys(p.Timings.Properties))} {
		if len(list) == 0 {
			t.Error("the schema has another form")
		}
		for _, name := range list {
			if !regexp.MustCompile(`"?\b` + name + `\b"?: "`).Match(words) {
				t.Errorf("words.js has no words for %s", name)
			}
		}
	}
}

func TestAPageThatABrowserHasIsNotSentAgain(t *testing.T) {
	server := serve(t, new(page.Activity))
	first, _ := get(t, http.MethodGet, server.URL)
	again, body := get(t, http.MethodGet, server.URL, "If-None-Match", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("got %s with %d bytes", again.Status, len(body))
	}
	if head, body := get(t, http.MethodHead, server.URL+"/page/main.js"); head.StatusCode != http.StatusOK || body != "" || !strings.HasPrefix(head.Header.Get("Content-Type"), "text/javascript") {
		t.Errorf("HEAD: got %s, %v", head.Status, head.Header)
	}
	for path, want := range map[string]int{"/page/": http.StatusNotFound, "/page/other.js": http.StatusNotFound, "/index.html": http.StatusNotFound} {
		if answer, _ := get(t, http.MethodGet, server.URL+path); answer.StatusCode != want {
			t.Errorf("%s: got %s", path, answer.Status)
		}
	}
}

// stream is an open stream of events.
type stream struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

func follow(t *testing.T, url string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/page/activity", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %v", answer.Status, answer.Header)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return &stream{answer.Body, bufio.NewScanner(answer.Body)}
}

type told struct {
	State    string
	Model    *request.Model
	Waiting  int
	Progress float64
	Recent   []struct {
		Number       uint64
		Code         string
		Milliseconds *float64
	}
}

// until reads events until one is as wanted.
func (s *stream) until(t *testing.T, wanted func(told) bool) told {
	t.Helper()
	var last told
	for s.lines.Scan() {
		document, isEvent := strings.CutPrefix(s.lines.Text(), "data: ")
		if !isEvent {
			continue
		}
		last = told{}
		if err := json.Unmarshal([]byte(document), &last); err != nil {
			t.Fatal(err)
		}
		if wanted(last) {
			return last
		}
	}
	t.Fatalf("the stream ended (%v) at %+v", s.lines.Err(), last)
	return last
}

func TestActivityCountsWhatWaitsAndTellsOfTheLastAnswers(t *testing.T) {
	var a page.Activity
	server := serve(t, &a)
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	note := func(message string, state request.State, number uint64, code request.Code, after time.Duration) {
		a.Note(request.Status{Message: message, State: state, Request: number, Code: code, Time: began.Add(after), Thing: "secret-thing", Model: &request.Model{Name: "m", Version: "1.0.0"}})
	}
	s := follow(t, server.URL)
	if first := s.until(t, func(told) bool { return true }); first.State != "starting" || first.Waiting != 0 || first.Recent == nil {
		t.Errorf("at first: %+v", first)
	}
	note(request.MessageModelLoaded, request.StateReady, 0, "", 0)
	note(request.MessageImageReceived, request.StateBusy, 1, "", 0)
	note(request.MessageImageReceived, request.StateBusy, 2, "", time.Second)
	note(request.ErrorMessage("the queue is full"), request.StateBusy, 3, request.CodeBusy, time.Second)
	two := s.until(t, func(n told) bool { return n.Waiting == 2 && len(n.Recent) == 1 })
	if two.State != "busy" || two.Model == nil || two.Model.Name != "m" || two.Recent[0].Code != "busy" || two.Recent[0].Milliseconds != nil {
		t.Errorf("while two wait: %+v", two)
	}
	a.Note(request.Status{Message: request.MessageScanInWork, State: request.StateBusy, Request: 1, Progress: 0.25})
	if scan := s.until(t, func(n told) bool { return n.Progress > 0 }); scan.Progress != 0.25 || scan.Waiting != 2 {
		t.Errorf("while a scan is in work: %+v", scan)
	}
	note(request.MessageImageProcessed, request.StateBusy, 1, "", 1500*time.Millisecond)
	note(request.ErrorMessage("x"), request.StateReady, 2, request.CodeInternal, 2*time.Second)
	done := s.until(t, func(n told) bool { return n.Waiting == 0 })
	if done.State != "ready" || done.Progress != 0 || len(done.Recent) != 3 || done.Recent[0].Number != 2 || done.Recent[0].Code != "internal" || *done.Recent[1].Milliseconds != 1500 {
		t.Errorf("at the end: %+v", done)
	}
	for i := range uint64(100) {
		note(request.MessageImageReceived, request.StateBusy, 10+i, "", 0)
		note(request.MessageImageProcessed, request.StateReady, 10+i, "", 0)
	}
	if last := s.until(t, func(n told) bool { return n.Recent[0].Number == 109 }); len(last.Recent) != 10 {
		t.Errorf("%d answers are told", len(last.Recent))
	}
	s.body.Close()
}

func TestStreamsEndWhenTheServerSaysSoAndPagesConnectAgain(t *testing.T) {
	var a page.Activity
	server := serve(t, &a)
	for range 2 {
		s := follow(t, server.URL)
		s.until(t, func(told) bool { return true })
		a.Disconnect()
		for s.lines.Scan() {
		}
		if err := s.lines.Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestStreamsAreBoundedAndAPlaceIsFreeAgainOnceItsPageIsGone(t *testing.T) {
	var a page.Activity
	var open atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		open.Add(1)
		defer open.Add(-1)
		a.ServeHTTP(w, r)
	}))
	defer server.Close()
	defer a.Disconnect()
	var streams []*stream
	for range 32 {
		s := follow(t, server.URL)
		s.until(t, func(told) bool { return true })
		streams = append(streams, s)
	}
	if answer, body := get(t, http.MethodGet, server.URL+"/page/activity"); answer.StatusCode != http.StatusTooManyRequests || answer.Header.Get("Retry-After") == "" || !strings.Contains(body, `"code":"busy"`) {
		t.Errorf("the 33rd: got %s, %s", answer.Status, body)
	}
	streams[0].body.Close()
	for end := time.Now().Add(time.Minute); open.Load() == 32 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	follow(t, server.URL).until(t, func(told) bool { return true })
}
