package dicomservice

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// port is an open port that one node after the other listens on: who calls in
// between waits.
type port struct {
	listener *net.TCPListener

	mu     sync.Mutex
	holder *lent      // who may accept, nil for nobody; guarded by mu
	early  []net.Conn // accepted by one who might not any more; guarded by mu
	closed bool       // guarded by mu
}

func openPort(address string) (*port, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the DICOM port: %w", err)
	}
	return &port{listener: l.(*net.TCPListener)}, nil
}

func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener.Close()
	p.closed, p.holder = true, nil
	for _, c := range p.early {
		c.Close()
	}
	p.early = nil
}

// hold has those who call wait until the port is lent again.
func (p *port) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(nil)
}

// lend gives the port to a node, until that closes what it got. A node whose context
// has ended gets nothing by it.
func (p *port) lend(ctx context.Context) net.Listener {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := &lent{TCPListener: p.listener, port: p}
	if ctx.Err() == nil {
		p.take(l)
	}
	return l
}

// take makes somebody the one who accepts. mu is held.
func (p *port) take(l *lent) {
	p.holder = l
	deadline := time.Time{}
	if l == nil {
		deadline = time.Unix(1, 0)
	}
	_ = p.listener.SetDeadline(deadline)
}

// lent is a port that stays open when it is closed.
type lent struct {
	*net.TCPListener
	port *port
}

// Accept leaves a call to the next node that came just when the port was taken away.
func (l *lent) Accept() (net.Conn, error) {
	p := l.port
	p.mu.Lock()
	if p.holder == l && len(p.early) > 0 {
		defer p.mu.Unlock()
		c := p.early[0]
		p.early = p.early[1:]
		return c, nil
	}
	mine := p.holder == l
	p.mu.Unlock()
	if !mine {
		return nil, net.ErrClosed
	}
	c, err := l.TCPListener.Accept()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.holder == l:
		return c, err
	case err == nil && p.closed:
		c.Close()
	case err == nil:
		p.early = append(p.early, c)
	}
	return nil, net.ErrClosed
}

// Close ends Accept. It does nothing once the next node has the port.
func (l *lent) Close() error {
	l.port.mu.Lock()
	defer l.port.mu.Unlock()
	if l.port.holder == l {
		l.port.take(nil)
	}
	return nil
}
