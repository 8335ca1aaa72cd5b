package dicomservice

import (
	"context"
	"errors"
	"net"
	"testing"
)

func TestACallThatComesWhileThePortIsTakenAwayIsTheNextNodes(t *testing.T) {
	p, err := openPort("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	is := func(l net.Listener, call net.Conn) {
		t.Helper()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if c.RemoteAddr().String() != call.LocalAddr().String() {
			t.Errorf("a call from %s is taken for one from %s", call.LocalAddr(), c.RemoteAddr())
		}
	}
	ended := func(l net.Listener) {
		t.Helper()
		if c, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a node that has ended gets %v, %v", c, err)
		}
	}
	// Whether Accept has looked at its deadline when the port is taken away is chance.
	for range 200 {
		before := p.lend(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); ended(before) }()
		p.hold()
		call := dial()
		<-over
		is(p.lend(t.Context()), call)
	}
	before := p.lend(t.Context())
	p.hold()
	call := dial()
	late, cancel := context.WithCancel(t.Context())
	cancel()
	ended(p.lend(late))
	next := p.lend(t.Context())
	before.Close() // is late
	ended(before)
	is(next, call)
	next.Close()
	ended(next)
}
