package nucleus

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/accesscontrol"
	"github.com/brainseg/brainseg/internal/dev/nucleus/operation"
)

// patience is for how long a test waits for a frame that must come.
const patience = time.Minute

// client speaks the protocol frame by frame, so that it can also break it.
type client struct {
	t      testing.TB
	conn   net.Conn
	frames *frame.Reader
	next   int32
}

// dial connects without a handshake.
func dial(t testing.TB, n *Nucleus) *client {
	t.Helper()
	conn, err := net.Dial("unix", n.SocketPath())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, frames: frame.NewReader(conn, 0), next: 1}
}

// connect dials and shakes hands as a component.
func connect(t testing.TB, n *Nucleus, component string) *client {
	t.Helper()
	c := dial(t, n)
	c.greet(n.Token(component))
	f := c.read()
	if f.Type != frame.ConnectAck || f.Flags != frame.ConnectionAccepted {
		t.Fatalf("handshake of %s: got %+v", component, f)
	}
	return c
}

func (c *client) greet(token string) {
	c.t.Helper()
	c.write(&frame.Frame{
		Type: frame.Connect, Headers: map[string]string{frame.HeaderVersion: "0.1.0"}, Payload: []byte(`{"authToken":"` + token + `"}`),
	})
}

func (c *client) write(f *frame.Frame) {
	c.t.Helper()
	b, err := frame.Encode(nil, f, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() *frame.Frame {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	f, err := c.frames.Read()
	if err != nil {
		c.t.Fatalf("read frame: %v", err)
	}
	return f
}

// nothing checks that no frame comes.
func (c *client) nothing() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	if f, err := c.frames.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %+v, %v, want nothing", f, err)
	}
}

// closed checks that the server ends the connection without a further frame.
func (c *client) closed() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(patience))
	f, err := c.frames.Read()
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("got %+v, %v, want the end of the connection", f, err)
	}
}

// start sends a request on the next stream and returns its id.
func (c *client) start(name, payload string) int32 {
	c.t.Helper()
	id := c.next
	c.next++
	c.write(&frame.Frame{
		StreamID: id, Headers: map[string]string{frame.HeaderOperation: operation.ModelPrefix + name}, Payload: []byte(payload),
	})
	return id
}

// answer reads frames until the one that answers a stream.
func (c *client) answer(stream int32) *frame.Frame {
	c.t.Helper()
	for {
		if f := c.read(); f.StreamID == stream {
			return f
		}
	}
}

// call sends a request and returns the answer, which must be the next frame of
// its stream.
func (c *client) call(name, payload string) *frame.Frame {
	c.t.Helper()
	return c.answer(c.start(name, payload))
}

// succeed calls and checks that the answer is a response.
func (c *client) succeed(name, payload string) *frame.Frame {
	c.t.Helper()
	f := c.call(name, payload)
	if f.Type != frame.ApplicationMessage || f.Headers[frame.HeaderServiceModelType] != operation.ModelPrefix+name+"Response" {
		c.t.Fatalf("%s %s: got %v %v %s, want a response", name, payload, f.Type, f.Headers, f.Payload)
	}
	return f
}

// fail calls and returns the code and the message of the error.
func (c *client) fail(name, payload string) (code, message string) {
	c.t.Helper()
	f := c.call(name, payload)
	if f.Type != frame.ApplicationError || !f.Terminates() {
		c.t.Fatalf("%s %s: got %v %v %s, want an error", name, payload, f.Type, f.Headers, f.Payload)
	}
	if f.Headers[frame.HeaderContentType] == "text/plain" {
		return string(f.Payload), ""
	}
	var body struct {
		Code    string `json:"_errorCode"`
		Message string `json:"_message"`
	}
	if err := json.Unmarshal(f.Payload, &body); err != nil {
		c.t.Fatal(err)
	}
	if got := f.Headers[frame.HeaderServiceModelType]; body.Code != "" && got != operation.ModelPrefix+body.Code {
		c.t.Errorf("%s: service model type %q of error %q", name, got, body.Code)
	}
	return body.Code, body.Message
}

// event reads the next frame, which must be an event of a stream, and compares
// its payload.
func (c *client) event(stream int32, model, want string) {
	c.t.Helper()
	f := c.read()
	if f.StreamID != stream || f.Headers[frame.HeaderServiceModelType] != operation.ModelPrefix+model {
		c.t.Fatalf("got a frame of stream %d with %v %s, want %s on stream %d", f.StreamID, f.Headers, f.Payload, model, stream)
	}
	if diff := cmp.Diff(want, string(f.Payload)); diff != "" {
		c.t.Errorf("event (-want +got):\n%s", diff)
	}
}

// everything is a policy that allows all.
func everything() map[string]any {
	return map[string]any{
		accesscontrol.PubSub: policies("all", accesscontrol.PubSub, []string{"*"}, "*")[accesscontrol.PubSub],
		accesscontrol.MQTT:   policies("all", accesscontrol.MQTT, []string{"*"}, "*")[accesscontrol.MQTT],
	}
}

// pair runs a nucleus with two components that may do everything.
func pair(t testing.TB, o Options) *Nucleus {
	t.Helper()
	for _, name := range []string{"com.example.A", "com.example.B"} {
		o.Components = append(o.Components, Component{Name: name, Configuration: map[string]any{
			"accessControl": everything(), "a": map[string]any{"b": map[string]any{"c": 1}, "on": true},
		}})
	}
	return start(t, o)
}

func profiles(t *testing.T, test func(t *testing.T, p Profile)) {
	for _, p := range []Profile{Classic, Lite} {
		t.Run(p.String(), func(t *testing.T) { test(t, p) })
	}
}

const hello = `"binaryMessage":{"message":"aGk="}`

func publish(topic, message string) string {
	return `{"topic":"` + topic + `","publishMessage":{` + message + `}}`
}

func received(topic string) string {
	return `{"binaryMessage":{"context":{"topic":"` + topic + `"},"message":"aGk="}}`
}
