package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/request"
)

var soak = flag.Duration("soak", 0, "how long the component works at full load; 0 for not at all")

// load keeps a component as busy as it can be.
type load struct {
	t        *testing.T
	url      string
	slice    []byte
	answered atomic.Int64
}

// post sends one request after the other over HTTP: images, and documents whose
// mask replaces the one before.
func (l *load) post(ctx context.Context, name string) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; ctx.Err() == nil; n++ {
		path, kind, body := "", "image/png", l.slice
		if n%4 == 3 {
			path, kind, body = "v1/requests", "application/json", l.document(name, n)
		}
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(body))
		if err != nil {
			l.t.Error(err)
			return
		}
		q.Header.Set("Content-Type", kind)
		answer, err := client.Do(q)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			l.t.Error(err)
			return
		}
		content, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if ctx.Err() == nil && (err != nil || answer.StatusCode != http.StatusOK) {
			l.t.Errorf("answered %d: %.200s, %v", answer.StatusCode, content, err)
			return
		}
		l.answered.Add(1)
	}
}

// ask sends one request after the other over IPC.
func (l *load) ask(ctx context.Context, client *ggipc.Client, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d", name, n)
		answer, err := client.Ask(ctx, ggipc.AskRequest{
			Topic: "inference/brain_segmentation/request", ReplyTopic: "inference/brain_segmentation/result", Message: l.document(name, n),
			Classify: func(b []byte) ggipc.Reply {
				r, err := request.ParseResult(b)
				switch {
				case err != nil || r.ID != id:
					return ggipc.ReplyNone
				case r.Status == request.StatusAccepted:
					return ggipc.ReplyAccepted
				}
				return ggipc.ReplyAnswer
			},
		})
		if ctx.Err() != nil {
			return
		}
		if r, wrong := request.ParseResult(answer); err != nil || wrong != nil || r.Error != nil {
			l.t.Errorf("%s: %s, %v", id, answer, err)
			return
		}
		l.answered.Add(1)
	}
}

func (l *load) document(name string, n int) []byte {
	image := `{"path":"slice.png"}`
	if n%2 == 0 {
		image = fmt.Sprintf(`{"base64":%q}`, base64.StdEncoding.EncodeToString(l.slice))
	}
	return fmt.Appendf(nil, `{"id":"%s-%d","image":%s,"output":{"to":"%s.png","overwrite":true,"overlay":%v},"acknowledge":true}`, name, n, image, name, n%8 == 0)
}

// sample is what a process has at some time.
type sample struct{ memory, goroutines, descriptors float64 }

func (l *load) sample(pid int) (s sample, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return s, err
	}
	_, resident, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(resident, &s.memory); err != nil {
		return s, fmt.Errorf("read VmRSS: %w", err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return s, err
	}
	s.descriptors = float64(len(open))
	answer, err := http.Get(l.url + "metrics")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil {
		return s, err
	}
	_, goroutines, _ := strings.Cut(string(metrics), "\ngo_goroutines ")
	goroutines, _, _ = strings.Cut(goroutines, "\n")
	s.goroutines, err = strconv.ParseFloat(goroutines, 64)
	return s, err
}

// mean is that of a quarter, the first of which is 0.
func mean(samples []sample, quarter int) (m sample) {
	of := samples[len(samples)*quarter/4 : len(samples)*(quarter+1)/4]
	for _, s := range of {
		m.memory += s.memory / float64(len(of))
		m.goroutines += s.goroutines / float64(len(of))
		m.descriptors += s.descriptors / float64(len(of))
	}
	return m
}

func TestTheComponentStaysAsItIsHoweverLongItWorks(t *testing.T) {
	if *soak == 0 {
		t.Skip("make soak runs it: nothing is seen in seconds")
	}
	// Where each answer that is kept is to be found is in memory, which by default grows
	// until there are 100,000, by 8 MB; here the bound is reached in the first minute.
	n, url, slice := servedNucleus(t, map[string]any{"ipc": map[string]any{"maxFrameBytes": 1 << 20}, "queue": map[string]any{"answerBytes": 1 << 20}})
	p := startProgram(t, n, shippedProgram(t))
	l := &load{t: t, url: url, slice: slice}
	if err := os.WriteFile(filepath.Join(p.Dir, "images", "slice.png"), l.slice, 0o640); err != nil {
		t.Fatal(err)
	}
	client, err := ggipc.Connect(t.Context(), ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(clientName), MaxFrame: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	go func() { // nobody else reads the results of this one
		for range p.results {
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	var loads sync.WaitGroup
	for i := range 3 {
		loads.Go(func() { l.post(ctx, fmt.Sprint("http", i)) })
		loads.Go(func() { l.ask(ctx, client, fmt.Sprint("ipc", i)) })
	}
	var samples []sample
	every := time.NewTicker(max(time.Second/2, *soak/1000))
	defer every.Stop()
	for end := time.Now().Add(*soak); time.Now().Before(end) && !t.Failed(); <-every.C {
		s, err := l.sample(p.Process.Pid)
		if err != nil {
			t.Error(err)
			break
		}
		samples = append(samples, s)
	}
	cancel()
	loads.Wait()
	for quarter := range 4 {
		m := mean(samples, quarter)
		t.Logf("quarter %d: %.1f MB, %.1f goroutines, %.1f descriptors", quarter+1, m.memory/1024, m.goroutines, m.descriptors)
	}
	second, last := mean(samples, 1), mean(samples, 3)
	t.Logf("%d requests in %v, %.1f a second; memory in the last quarter %.3f times that in the second",
		l.answered.Load(), *soak, float64(l.answered.Load())/soak.Seconds(), last.memory/second.memory)
	if last.memory > 1.05*second.memory {
		t.Error("memory grows")
	}
	// Some come and go with requests and connections.
	if last.goroutines > 1.05*second.goroutines+2 || last.descriptors > 1.05*second.descriptors+2 {
		t.Error("goroutines or descriptors grow")
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if code := p.end(t); code != command.ExitOK {
		t.Errorf("exit code %d\n%s", code, p.log.String())
	}
}
