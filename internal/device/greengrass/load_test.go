package greengrass

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/ggipc/frame"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

// tally collects results by id on a connection of its own, however many come.
type tally struct {
	client *ggipc.Client

	mu    sync.Mutex
	times map[string]int       // answers by id; guarded by mu
	codes map[request.Code]int // guarded by mu
	seen  map[string]int       // status messages by text; guarded by mu
}

func (d *device) tally() *tally {
	d.t.Helper()
	c := &tally{times: make(map[string]int), codes: make(map[request.Code]int), seen: make(map[string]int)}
	var err error
	c.client, err = ggipc.Connect(d.t.Context(), ggipc.Options{
		SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(clientName), QueueEvents: 100_000, QueueBytes: 256 << 20, CallTimeout: patience,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { c.client.Close() })
	subscribe := func(topic string, handle func(m []byte)) {
		d.t.Helper()
		_, err := c.client.SubscribeToTopic(d.t.Context(), ggipc.SubscribeToTopicRequest{Topic: topic}, func(_ context.Context, m ggipc.TopicMessage) {
			c.mu.Lock()
			defer c.mu.Unlock()
			handle(m.Bytes())
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
	subscribe(resultTopic, func(m []byte) {
		var r request.Result
		if json.Unmarshal(m, &r) == nil {
			c.times[r.ID]++
			if r.Error != nil {
				c.codes[r.Error.Code]++
			}
		}
	})
	subscribe(statusTopic, func(m []byte) {
		var s request.Status
		if json.Unmarshal(m, &s) == nil {
			c.seen[s.Message]++
		}
	})
	return c
}

func (c *tally) answered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

// until waits for a condition.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// burst is the number of requests at full speed: make burst sends 8,000.
var burst = flag.Int("burst", 2000, "requests of the burst")

func TestABurstOfRequestsIsAnsweredToTheLastOne(t *testing.T) {
	n := *burst
	d := newDevice(t, nucleus.Classic, nil)
	d.slice("a.png")
	d.launch()
	c := d.tally()
	var sending sync.WaitGroup
	var next atomic.Int64
	for range 16 {
		sending.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				document := fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, i)
				if err := c.client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: requestTopic, Binary: []byte(document)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	sending.Wait()
	until(t, "all are answered", func() bool { return c.answered() == n })
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, times := range c.times {
		if times != 1 {
			t.Errorf("request %s was answered %d times", id, times)
		}
	}
	for code := range c.codes {
		if code != request.CodeBusy {
			t.Errorf("requests failed with %s", code)
		}
	}
	t.Logf("%d requests, refused: %v", n, c.codes)
}

// silent is a server that takes connections and answers nothing.
func silent(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { io.Copy(io.Discard, nc); nc.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); connections.Wait() })
	return l.Addr().String()
}

func TestTheEndComesInTimeAndWhatIsNotAnsweredByThenIsAfterTheNextStart(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_REGION", "eu-west-1")
	d := newDevice(t, nucleus.Classic, map[string]any{"s3": map[string]any{
		"buckets": "scans", "endpoint": "http://" + silent(t), "pathStyle": true, "timeoutSeconds": 600,
	}})
	d.launch()
	c := d.tally()
	const n = 70
	for i := range n {
		d.publish(fmt.Sprintf(`{"id":"%d","image":{"s3":"s3://scans/a.png"}}`, i))
	}
	until(t, "all have come", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.seen[request.MessageImageReceived]+c.codes[request.CodeBusy] == n
	})
	start := time.Now()
	d.stop()
	if err := d.wait(); err != nil {
		t.Error(err)
	}
	// The classic nucleus kills 5 s after it asked for the end.
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if c.answered() == n {
		t.Error("all were answered, though their images never came")
	}
	d.configure(map[string]any{"s3": map[string]any{"buckets": "others"}})
	d.launch()
	until(t, "all are answered", func() bool { return c.answered() == n })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.codes[request.CodeBusy]+c.codes[request.CodeImageNotAllowed] != n {
		t.Errorf("answers: %v", c.codes)
	}
}

// deafNucleus passes frames on between the component and the nucleus, but for the
// answers to what the component publishes on the device while it is deaf.
type deafNucleus struct {
	path  string
	deaf  atomic.Bool
	beats atomic.Int64 // messages that the component sent to itself
}

func newDeafNucleus(t *testing.T, n *nucleus.Nucleus) *deafNucleus {
	t.Helper()
	dir, err := os.MkdirTemp("", "deaf") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	d := &deafNucleus{path: filepath.Join(dir, "ipc.socket")}
	l, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	var connections sync.WaitGroup
	connections.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", n.SocketPath())
			if err != nil {
				t.Error(err)
				client.Close()
				return
			}
			var unanswered sync.Map // streams
			connections.Go(func() {
				defer client.Close()
				pass(server, client, func(f *frame.Frame) bool {
					_, published := unanswered.Load(f.StreamID)
					return !published
				})
			})
			connections.Go(func() {
				defer server.Close()
				pass(client, server, func(f *frame.Frame) bool {
					if published := strings.HasSuffix(f.Headers[frame.HeaderOperation], "#PublishToTopic"); published {
						if d.deaf.Load() {
							unanswered.Store(f.StreamID, true)
						}
						if bytes.Contains(f.Payload, []byte(requestTopic)) {
							d.beats.Add(1)
						}
					}
					return true
				})
			})
		}
	})
	t.Cleanup(func() { l.Close(); connections.Wait(); os.RemoveAll(dir) })
	return d
}

// pass copies frames until either side is closed.
func pass(from io.Reader, to io.Writer, wanted func(*frame.Frame) bool) {
	for r := frame.NewReader(from, 0); ; {
		f, err := r.Read()
		if err != nil {
			return
		}
		if !wanted(f) {
			continue
		}
		b, err := frame.Encode(nil, f, 0)
		if err == nil {
			_, err = to.Write(b)
		}
		if err != nil {
			return
		}
	}
}

func TestANucleusThatTakesNoResultsHoldsUpNeitherAConfigurationNorTheEnd(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	proxy := newDeafNucleus(t, d.nucleus)
	d.socket = proxy.path
	d.launch()
	d.awaitStatus("Ready.")
	proxy.deaf.Store(true)
	const n = 300
	for range n {
		d.publish(`no request`)
	}
	applied := func() bool { return d.logs.FilterMessage("configuration applied").Len() > 0 }
	d.configure(map[string]any{"images": map[string]any{"roots": []any{d.in, d.in}}})
	until(t, "the configuration is in effect", applied)
	start := time.Now()
	d.stop()
	if err := d.wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if lost := lostMessages(d.logs); lost < n {
		t.Errorf("the log tells of %d lost messages, and at least %d results are", lost, n)
	}
}
