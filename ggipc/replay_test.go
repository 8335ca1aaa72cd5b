package ggipc_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/ggipc/frame"
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

// notOurs lists the recorded connections whose client broke the protocol on
// purpose, or spoke in a way that this client does not. There the server's
// frames are still replayed, in answer to the nearest thing that this client
// does, but its own frames are not compared.
var notOurs = map[string]map[int]string{
	"lite.jsonl": {
		4: "handshake version 9.9.9", 5: "handshake without a token",
		2: "requests without or with two messages, which this client refuses itself",
	},
	"classic-engine.jsonl": {
		3: "handshake version 0.2.0", 5: "first stream id is 2", 6: "gap in the stream ids", 7: "stream id used again",
		8: "negative stream id", 9: "no operation", 10: "client pings", 11: "header missing", 12: "all headers missing",
		13: "empty payload", 4: "terminates a stream twice",
	},
}

func TestClientReplaysRecordedConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/captures/*.jsonl")
	if err != nil || len(files) != 5 {
		t.Fatalf("recorded conversations: %d files (%v), want 5", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		for connection, steps := range readCapture(t, file) {
			t.Run(fmt.Sprintf("%s/%d", name, connection), func(t *testing.T) {
				t.Parallel()
				replay(t, steps, notOurs[name][connection] == "")
			})
		}
	}
}

func readCapture(t *testing.T, file string) map[int][]step {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	connections := make(map[int][]step)
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var s step
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		connections[s.Connection] = append(connections[s.Connection], s)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return connections
}

func (s step) bytes(t *testing.T) []byte {
	b, err := hex.DecodeString(s.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// number reads an int32 header, -1 where it is absent.
func (s step) number(header string) int {
	if v, ok := s.Headers[header].(float64); ok {
		return int(v)
	}
	return -1
}

// replay plays the server of one recorded connection to a real client.
func replay(t *testing.T, steps []step, compare bool) {
	listener, path := listen(t)
	var token struct{ AuthToken string }
	json.Unmarshal([]byte(steps[0].Payload), &token)
	if token.AuthToken == "" {
		token.AuthToken = "none"
	}
	driver := &driver{results: make(map[int]chan error), events: make(map[int]int)}
	connected := make(chan error, 1)
	go func() {
		var err error
		driver.client, err = ggipc.Connect(t.Context(), ggipc.Options{
			SocketPath: path, AuthToken: token.AuthToken, MaxFrame: frame.MaxSize,
			CallTimeout: time.Minute, RefusalGrace: time.Millisecond, MinBackoff: time.Millisecond,
		})
		connected <- err
	}()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	defer server.Close()
	server.SetDeadline(time.Now().Add(time.Minute))
	frames := frame.NewReader(server, 0)

	expect := func(s step) {
		got, err := frames.Read()
		if err != nil {
			t.Fatalf("client's frame %v: %v", s.Headers, err)
		}
		if compare {
			compareFrames(t, s, got)
		}
	}

	expect(steps[0])
	accepted := false
	if len(steps) > 1 && steps[1].Frame != "" {
		server.Write(steps[1].bytes(t))
		accepted = steps[1].number(":message-flags") == 1
		steps = steps[1:]
	} else {
		server.Close()
	}
	err = <-connected
	if !accepted {
		server.Close()
		if !errors.Is(err, ggipc.ErrTokenRefused) {
			t.Fatalf("refused handshake: got %v, want %v", err, ggipc.ErrTokenRefused)
		}
		return
	}
	if err != nil {
		t.Fatalf("accepted handshake: %v", err)
	}

	wantEvents := make(map[int]int)
	answered := make(map[int]step)
	streams, nextStream := make(map[int]int), 1 // recorded stream id to the client's
	subscriptions := make(map[int]bool)
	protocolError := false
	for _, s := range steps[1:] {
		id := s.number(":stream-id")
		switch {
		case s.From == "client" && s.Frame != "":
			if s.number(":message-type") != int(frame.ApplicationMessage) {
				continue
			}
			if s.number(":message-flags") == int(frame.TerminateStream) {
				if !subscriptions[id] {
					continue // an SDK that also terminates calls that were answered
				}
				subscriptions[id] = false
				driver.waitForEvents(t, streams[id], wantEvents[streams[id]])
				driver.subscription(streams[id]).Close()
				expect(s)
				continue
			}
			ours := nextStream
			streams[id], nextStream = ours, nextStream+1
			subscriptions[id] = strings.Contains(fmt.Sprint(s.Headers["operation"]), "#SubscribeTo")
			driver.perform(t.Context(), ours, s)
			expect(s)
		case s.From == "server" && s.Frame != "":
			server.Write(s.bytes(t))
			model := fmt.Sprint(s.Headers["service-model-type"])
			switch {
			case id == 0:
				protocolError = protocolError || s.number(":message-type") == int(frame.ProtocolError)
			case strings.HasSuffix(model, "Response") || s.number(":message-type") == int(frame.ApplicationError):
				answered[streams[id]] = s
			case strings.HasPrefix(model, "aws.greengrass#"):
				wantEvents[streams[id]]++
			}
			if strings.HasSuffix(model, "Response") && subscriptions[id] {
				driver.wait(t, streams[id], nil)
			}
		case s.Closed:
			server.Close()
		}
	}
	if protocolError {
		server.Close()
	}
	for id := 1; id < nextStream; id++ {
		var want *step
		if s, ok := answered[id]; ok {
			want = &s
		}
		driver.wait(t, id, want)
	}
	for id, n := range wantEvents {
		driver.waitForEvents(t, id, n)
	}
	server.Close()
	driver.client.Close()
	driver.mu.Lock()
	defer driver.mu.Unlock()
	if diff := cmp.Diff(wantEvents, driver.events); diff != "" {
		t.Errorf("events by stream (-recorded +received):\n%s", diff)
	}
}

// compareFrames checks that the client's frame means what the recorded one did:
// same type, flags, stream, operation and JSON.
func compareFrames(t *testing.T, want step, got *frame.Frame) {
	t.Helper()
	type meaning struct {
		Type, Flags, Stream int
		Operation, Version  string
		Payload             any
	}
	text := func(v any) string { s, _ := v.(string); return s }
	w := meaning{
		want.number(":message-type"), want.number(":message-flags"), want.number(":stream-id"),
		text(want.Headers["operation"]), text(want.Headers[":version"]), document(want.Payload),
	}
	g := meaning{
		int(got.Type), int(got.Flags), int(got.StreamID),
		got.Headers[frame.HeaderOperation], got.Headers[frame.HeaderVersion], document(string(got.Payload)),
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Errorf("client's frame (-recorded +sent):\n%s", diff)
	}
}

// document decodes JSON and takes out what may differ: the timestamp of an
// update, which this client writes to the millisecond and never as an integer.
func document(payload string) any {
	if payload == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(payload), &v); err != nil {
		return payload
	}
	if m, ok := v.(map[string]any); ok && m["timestamp"] != nil {
		m["timestamp"] = "some time"
	}
	return v
}

// driver makes the calls that a recorded client made.
type driver struct {
	client *ggipc.Client

	mu            sync.Mutex
	results       map[int]chan error          // guarded by mu
	subscriptions map[int]*ggipc.Subscription // guarded by mu
	events        map[int]int                 // guarded by mu
}

func (d *driver) subscription(id int) *ggipc.Subscription {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.subscriptions[id]
}

// waitForEvents waits until the handler of a subscription saw n events.
func (d *driver) waitForEvents(t *testing.T, id, n int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		d.mu.Lock()
		seen := d.events[id]
		d.mu.Unlock()
		if seen >= n {
			return
		}
	}
	t.Errorf("stream %d: fewer than %d events", id, n)
}

// wait checks the outcome of a call against the recorded answer. Without one the
// connection ended first.
func (d *driver) wait(t *testing.T, id int, answer *step) {
	t.Helper()
	d.mu.Lock()
	result := d.results[id]
	d.mu.Unlock()
	var err error
	select {
	case err = <-result:
		result <- err
	case <-time.After(time.Minute):
		t.Fatalf("stream %d: call did not end", id)
	}
	switch {
	case answer == nil && err == nil:
	case answer == nil:
		if !errors.Is(err, ggipc.ErrConnectionLost) {
			t.Errorf("stream %d: got %v, want %v", id, err, ggipc.ErrConnectionLost)
		}
	case answer.number(":message-type") == int(frame.ApplicationError):
		var refusal *ggipc.Error
		if !errors.As(err, &refusal) {
			t.Fatalf("stream %d: got %v, want a *ggipc.Error", id, err)
		}
		want := strings.TrimPrefix(fmt.Sprint(answer.Headers["service-model-type"]), "aws.greengrass#")
		if answer.Headers["service-model-type"] == nil {
			want = "InternalServerError"
		}
		if string(refusal.Code) != want || !strings.Contains(answer.Payload, refusal.Message) {
			t.Errorf("stream %d: got %q (%q), want %q from %s", id, refusal.Code, refusal.Message, want, answer.Payload)
		}
	case err != nil:
		t.Errorf("stream %d: got %v, want an answer", id, err)
	}
}

// perform makes the call that the recorded frame asks for and keeps its outcome.
func (d *driver) perform(ctx context.Context, id int, s step) {
	result := make(chan error, 1)
	d.mu.Lock()
	d.results[id] = result
	d.mu.Unlock()
	event := func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.events[id]++
	}
	keep := func(sub *ggipc.Subscription, err error) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.subscriptions == nil {
			d.subscriptions = make(map[int]*ggipc.Subscription)
		}
		d.subscriptions[id] = sub
		return err
	}
	var r struct {
		Topic          string
		TopicName      string
		QoS            string
		Payload        string
		ReceiveMode    ggipc.ReceiveMode
		PublishMessage struct {
			BinaryMessage *struct{ Message string }
			JSONMessage   *struct{ Message json.RawMessage } `json:"jsonMessage"`
		}
		KeyPath        []string
		ValueToMerge   json.RawMessage
		State          ggipc.State
		DeploymentID   string
		RecheckAfterMs int64
		Token          string
	}
	json.Unmarshal([]byte(s.Payload), &r)
	qos := ggipc.AtLeastOnce
	if r.QoS == "0" {
		qos = ggipc.AtMostOnce
	}
	c := d.client
	operation := strings.TrimPrefix(fmt.Sprint(s.Headers["operation"]), "aws.greengrass#")
	go func() {
		var err error
		switch operation {
		case "SubscribeToTopic":
			err = keep(c.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: r.Topic, ReceiveMode: r.ReceiveMode}, func(context.Context, ggipc.TopicMessage) { event() }))
		case "SubscribeToIoTCore":
			err = keep(c.SubscribeToIoTCore(ctx, ggipc.SubscribeToIoTCoreRequest{Topic: r.TopicName, QoS: qos}, func(context.Context, ggipc.IoTCoreMessage) { event() }))
		case "SubscribeToConfigurationUpdate":
			err = keep(c.SubscribeToConfigurationUpdate(ctx, "", r.KeyPath, func(context.Context, ggipc.ConfigurationUpdate) { event() }))
		case "SubscribeToComponentUpdates":
			err = keep(c.SubscribeToComponentUpdates(ctx, func(context.Context, ggipc.ComponentUpdate) { event() }))
		case "PublishToIoTCore":
			payload, _ := base64.StdEncoding.DecodeString(r.Payload)
			err = c.PublishToIoTCore(ctx, ggipc.PublishToIoTCoreRequest{Topic: r.TopicName, QoS: qos, Payload: payload})
		case "GetConfiguration":
			_, err = c.GetConfiguration(ctx, "", r.KeyPath...)
		case "UpdateConfiguration":
			err = c.UpdateConfiguration(ctx, ggipc.UpdateConfigurationRequest{KeyPath: r.KeyPath, Value: r.ValueToMerge})
		case "UpdateState":
			err = c.UpdateState(ctx, r.State)
		case "DeferComponentUpdate":
			err = c.DeferComponentUpdate(ctx, ggipc.DeferComponentUpdateRequest{DeploymentID: r.DeploymentID, RecheckAfter: time.Duration(r.RecheckAfterMs) * time.Millisecond})
		case "ValidateAuthorizationToken":
			_, err = c.ValidateAuthorizationToken(ctx, r.Token)
		case "ListComponents":
			err = c.Call(ctx, "ListComponents", struct{}{}, nil)
		default:
			m := ggipc.PublishToTopicRequest{Topic: r.Topic, Binary: []byte("hi")}
			if b := r.PublishMessage.BinaryMessage; b != nil {
				m.Binary, _ = base64.StdEncoding.DecodeString(b.Message)
			} else if j := r.PublishMessage.JSONMessage; j != nil {
				m.Binary, m.JSON = nil, j.Message
			}
			err = c.PublishToTopic(ctx, m)
		}
		result <- err
	}()
}

func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	// Not t.TempDir: a socket's path must stay below 108 bytes.
	dir, err := os.MkdirTemp("", "ggipc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "ipc.socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, path
}
