package httpapi

import (
	"bytes"
	"context"
	"errors"
	"image"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/engine"
	"github.com/brainseg/brainseg/internal/device/request"
)

func TestTheListenerOutlivesConfigurations(t *testing.T) {
	e := start(t)
	picture := encode(t, image.NewGray(image.Rect(0, 0, 2, 2)))
	stop := make(chan struct{})
	var asking sync.WaitGroup
	var asked atomic.Int32
	for range 2 {
		asking.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // a connection each
			for {
				select {
				case <-stop:
					return
				default:
				}
				contentType, body := form(t, Field, picture)
				answer, err := client.Post(e.url, contentType, body)
				if err != nil {
					t.Error(err)
					return
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					t.Errorf("got %s", answer.Status)
				}
				asked.Add(1)
			}
		})
	}
	for i := range 20 {
		next := e.engine.Config()
		next.Service.Workers, next.Service.Queue, next.Log.Level = 1+i%2, 64+i, zap.DebugLevel
		next.Images.MaxBytes = 1<<20 + int64(i)
		next.Images.MaxPixels = 4096 + int64(i%5)
		if err := e.engine.Apply(t.Context(), next); err != nil {
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
	e := start(t)
	contentType, body := form(t, Field, encode(t, image.NewGray(image.Rect(0, 0, 2, 2))))
	half := body.Len() / 2
	first, second := body.Bytes()[:half], body.Bytes()[half:]
	from, to := io.Pipe()
	answers := make(chan *http.Response, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, from)
		if err != nil {
			t.Error(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Expect", "100-continue") // the body goes when the server asks for it
		answer, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute, DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}()
	to.Write(first)
	before := e.Addr()
	next := e.engine.Config()
	next.HTTP.Address = freeAddress(t)
	if err := e.engine.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if e.Addr() != next.HTTP.Address {
		t.Errorf("listening on %s, want %s", e.Addr(), next.HTTP.Address)
	}
	if _, err := net.Dial("tcp", before); err == nil {
		t.Error("the old address is still listened on")
	}
	to.Write(second)
	to.Close()
	if answer := <-answers; answer != nil {
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("got %s", answer.Status)
		}
	}
	next.HTTP.Address = ""
	if err := e.engine.Apply(t.Context(), next); err != nil || e.Addr() != "" {
		t.Errorf("switched off: %v, listening on %q", err, e.Addr())
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
	e := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := e.engine.Config()
	next.HTTP.Address = l.Addr().String()
	var part *engine.PartError
	if err := e.engine.Apply(t.Context(), next); !errors.As(err, &part) || part.Part != PartHTTP || strings.Contains(part.Summary, "127") {
		t.Errorf("got %v", err)
	}
	contentType, body := form(t, Field, encode(t, image.NewGray(image.Rect(0, 0, 2, 2))))
	if status, _, _ := e.do(t, http.MethodPost, "", contentType, body); status != http.StatusOK {
		t.Errorf("the old address answers %d", status)
	}
}

func TestAnotherHostsNameIsRefused(t *testing.T) {
	e := start(t)
	_, port, _ := net.SplitHostPort(e.Addr())
	for host, want := range map[string]int{
		"evil.example": http.StatusForbidden, "evil.example:" + port: http.StatusForbidden, "192.168.1.5": http.StatusForbidden,
		"localhost.evil.example": http.StatusForbidden, "127.0.0.1.evil.example": http.StatusForbidden, "[fe80::1]": http.StatusForbidden,
		"localhost": http.StatusOK, "LOCALHOST:" + port: http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:" + port: http.StatusOK,
	} {
		contentType, body := form(t, Field, encode(t, image.NewGray(image.Rect(0, 0, 2, 2))))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		r.Header.Set("Content-Type", contentType)
		answer, err := e.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("Host %s: got %d, want %d", host, answer.StatusCode, want)
		}
	}
}

func TestUploadsAreBoundedInBytesAndNotOnlyInNumber(t *testing.T) {
	const size = 1 << 20
	e := start(t, func(c *config.Config) { c.Images.TotalBytes, c.Images.MaxBytes = 4*size, size })
	hold, started := make(chan struct{}), make(chan struct{})
	e.engine.Submit(context.Background(), engine.Requester{Way: engine.WayIPC},
		request.Request{ID: "stuck", Image: request.Image{Inline: encode(t, image.NewGray(image.Rect(0, 0, 2, 2)))}, Output: request.Output{Discard: true}},
		func(engine.Outcome) { close(started); <-hold })
	<-started
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 40
	statuses := make(chan int, n)
	for range n {
		go func() {
			contentType, body := form(t, Field, make([]byte, size-1024))
			answer, err := e.client.Post(e.url, contentType, body)
			if err != nil {
				t.Error(err)
				statuses <- 0
				return
			}
			answer.Body.Close()
			statuses <- answer.StatusCode
		}()
	}
	// Three or four are let in; the others are told, while these still wait.
	for range n - 4 {
		if status := <-statuses; status != http.StatusServiceUnavailable {
			t.Errorf("got %d, want busy", status)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16*size { // ours and the test's own bodies
		t.Errorf("%d bytes are held", grown)
	}
	close(hold)
	for range 4 {
		if status := <-statuses; status != http.StatusUnprocessableEntity && status != http.StatusServiceUnavailable { // no picture
			t.Errorf("got %d", status)
		}
	}
	if contentType, body := form(t, Field, bytes.Repeat([]byte("x"), size-1024)); true {
		if status, _, _ := e.do(t, http.MethodPost, "", contentType, body); status != http.StatusUnprocessableEntity {
			t.Errorf("afterwards: got %d", status)
		}
	}
}
