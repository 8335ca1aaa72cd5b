package ggipc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/ggipc/frame"
)

// server is the other side of a connection, as far as a test needs one: it
// accepts every token but "refused", answers every operation, and hands what it
// reads to the test.
type server struct {
	t      *testing.T
	path   string
	listen net.Listener
	frames chan *frame.Frame // operations, terminations and ping answers
	refuse atomic.Bool
	silent atomic.Bool // do not answer operations

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
	wg    sync.WaitGroup
}

func newServer(t *testing.T) *server {
	l, path := listen(t)
	s := &server{t: t, path: path, listen: l, frames: make(chan *frame.Frame, 1000)}
	s.wg.Go(s.accept)
	t.Cleanup(func() { l.Close(); s.drop(); s.wg.Wait() })
	return s
}

func (s *server) accept() {
	for {
		nc, err := s.listen.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, nc)
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(nc) })
	}
}

func (s *server) serve(nc net.Conn) {
	defer nc.Close()
	r := frame.NewReader(nc, 0)
	if _, err := r.Read(); err != nil {
		return
	}
	if s.refuse.Load() {
		return
	}
	s.send(nc, &frame.Frame{Type: frame.ConnectAck, Flags: frame.ConnectionAccepted})
	last := int32(0)
	for {
		f, err := r.Read()
		if err != nil {
			return
		}
		if len(f.Foreign) > 0 {
			s.t.Errorf("frame has headers that a nucleus does not take: %v", f.Foreign)
		}
		s.frames <- f
		operation := f.Headers[frame.HeaderOperation]
		if operation == "" {
			continue
		}
		if f.StreamID != last+1 {
			s.t.Errorf("stream %d after %d", f.StreamID, last)
		}
		last = f.StreamID
		if !s.silent.Load() {
			s.send(nc, &frame.Frame{
				StreamID: f.StreamID,
				Headers:  map[string]string{frame.HeaderServiceModelType: operation + "Response"},
				Payload:  []byte("{}"),
			})
		}
	}
}

func (s *server) send(nc net.Conn, f *frame.Frame) {
	b, err := frame.Encode(nil, f, 0)
	if err != nil {
		s.t.Error(err)
	}
	nc.Write(b)
}

// event sends a local message on stream id of the newest connection.
func (s *server) event(id int32, payload string) {
	s.mu.Lock()
	nc := s.conns[len(s.conns)-1]
	s.mu.Unlock()
	s.send(nc, &frame.Frame{
		StreamID: id,
		Headers:  map[string]string{frame.HeaderServiceModelType: "aws.greengrass#SubscriptionResponseMessage"},
		Payload:  []byte(payload),
	})
}

func (s *server) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.conns {
		nc.Close()
	}
}

// next returns the next frame with that operation, "" for one without.
func (s *server) next(operation string) *frame.Frame {
	s.t.Helper()
	for {
		select {
		case f := <-s.frames:
			if strings.TrimPrefix(f.Headers[frame.HeaderOperation], "aws.greengrass#") == operation {
				return f
			}
		case <-time.After(time.Minute):
			s.t.Fatalf("no frame with operation %q", operation)
		}
	}
}

func (s *server) connect(change ...func(*ggipc.Options)) *ggipc.Client {
	s.t.Helper()
	o := ggipc.Options{SocketPath: s.path, AuthToken: "token", MinBackoff: time.Millisecond, RefusalGrace: 50 * time.Millisecond, DrainTime: 10 * time.Millisecond}
	for _, f := range change {
		f(&o)
	}
	c, err := ggipc.Connect(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func hello(topic string) ggipc.PublishToTopicRequest {
	return ggipc.PublishToTopicRequest{Topic: topic, Binary: []byte("hello")}
}

const helloEvent = `{"binaryMessage":{"message":"aGVsbG8=","context":{"topic":"t"}}}`

func TestConnectTakesSocketAndTokenFromTheEnvironment(t *testing.T) {
	s := newServer(t)
	t.Setenv(ggipc.EnvSocketPath, s.path)
	t.Setenv(ggipc.EnvAuthToken, "token")
	c, err := ggipc.Connect(t.Context(), ggipc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.PublishToTopic(t.Context(), hello("t")); err != nil {
		t.Error(err)
	}
	c.Close()
	if !errors.Is(c.Err(), ggipc.ErrClosed) {
		t.Errorf("after Close: Err is %v, want %v", c.Err(), ggipc.ErrClosed)
	}
	if err := c.PublishToTopic(t.Context(), hello("t")); !errors.Is(err, ggipc.ErrClosed) {
		t.Errorf("publish after Close: got %v, want %v", err, ggipc.ErrClosed)
	}
}

func TestConnectTellsRefusalFromAnUnreachableSocket(t *testing.T) {
	s := newServer(t)
	s.refuse.Store(true)
	tests := []struct {
		name  string
		path  string
		limit time.Duration
		want  error
	}{
		{"refused", s.path, time.Minute, ggipc.ErrTokenRefused},
		{"no socket", s.path + ".absent", 100 * time.Millisecond, ggipc.ErrUnreachable}, // which may come up yet
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), tt.limit)
			defer cancel()
			_, err := ggipc.Connect(ctx, ggipc.Options{SocketPath: tt.path, AuthToken: "token"})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("no environment", func(t *testing.T) {
		t.Setenv(ggipc.EnvSocketPath, "")
		if _, err := ggipc.Connect(t.Context(), ggipc.Options{}); !errors.Is(err, ggipc.ErrNotComponent) {
			t.Errorf("got %v, want %v", err, ggipc.ErrNotComponent)
		}
	})
}

func TestConcurrentCallsKeepStreamIDsInWireOrder(t *testing.T) {
	s := newServer(t) // it checks the ids
	c := s.connect()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 20 {
				if err := c.PublishToTopic(t.Context(), hello("t")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestTooLargeFrameIsRefusedBeforeItIsSentAndTakesNoStreamID(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	topic := "size"
	most := ggipc.MaxMessage(0, topic)
	if err := c.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: topic, Binary: make([]byte, most)}); err != nil {
		t.Errorf("message of MaxMessage = %d bytes: %v", most, err)
	}
	err := c.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: topic, Binary: make([]byte, 8000)})
	var tooLarge *ggipc.FrameTooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Limit != ggipc.DefaultMaxFrame {
		t.Errorf("message of 8000 bytes: got %v, want a *FrameTooLargeError with limit %d", err, ggipc.DefaultMaxFrame)
	}
	if err := c.PublishToTopic(t.Context(), hello(topic)); err != nil {
		t.Errorf("call after the refused one: %v", err)
	}
	if most < 7000 {
		t.Errorf("MaxMessage = %d, want at least 7000", most)
	}
}

func TestTheLargestFrameCanBeChangedOnALiveConnection(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	large := ggipc.PublishToTopicRequest{Topic: "size", Binary: make([]byte, 20_000)}
	var tooLarge *ggipc.FrameTooLargeError
	if err := c.PublishToTopic(t.Context(), large); !errors.As(err, &tooLarge) {
		t.Errorf("before: %v", err)
	}
	c.SetMaxFrame(50_000)
	if err := c.PublishToTopic(t.Context(), large); err != nil {
		t.Errorf("after: %v", err)
	}
	c.SetMaxFrame(0)
	if err := c.PublishToTopic(t.Context(), large); !errors.As(err, &tooLarge) || tooLarge.Limit != ggipc.DefaultMaxFrame {
		t.Errorf("back at the default: %v", err)
	}
}

func TestPingIsAnsweredWithItsPayloadAndHeaders(t *testing.T) {
	s := newServer(t)
	s.connect(func(o *ggipc.Options) {})
	s.mu.Lock()
	nc := s.conns[0]
	s.mu.Unlock()
	s.send(nc, &frame.Frame{Type: frame.Ping, Headers: map[string]string{"x": "y", ":z": "hidden"}, Payload: []byte("abc")})
	f := s.next("")
	if f.Type != frame.PingResponse || string(f.Payload) != "abc" || f.Headers["x"] != "y" || f.Headers[":z"] != "" {
		t.Errorf("answer to ping: %+v", f)
	}
}

func TestMalformedEventIsCountedAndTheNextOneArrives(t *testing.T) {
	events := []string{
		`{"binaryMessage":{"message":"%%%","context":{"topic":"t"}}}`, `{}`, `null`, `{"binaryMessage":`, ``, `[1]`,
	}
	s := newServer(t)
	c := s.connect()
	got := make(chan ggipc.TopicMessage, 10)
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(_ context.Context, m ggipc.TopicMessage) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		s.event(1, e)
	}
	s.event(1, helloEvent)
	select {
	case m := <-got:
		if m.Topic != "t" || string(m.Bytes()) != "hello" {
			t.Errorf("got %+v", m)
		}
	case <-time.After(time.Minute):
		t.Fatal("the good event did not arrive")
	}
	if int(sub.Malformed()) != len(events) {
		t.Errorf("malformed: %d, want %d", sub.Malformed(), len(events))
	}
}

func TestCloseWaitsUntilTheNucleusHasEndedTheSubscriptions(t *testing.T) {
	s := newServer(t)
	c := s.connect(func(o *ggipc.Options) { o.DrainTime = time.Hour })
	for i := range 3 {
		if _, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: fmt.Sprint(i)}, func(context.Context, ggipc.TopicMessage) {}); err != nil {
			t.Fatal(err)
		}
	}
	s.silent.Store(true)
	closed := make(chan struct{})
	go func() { c.Close(); close(closed) }()
	for range 3 {
		if f := s.next(""); !f.Terminates() || f.StreamID < 1 || f.StreamID > 3 {
			t.Errorf("at close: frame %+v, want the termination of a stream", f)
		}
	}
	question := s.next("GetConfiguration")
	select {
	case <-closed:
		t.Error("closed before the nucleus took note")
	default:
	}
	s.event(question.StreamID, "{}") // whatever comes is an answer
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("not closed after the answer")
	}
}

func TestCallThatIsNotAnsweredEndsInTimeAndTerminatesItsStream(t *testing.T) {
	s := newServer(t)
	s.silent.Store(true)
	c := s.connect(func(o *ggipc.Options) { o.CallTimeout = 500 * time.Millisecond })
	if err := c.UpdateState(t.Context(), ggipc.StateRunning); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if f := s.next(""); !f.Terminates() || f.StreamID != 1 {
		t.Errorf("after the timeout: frame %+v, want the termination of stream 1", f)
	}
}

func TestLostConnectionComesBackWithItsSubscriptions(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	got := make(chan struct{}, 10)
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(context.Context, ggipc.TopicMessage) { got <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	for life := range 3 {
		s.drop()
		until(t, func() bool { return sub.Renewed() == uint64(life+1) })
		s.event(1, helloEvent)
		select {
		case <-got:
		case <-time.After(time.Minute):
			t.Fatalf("no event after reconnection %d", life+1)
		}
	}
	if err := c.PublishToTopic(t.Context(), hello("t")); err != nil {
		t.Errorf("call after the reconnections: %v", err)
	}
}

func TestTokenRefusedWhileReconnectingEndsTheClientAfterTheGrace(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(context.Context, ggipc.TopicMessage) {})
	if err != nil {
		t.Fatal(err)
	}
	s.refuse.Store(true)
	start := time.Now()
	s.drop()
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		t.Fatal("client did not end")
	}
	if !errors.Is(c.Err(), ggipc.ErrTokenRefused) {
		t.Errorf("Err is %v, want %v", c.Err(), ggipc.ErrTokenRefused)
	}
	if waited := time.Since(start); waited < 50*time.Millisecond {
		t.Errorf("ended after %v, before the grace was over", waited)
	}
	<-sub.Done()
}

func TestStreamThatTheServerEndsIsSubscribedAgain(t *testing.T) {
	s := newServer(t)
	c := s.connect()
	sub, err := c.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "t"}, func(context.Context, ggipc.TopicMessage) {})
	if err != nil {
		t.Fatal(err)
	}
	s.next("SubscribeToTopic")
	s.mu.Lock()
	nc := s.conns[0]
	s.mu.Unlock()
	s.send(nc, &frame.Frame{StreamID: 1, Flags: frame.TerminateStream})
	if f := s.next("SubscribeToTopic"); f.StreamID != 2 {
		t.Errorf("subscribed again on stream %d, want 2", f.StreamID)
	}
	until(t, func() bool { return sub.Renewed() == 1 })
}

func until(t *testing.T, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the condition did not come true")
		}
	}
}
