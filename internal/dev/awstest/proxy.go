package awstest

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Fault is what a Proxy does to the bodies of the answers that pass through it.
// The zero value lets everything pass.
type Fault struct {
	// CutAfter is the number of bytes, all connections together, after which
	// every connection is cut and no other is served; 0 for never.
	CutAfter int64
	// FlipAt is the number, counted from 1, of the byte that is passed on wrong;
	// 0 for none.
	FlipAt int64
	// FlipEvery makes every byte of which the number is a multiple of it wrong;
	// 0 for none.
	FlipEvery int64
	// Pause comes after each 16 KiB of a body.
	Pause time.Duration
	// StallAfter is the number of bytes after which nothing more comes, while
	// the connections stay open; 0 for never.
	StallAfter int64
}

// Proxy stands before a server, disturbs what passes, and counts it.
type Proxy struct {
	// URL is the proxy's own.
	URL string

	mu       sync.Mutex
	fault    Fault          // guarded by mu
	passed   int64          // bytes of bodies since the last Set; guarded by mu
	requests map[string]int // by method, since the last Set; guarded by mu
	down     bool           // guarded by mu
}

// NewProxy starts a proxy before the server at target.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{requests: make(map[string]int)}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ModifyResponse: func(r *http.Response) error {
			r.Body = &disturbed{ReadCloser: r.Body, ctx: r.Request.Context(), proxy: p}
			return nil
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the faults are meant
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.admit(r.Method) {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Set changes what the proxy does, brings it up again after a cut, and starts
// the counts anew.
func (p *Proxy) Set(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.passed, p.down = fault, 0, false
	clear(p.requests)
}

// Passed returns how many bytes of bodies have passed since the last Set.
func (p *Proxy) Passed() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed
}

// Requests returns how many requests of a method came since the last Set.
func (p *Proxy) Requests(method string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[method]
}

func (p *Proxy) admit(method string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[method]++
	return !p.down
}

// pass decides on the next bytes of a body: how many of them go on, and whether
// the connection is cut or stalls after them.
func (p *Proxy) pass(b []byte) (n int, cut, stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return 0, true, false
	}
	n = len(b)
	if limit := p.fault.CutAfter; limit > 0 && p.passed+int64(n) >= limit {
		n, cut, p.down = int(limit-p.passed), true, true
	}
	if limit := p.fault.StallAfter; limit > 0 && p.passed+int64(n) >= limit {
		n, stall = int(max(limit-p.passed, 0)), true
	}
	if at := p.fault.FlipAt; at > p.passed && at <= p.passed+int64(n) {
		b[at-p.passed-1] ^= 0x10
	}
	if every := p.fault.FlipEvery; every > 0 {
		for i := (every - (p.passed+1)%every) % every; i < int64(n); i += every {
			b[i] ^= 0x10
		}
	}
	p.passed += int64(n)
	return n, cut, stall
}

func (p *Proxy) pause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault.Pause
}

// disturbed is the body of an answer on its way.
type disturbed struct {
	io.ReadCloser
	ctx   context.Context
	proxy *Proxy
}

func (d *disturbed) Read(b []byte) (int, error) {
	if len(b) > 16<<10 {
		b = b[:16<<10]
	}
	if pause := d.proxy.pause(); pause > 0 {
		time.Sleep(pause)
	}
	n, err := d.ReadCloser.Read(b)
	n, cut, stall := d.proxy.pass(b[:n])
	switch {
	case cut:
		return n, io.ErrUnexpectedEOF
	case stall && n == 0:
		<-d.ctx.Done() // until the client gives up
		return 0, d.ctx.Err()
	case stall:
		return n, nil
	}
	return n, err
}
