package ipcserver

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc/frame"
)

func TestAClientThatOnlyWritesIsHeldBack(t *testing.T) {
	s, err := New(Options{
		Profile: Lite, Limits: Lite.Limits(), Components: []string{"com.example.A"}, Logger: zap.NewNop(), Ended: func(Stream) {},
		Perform: func(stream Stream, f *frame.Frame) { stream.Send(&frame.Frame{Payload: f.Payload}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := net.Dial("unix", s.SocketPath())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	write := func(f *frame.Frame) error {
		b, err := frame.Encode(nil, f, 0)
		if err == nil {
			conn.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
			_, err = conn.Write(b)
		}
		return err
	}
	err = write(&frame.Frame{Type: frame.Connect, Payload: []byte(`{"authToken":"` + s.Token("com.example.A") + `"}`)})
	for err == nil {
		err = write(&frame.Frame{StreamID: 1, Payload: make([]byte, 1000)})
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.queued == 0 || c.queued > s.o.Limits.Queue+s.o.Limits.FrameOut {
			t.Errorf("%d bytes wait for the client", c.queued)
		}
	}
}
