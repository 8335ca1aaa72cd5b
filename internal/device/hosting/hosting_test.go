package hosting

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	root   = "../../.."
	inputs = root + "/internal/volume/testdata/scans/inputs/"
	slice  = root + "/artifacts/model/selftest.png"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// container is a running service.
type container struct {
	url   string
	stop  context.CancelFunc
	ended chan error
}

// start runs the service with the shipped model until the test ends, and returns
// once it listens.
func start(t *testing.T, change ...func(*Options)) *container {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	listening := make(chan string, 1)
	o := Options{
		Address: "127.0.0.1:0", Model: filepath.Join(root, "artifacts", "model"),
		Library:   filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
		Listening: func(a string) { listening <- a },
	}
	for _, c := range change {
		c(&o)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &container{stop: stop, ended: make(chan error, 1)}
	go func() { c.ended <- Run(ctx, o) }()
	select {
	case a := <-listening:
		c.url = "http://" + a
	case err := <-c.ended:
		t.Fatalf("it ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it does not listen")
	}
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
		if err := <-c.ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		c.ended <- nil
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("left on disk: %v, %v", left, err)
		}
	})
	return c
}

// ready waits until the service would send requests.
func (c *container) ready(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if status, _, _ := c.call(t, http.MethodGet, "/ping", nil); status == http.StatusOK {
			return
		}
	}
	t.Fatal("/ping is not answered 200")
}

// call returns status, type and content of an answer. headers are names and values.
func (c *container) call(t *testing.T, method, path string, body io.Reader, headers ...string) (int, string, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), string(content)
}

func (c *container) invoke(t *testing.T, body, contentType, accept string) (int, string, string) {
	t.Helper()
	headers := []string{}
	if contentType != "" {
		headers = append(headers, "Content-Type", contentType)
	}
	if accept != "" {
		headers = append(headers, "Accept", accept)
	}
	return c.call(t, http.MethodPost, "/invocations", strings.NewReader(body), headers...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestATransformJobIsToldHowToCall(t *testing.T) {
	c := start(t, func(o *Options) { o.Configuration = `{"service": {"workers": "3"}}` })
	c.ready(t)
	status, _, answer := c.call(t, http.MethodGet, "/execution-parameters", nil)
	want := `{"BatchStrategy":"MULTI_RECORD","MaxConcurrentTransforms":4,"MaxPayloadInMB":25}` + "\n"
	if status != http.StatusOK || answer != want {
		t.Errorf("%d %s, want %s", status, answer, want)
	}
}

func TestWhatWasTakenIsAnsweredBeforeTheContainerStops(t *testing.T) {
	c := start(t)
	c.ready(t)
	content := read(t, slice)
	reader, writer := io.Pipe()
	answered := make(chan error, 1)
	taken := c.begin(t, reader, "image/png", answered)
	<-taken
	if _, err := io.WriteString(writer, content[:100]); err != nil {
		t.Fatal(err)
	}
	c.stop()
	c.refusing(t)
	io.WriteString(writer, content[100:])
	writer.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestWhatTakesTooLongIsAnsweredAsStopped(t *testing.T) {
	c := start(t, func(o *Options) { o.Drain = 50 * time.Millisecond })
	c.ready(t)
	reader, writer := io.Pipe()
	defer writer.Close()
	answered := make(chan error, 1)
	<-c.begin(t, reader, "application/gzip", answered)
	if _, err := io.WriteString(writer, "never whole"); err != nil {
		t.Fatal(err)
	}
	c.stop()
	select {
	case err := <-c.ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
		c.ended <- nil
	case <-time.After(25 * time.Second):
		t.Fatal("a client that sends nothing keeps it from ending")
	}
	writer.Close()
	<-answered
}

// begin posts a body that is asked for: what it returns is closed once the handler
// reads it. answered gets nil for an answer of 200.
func (c *container) begin(t *testing.T, body io.Reader, contentType string, answered chan<- error) (taken chan struct{}) {
	t.Helper()
	taken = make(chan struct{})
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(taken) }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/invocations", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Expect", "100-continue")
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				err = errors.New(answer.Status)
			}
		}
		answered <- err
	}()
	return taken
}

// refusing waits until no new connection is taken.
func (c *container) refusing(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		connection, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
		if err != nil {
			return
		}
		connection.Close()
	}
	t.Fatal("connections are still taken")
}

func TestOutsideAContainerPagesAndOtherMachinesAreKeptOut(t *testing.T) {
	c := start(t)
	c.ready(t)
	picture := read(t, slice)
	if status, _, answer := c.call(t, http.MethodPost, "/invocations", strings.NewReader(picture), "Origin", "https://example.com"); status != http.StatusForbidden {
		t.Errorf("a page of another origin: %d %s", status, answer)
	}
	if status, kind, _ := c.call(t, http.MethodPost, "/", strings.NewReader(picture), "Content-Type", "image/png"); status != http.StatusOK || kind != "image/png" {
		t.Errorf("the service over HTTP: %d %s", status, kind)
	}
	if status, kind, _ := c.call(t, http.MethodGet, "/", nil, "Accept", "text/html"); status != http.StatusOK || !strings.HasPrefix(kind, "text/html") {
		t.Errorf("the page: %d %s", status, kind)
	}
	err := Run(t.Context(), Options{Address: "0.0.0.0:0", Model: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "http.tokenFile") {
		t.Errorf("other machines: %v", err)
	}
}

func TestAConfigurationThatCannotBeUsedIsSaid(t *testing.T) {
	for document, want := range map[string]string{
		"[]": "not a JSON object", "null": "not a JSON object",
		`{"service": {"workers": 0}}`:         "service.workers is 0",
		`{"http": {"address": "0.0.0.0:99"}}`: "only loopback addresses are allowed",
	} {
		if err := Run(t.Context(), Options{Configuration: document}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", document, err, want)
		}
	}
}
