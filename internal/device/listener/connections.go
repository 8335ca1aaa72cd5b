package listener

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// socket is a net.Listener that has only so many connections open.
type socket struct {
	net.Listener
	rules func() *rules
	// retired is set where another address is listened on now: the rules in effect
	// are not for this one.
	retired atomic.Bool

	mu     sync.Mutex
	freed  *sync.Cond         // on mu: a connection is closed, or the socket
	open   map[*conn]struct{} // guarded by mu
	closed bool               // guarded by mu
}

func newSocket(l net.Listener, rules func() *rules) *socket {
	s := &socket{Listener: l, rules: rules, open: make(map[*conn]struct{})}
	s.freed = sync.NewCond(&s.mu)
	return s
}

// Accept returns a connection, under TLS where the rules in effect say so.
func (s *socket) Accept() (net.Conn, error) {
	accepted, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	rules := s.rules()
	c := &conn{Conn: accepted, socket: s, tls: rules.tls}
	c.waits()
	if !s.add(c, rules.connections) {
		accepted.Close()
		return nil, net.ErrClosed
	}
	if rules.tls != nil {
		return tls.Server(c, rules.tls), nil
	}
	return c, nil
}

// add makes room for a connection: another one that waits for its client goes, and
// where all wait for us, or have not waited long, one of these must be done first. It
// reports false where the socket is closed meanwhile.
func (s *socket) add(c *conn, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.open) >= most && !s.closed {
		slowest, waited := s.slowest()
		switch {
		case slowest == nil:
			s.freed.Wait()
		case waited < grace:
			timer := time.AfterFunc(grace-waited, s.freed.Broadcast)
			s.freed.Wait()
			timer.Stop()
		default:
			delete(s.open, slowest)
			slowest.Conn.Close()
		}
	}
	if s.closed {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

const (
	grace     = 100 * time.Millisecond // that every client has, whoever comes
	goodSpeed = 64 << 10               // bytes a second of a client that does not keep us waiting
)

// slowest is the connection whose client has kept us waiting longest, and for how
// long; nil for none. Those that have brought a whole request before go last.
// mu is held.
func (s *socket) slowest() (slowest *conn, waited time.Duration) {
	now := passed()
	for c := range s.open {
		since := c.since.Load()
		if since == 0 {
			continue
		}
		worse := slowest == nil || slowest.proven.Load() && !c.proven.Load()
		if same := slowest != nil && slowest.proven.Load() == c.proven.Load(); worse || same && time.Duration(now-since) > waited {
			slowest, waited = c, time.Duration(now-since)
		}
	}
	return slowest, waited
}

// Close closes the socket; its connections go on. A second call does nothing.
func (s *socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.freed.Broadcast()
	return s.Listener.Close()
}

func (s *socket) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.freed.Signal()
}

// conn is a connection that knows who waits for whom.
type conn struct {
	net.Conn
	socket *socket
	tls    *tls.Config  // of the rules that it came under; nil for none
	since  atomic.Int64 // when we began to wait for the client, see passed; 0 while it waits for us
	proven atomic.Bool  // has brought a whole request
}

// began is when the process did.
var began = time.Now()

// passed is the time since then in ns, at least 1. Unlike the time of day nobody sets it.
func passed() int64 { return max(1, int64(time.Since(began))) }

// waits notes that it is the client's turn.
func (c *conn) waits() { c.since.Store(passed()) }

// works notes that it is our turn.
func (c *conn) works() { c.since.Store(0) }

// Read notes that the client moves on: with a good speed it does not keep us waiting.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if since := c.since.Load(); n > 0 && since > 0 {
		c.since.CompareAndSwap(since, min(passed(), since+int64(n)*int64(time.Second)/goodSpeed))
	}
	return n, err
}

// Write gives the client a while to take what is written.
func (c *conn) Write(b []byte) (int, error) {
	if c.since.Load() == 0 {
		c.waits()
		defer c.works()
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.socket.remove(c)
	return c.Conn.Close()
}
