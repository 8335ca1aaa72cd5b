package dicomservice

import (
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// port is an open port that one node after the other listens on: who calls in
// between waits.
type port struct{ listener *net.TCPListener }

func openPort(address string) (*port, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the DICOM port: %w", err)
	}
	return &port{l.(*net.TCPListener)}, nil
}

func (p *port) close() { p.listener.Close() }

// hold has those who call wait until the port is lent again.
func (p *port) hold() { _ = p.listener.SetDeadline(time.Unix(1, 0)) }

// lend gives the port to a node, until that closes what it got.
func (p *port) lend() net.Listener {
	_ = p.listener.SetDeadline(time.Time{})
	return &lent{TCPListener: p.listener}
}

// lent is a port that stays open when it is closed.
type lent struct {
	*net.TCPListener
	closed atomic.Bool
}

func (l *lent) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err != nil && l.closed.Load() {
		return nil, net.ErrClosed
	}
	return c, err
}

// Close ends Accept. Only the first one counts, for the next node has the port
// then.
func (l *lent) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	return l.SetDeadline(time.Unix(1, 0))
}
