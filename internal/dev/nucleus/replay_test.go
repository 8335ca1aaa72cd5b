package nucleus

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus/accesscontrol"
)

// step is one line of a recorded conversation.
type step struct {
	Connection int
	From       string
	Headers    map[string]any
	Payload    string
	Frame      string
	Closed     bool
}

func policies(id string, service string, operations []string, resources ...string) map[string]any {
	return map[string]any{service: map[string]any{id: map[string]any{"operations": operations, "resources": resources}}}
}

// recordings says which state each recording needs. Every frame of every server
// is reproduced; nothing is left out. The emulated operations behind two
// recordings make the server ping and end a stream on a message to "ctl/…":
// those are methods of Nucleus, which the test calls.
var recordings = map[string]struct {
	options Options
	tokens  map[string]string // recorded token to component
	offline bool
}{
	"classic-js-sdk.jsonl": {
		options: Options{Profile: Classic, Components: []Component{{Name: "com.example.A", Configuration: map[string]any{
			"nested":        map[string]any{"hello": "world", "n": 1},
			"accessControl": policies("a", accesscontrol.PubSub, []string{"*"}, "js/*"),
		}}}},
		tokens: map[string]string{"TOK-com.example.Full": "com.example.A"},
	},
	"classic-engine.jsonl": {
		options: Options{Profile: Classic, Components: []Component{{Name: "com.example.A", Configuration: map[string]any{
			"accessControl": policies("a", accesscontrol.PubSub, []string{"*"}, "t/*", "w/*", "ctl/*", "a", "x"),
		}}}},
		tokens: map[string]string{"TOK-com.example.A": "com.example.A"},
	},
	"lite.jsonl":         {options: liteOptions(), tokens: liteTokens},
	"lite-js-sdk.jsonl":  {options: liteOptions(), tokens: liteTokens},
	"lite-offline.jsonl": {options: liteOptions(), tokens: liteTokens, offline: true},
}

var liteTokens = map[string]string{
	"yxjZ4Ikf2e8Qpbo6": "com.example.Full", "8ayROG8pXAWsYT0W": "com.example.Limited", "DTOmXoF1nMBCrOPL": "com.example.Full",
}

func liteOptions() Options {
	return Options{Profile: Lite, ThingName: "TestThing", Components: []Component{
		{Name: "com.example.Full", Configuration: map[string]any{
			"hello": "world", "nested": map[string]any{"a": 1, "b": []int{1, 2, 3}},
			"accessControl": map[string]any{
				accesscontrol.PubSub: map[string]any{"com.example.Full:pubsub:1": map[string]any{
					"policyDescription": "all local topics", "resources": []string{"*"},
					"operations": []string{"aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"},
				}},
				accesscontrol.MQTT: map[string]any{"com.example.Full:mqttproxy:1": map[string]any{
					"policyDescription": "iot core", "resources": []string{"*"},
					"operations": []string{"aws.greengrass#PublishToIoTCore", "aws.greengrass#SubscribeToIoTCore"},
				}},
			},
		}},
		{Name: "com.example.Limited", Configuration: map[string]any{
			"accessControl": map[string]any{
				accesscontrol.PubSub: map[string]any{"limited": map[string]any{
					"operations": []string{"*"}, "resources": []string{"limited/in", "limited/a", "things/{iot:thingName}/*"},
				}},
				accesscontrol.MQTT: map[string]any{"limited": map[string]any{"operations": []string{"*"}, "resources": []string{"a/#"}}},
			},
		}},
	}}
}

func TestServerAnswersRecordedClientsAsTheRealServersDid(t *testing.T) {
	files, err := filepath.Glob("../../../ggipc/testdata/captures/*.jsonl")
	if err != nil || len(files) != len(recordings) {
		t.Fatalf("recorded conversations: %d files (%v), want %d", len(files), err, len(recordings))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			t.Parallel()
			r := recordings[filepath.Base(file)]
			n := start(t, r.options)
			n.SetOnline(!r.offline)
			for token, component := range r.tokens {
				n.Admit(token, component)
			}
			replay(t, n, readRecording(t, file))
		})
	}
}

// start runs a nucleus for the length of a test.
func start(t testing.TB, o Options) *Nucleus {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func readRecording(t testing.TB, file string) []step {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var steps []step
	for lines := json.NewDecoder(bufio.NewReader(f)); ; {
		var s step
		err := lines.Decode(&s)
		if errors.Is(err, io.EOF) {
			return steps
		}
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, s)
	}
}

// replayed is one connection of a recording that is played again.
type replayed struct {
	conn      net.Conn
	frames    *frame.Reader
	want, got map[int32][]meaning // frames by stream, in their order
	closed    bool
}

// meaning is what must be equal: everything but the order of headers and the
// way in which JSON is written.
type meaning struct {
	Type     frame.Type
	Flags    frame.Flags
	StreamID int32
	Headers  map[string]string
	Payload  any
}

func meaningOf(f *frame.Frame) meaning {
	m := meaning{f.Type, f.Flags, f.StreamID, f.Headers, string(f.Payload)}
	var document any
	if json.Unmarshal(f.Payload, &document) == nil {
		m.Payload = document
	}
	return m
}

// replay sends the frames of the recorded clients, byte by byte as they were,
// and reads a frame wherever the recorded server sent one.
func replay(t *testing.T, n *Nucleus, steps []step) {
	connections := make(map[int]*replayed)
	for i, s := range steps {
		c := connections[s.Connection]
		if c == nil {
			conn, err := net.Dial("unix", n.SocketPath())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			c = &replayed{conn: conn, frames: frame.NewReader(conn, 0), want: make(map[int32][]meaning), got: make(map[int32][]meaning)}
			connections[s.Connection] = c
		}
		data, err := hex.DecodeString(s.Frame)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case s.Closed && s.From == "client":
			if !c.closed {
				c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				// Ping reaches every connection, not only the one that was pinged.
				if f, err := c.frames.Read(); err == nil && f.Type != frame.Ping {
					t.Errorf("line %d, connection %d: frame that was not recorded: %+v", i+1, s.Connection, f)
				}
			}
			c.conn.Close()
			c.closed = true
		case s.Closed && !c.closed:
			c.conn.SetReadDeadline(time.Now().Add(patience))
			f, err := c.frames.Read()
			if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("line %d, connection %d: got %+v, %v, want the end of the connection", i+1, s.Connection, f, err)
			}
			c.closed = true
		case s.Closed:
		case s.From == "client":
			if _, err := c.conn.Write(data); err != nil {
				t.Fatalf("line %d, connection %d: %v", i+1, s.Connection, err)
			}
		default:
			want, err := frame.NewReader(strings.NewReader(string(data)), 0).Read()
			if err != nil {
				t.Fatal(err)
			}
			c.want[want.StreamID] = append(c.want[want.StreamID], meaningOf(want))
			if want.Type == frame.Ping {
				n.Ping(want.Payload)
			}
			if want.Terminates() && len(want.Headers) == 0 {
				n.EndSubscriptions("com.example.A")
			}
			c.conn.SetReadDeadline(time.Now().Add(patience))
			got, err := c.frames.Read()
			if err != nil {
				t.Fatalf("line %d, connection %d: %v, want %+v", i+1, s.Connection, err, want)
			}
			c.got[got.StreamID] = append(c.got[got.StreamID], meaningOf(got))
		}
	}
	for number, c := range connections {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("connection %d: frames by stream (-recorded +served):\n%s", number, diff)
		}
	}
}
