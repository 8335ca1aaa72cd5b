package listener

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/problem"
	"github.com/brainseg/brainseg/internal/device/request"
)

var origins = http.NewCrossOriginProtection()

// serve lets a request through to the handler, or refuses it.
func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(connKey{}).(*conn)
	rules := l.rules.Load()
	from := l.clients.of(r.RemoteAddr, rules)
	defer c.waits() // after what is left of the body is taken
	if r.Body == http.NoBody {
		c.works()
	} else {
		b := &body{ReadCloser: r.Body, ctx: r.Context(), conn: c, client: from}
		r.Body = b
		defer b.finish(r.Header.Get("Expect") != "")
	}
	defer func() {
		if fault := recover(); fault != nil && fault != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			l.logger.Error("a request failed by a fault of the component", zap.ByteString("stack", debug.Stack()))
			panic(http.ErrAbortHandler)
		} else if fault != nil {
			panic(fault)
		}
	}()
	if refusal := l.refusal(r, rules, from, c); refusal != nil {
		if refusal.Code == problem.CodeUnauthorised {
			w.Header().Add("WWW-Authenticate", `Basic realm="brainseg", charset="UTF-8"`)
			w.Header().Add("WWW-Authenticate", `Bearer realm="brainseg"`)
		}
		if refusal.Code == request.CodeStopping {
			w.Header().Set("Connection", "close")
		}
		problem.Write(w, refusal)
		return
	}
	l.handler.ServeHTTP(w, r)
	c.proven.Store(true)
}

// refusal says why a request is not let through, nil where it is.
func (l *Listener) refusal(r *http.Request, rules *rules, from *client, c *conn) *request.Error {
	switch {
	case c.socket.retired.Load(), c.tls != rules.tls:
		return problem.New(request.CodeStopping, "the configuration has changed, connect again")
	case !from.requests.Allow():
		return problem.New(request.CodeBusy, "you send more requests a second than are allowed, try again later")
	case !rules.knows(r.Host):
		return problem.New(problem.CodeForbidden, "the Host header names another host; http.hosts is the list of names")
	case origins.Check(r) != nil:
		return problem.New(problem.CodeForbidden, "pages of other origins are not served")
	case !rules.admits(r):
		return problem.New(problem.CodeUnauthorised, "a token is needed: Authorization: Bearer, or as the password of Basic")
	}
	return nil
}

// Bounds of a body, from the first read of it on.
const (
	patience = 10 * time.Second // for it to begin, and for all that is slow
	slowest  = 16 << 10         // bytes a second that it must come with beyond that
)

// body is the body of a request, which must move on and not too fast.
type body struct {
	io.ReadCloser
	ctx    context.Context
	conn   *conn
	client *client
	begun  bool
	left   time.Duration // that reads may still take
	ended  bool
}

func (b *body) Read(p []byte) (int, error) {
	p = p[:min(len(p), step)]
	if !b.begun {
		b.begun, b.left = true, patience
	}
	// What the handler does between two reads is not the client's time.
	start := time.Now()
	if err := b.conn.SetReadDeadline(start.Add(b.left)); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	b.left += time.Duration(n)*time.Second/slowest - time.Since(start)
	if n > 0 {
		b.client.pause(b.ctx, n)
	}
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		b.conn.works()
		// Whoever waits for an answer may be silent for as long as that takes.
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// finish takes what nobody wanted of the body: a client that is cut off while it
// sends may never see why. One that expects to be asked for it has sent nothing.
func (b *body) finish(asks bool) {
	if b.ended {
		return
	}
	b.begun, b.left = true, leftoverFor
	if !asks {
		_, _ = io.CopyN(io.Discard, b, leftover)
	}
	if !b.ended { // the server reads on for a while
		_ = b.conn.SetReadDeadline(time.Now().Add(leftoverFor))
	}
}
