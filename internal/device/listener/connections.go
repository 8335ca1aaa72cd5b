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
// where all wait for us, one of these must be done first. It reports false where the
// socket is closed meanwhile.
func (s *socket) add(c *conn, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.open) >= most && !s.closed {
		slowest := s.slowest()
		if slowest == nil {
			s.freed.Wait()
			continue
		}
		delete(s.open, slowest)
		slowest.Conn.Close()
	}
	if s.closed {
		return false
	}
	s.open[c] = struct{}{}
	return true
}

// slowest is the connection whose client has kept us waiting longest, nil for none.
// mu is held.
func (s *socket) slowest() (slowest *conn) {
	var since int64
	for c := range s.open {
		if waiting := c.since.Load(); waiting > 0 && (slowest == nil || waiting < since) {
			slowest, since = c, waiting
		}
	}
	return slowest
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
	since  atomic.Int64 // when we began to wait for the client, in ns; 0 while it waits for us
}

// waits notes that it is the client's turn.
func (c *conn) waits() { c.since.Store(time.Now().UnixNano()) }

// works notes that it is our turn.
func (c *conn) works() { c.since.Store(0) }

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
