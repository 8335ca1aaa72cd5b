package greengrass

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

// awaitStatus reads status messages until one begins with want, and returns
// those that came before.
func (d *device) awaitStatus(want string) (before []string) {
	d.t.Helper()
	for {
		s := next(d.t, d.statuses)
		if strings.HasPrefix(s.Message, want) {
			return before
		}
		before = append(before, s.Message)
	}
}

func (d *device) configure(value map[string]any) {
	d.t.Helper()
	if err := d.nucleus.MergeConfiguration(ComponentName, nil, value); err != nil {
		d.t.Fatal(err)
	}
}

func TestAChangedConfigurationIsInEffectWithoutANewProcess(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil {
			t.Fatalf("before: %+v", r.Error)
		}

		elsewhere := t.TempDir()
		d.configure(map[string]any{"output": map[string]any{"root": elsewhere}, "images": map[string]any{"maxPixels": "100"}})
		d.awaitStatus("Configuration changed.")
		d.awaitStatus("Ready.")
		r := d.ask(`{"id":"2","image":{"path":"a.png"}}`)
		if r.Error != nil || filepath.Dir(r.Mask.Path) != elsewhere {
			t.Errorf("after: %+v, error %+v", r, r.Error)
		}
		if state := d.nucleus.State(ComponentName); state != "RUNNING" {
			t.Errorf("the component is %q to the nucleus", state)
		}
		d.stop()
		if err := d.wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestAConfigurationThatCannotBeUsedIsRefusedAndTheOneBeforeStays(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		works := func(id string) {
			t.Helper()
			if r := d.ask(fmt.Sprintf(`{"id":%q,"image":{"path":"a.png"}}`, id)); r.Error != nil {
				t.Errorf("%s: %+v", id, r.Error)
			}
		}

		d.configure(map[string]any{"service": map[string]any{"workers": "many"}})
		d.awaitStatus("Error: the new configuration is not valid")
		works("not valid")
		if !d.configurationRefused() {
			t.Error("the health does not tell of it")
		}
		d.configure(map[string]any{"service": map[string]any{"workers": "1"}})

		d.configure(map[string]any{"images": map[string]any{"roots": []any{"/nowhere"}}})
		d.awaitStatus("Configuration changed.")
		d.awaitStatus("Ready.")
		works("a folder that is not there")
		if n := d.logs.FilterMessageSnippet("the new configuration cannot be used").Len(); n != 1 {
			t.Errorf("it was refused %d times", n)
		}

		d.configure(map[string]any{"images": map[string]any{"roots": []any{d.in}}, "topics": map[string]any{"request": "not/allowed"}})
		d.awaitStatus("Configuration changed.")
		d.awaitStatus("Ready.")
		works("a topic that accessControl does not name")
		d.stop()
		if err := d.wait(); err != nil {
			t.Error(err)
		}
	})
}

func TestKeysThatTakeEffectAtTheNextStartAreToldAndTheOthersTakeEffectAtOnce(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		const folder = "Configuration changed; queue.folder from the next start on."
		d.configure(map[string]any{"queue": map[string]any{"folder": filepath.Join(t.TempDir(), "next")}})
		if before := d.awaitStatus(folder); len(before) > 0 {
			t.Errorf("before it is told that queue.folder waits: %q", before)
		}
		elsewhere := t.TempDir()
		d.configure(map[string]any{"model": map[string]any{"library": "/other/libonnxruntime.so"}, "output": map[string]any{"root": elsewhere}})
		d.awaitStatus("Configuration changed; model.library and queue.folder from the next start on.")
		d.awaitStatus("Configuration changed.")
		if before := d.awaitStatus("Ready."); len(before) > 0 {
			t.Errorf("before the rest is in effect: %q", before)
		}
		if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil || filepath.Dir(r.Mask.Path) != elsewhere {
			t.Errorf("result %+v, error %+v", r, r.Error)
		}
	})
}

func TestRequestsThatComeWhileTheConfigurationChangesAreAnsweredOnce(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, map[string]any{"service": map[string]any{"queue": 1000}})
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		changes := []map[string]any{
			{"images": map[string]any{"maxPixels": 50_000}},
			{"images": map[string]any{"roots": []any{"/nowhere"}}}, // refused, so there are two gaps
		}
		sent := 0
		for i, change := range changes {
			d.configure(change)
			for again := false; !again; time.Sleep(2 * time.Millisecond) {
				if most := 450 * (i + 1); sent < most { // as the queue holds, however long it takes
					sent++
					d.publish(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, sent))
				}
				for len(d.statuses) > 0 && !again {
					again = (<-d.statuses).Message == "Ready."
				}
			}
		}
		for i := 1; i <= sent; i++ {
			if r := next(t, d.results); r.ID != fmt.Sprint(i) || r.Error != nil {
				t.Fatalf("result %d of %d is of %s, error %+v", i, sent, r.ID, r.Error)
			}
		}
		d.stop()
		if err := d.wait(); err != nil || len(d.results) > 0 {
			t.Errorf("the component ended with %v; %d results more", err, len(d.results))
		}
		t.Logf("%d requests", sent)
	})
}

func TestAnotherTopicIsHeardBeforeTheOldOneIsLeft(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		everything := map[string]any{"1": map[string]any{"operations": []any{"*"}, "resources": []any{"*"}}}
		d := newDevice(t, profile, map[string]any{
			"accessControl": map[string]any{"aws.greengrass.ipc.pubsub": everything, "aws.greengrass.ipc.mqttproxy": everything},
			"service":       map[string]any{"queue": 10_000},
		})
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		topics := []string{requestTopic, "other/request"}
		d.configure(map[string]any{"topics": map[string]any{"request": topics[1]}})
		// Whatever is published meanwhile is answered, on the one topic or the other.
		sent := make(map[string]bool)
		for again := false; !again; {
			for i, topic := range topics {
				id := fmt.Sprintf("%d-%d", i, len(sent))
				if err := d.nucleus.Publish(topic, fmt.Appendf(nil, `{"id":%q,"image":{"path":"a.png"}}`, id)); err != nil {
					t.Fatal(err)
				}
				sent[id] = false
			}
			select {
			case r := <-d.results:
				sent[r.ID] = true
			case <-time.After(5 * time.Millisecond):
			}
			for len(d.statuses) > 0 && !again {
				again = (<-d.statuses).Message == "Ready."
			}
		}
		for i := range len(sent) / 2 { // the topics are not answered in one order
			for !sent[fmt.Sprintf("0-%d", 2*i)] && !sent[fmt.Sprintf("1-%d", 2*i+1)] {
				sent[next(t, d.results).ID] = true
			}
		}
		if n := d.logs.FilterMessageSnippet("connection to the greengrass nucleus").Len(); n != 0 {
			t.Error("the connection was made again")
		}
	})
}

func TestAConfigurationThatChangesWhileTheConnectionIsLostIsSeen(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		d.awaitStatus("Ready.")
		elsewhere := t.TempDir()
		d.nucleus.DropConnections(ComponentName)
		d.configure(map[string]any{"output": map[string]any{"root": elsewhere}})
		until(t, "the configuration is in effect", func() bool { return d.logs.FilterMessage("configuration applied").Len() > 0 })
		if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil || filepath.Dir(r.Mask.Path) != elsewhere {
			t.Errorf("result %+v, error %+v", r, r.Error)
		}
	})
}

func TestAPortInUseIsToldAtTheStartAndRefusedAsAChange(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inUse := map[string]any{"http": map[string]any{"address": l.Addr().String()}}
	const message = "Error: the address of the HTTP endpoint cannot be listened on"
	d := newDevice(t, nucleus.Classic, inUse)
	d.launch()
	if err := d.wait(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("the component ended with %v", err)
	}
	d.awaitStatus(message)

	d = newDevice(t, nucleus.Classic, nil)
	d.slice("a.png")
	d.launch()
	d.awaitStatus("Ready.")
	d.configure(inUse)
	d.awaitStatus(message)
	d.awaitStatus("Ready.")
	if r := d.ask(`{"id":"1","image":{"path":"a.png"}}`); r.Error != nil {
		t.Errorf("afterwards: %+v", r.Error)
	}
}

func TestTheNumberOfARequestGoesOnOverConfigurations(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.slice("a.png")
	d.launch()
	d.awaitStatus("Ready.")
	for want := uint64(1); want <= 3; want++ {
		d.ask(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, want))
		for s := next(t, d.statuses); s.Message != request.MessageImageProcessed; s = next(t, d.statuses) {
			if s.Request != 0 && s.Request != want {
				t.Errorf("request %d has number %d", want, s.Request)
			}
		}
		d.configure(map[string]any{"output": map[string]any{"root": t.TempDir()}})
		d.awaitStatus("Ready.")
	}
}

// lostMessages adds up what the log tells of.
func lostMessages(logs *observer.ObservedLogs) (n uint64) {
	for _, entry := range logs.FilterMessage("messages are lost").All() {
		n += entry.ContextMap()["messages"].(uint64)
	}
	return n
}

func TestALogLevelChangesUnderWay(t *testing.T) {
	d := newDevice(t, nucleus.Lite, nil)
	level := zap.NewAtomicLevelAt(zapcore.ErrorLevel)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			IPC:   ggipc.Options{SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(ComponentName)},
			Level: &level, Ready: func() { close(ready) },
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	d.awaitStatus("Ready.")
	if got := level.Level(); got != zapcore.InfoLevel {
		t.Errorf("the level at the start is %v", got)
	}
	d.configure(map[string]any{"log": map[string]any{"level": "debug"}})
	for deadline := time.Now().Add(patience); level.Level() != zapcore.DebugLevel; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the level does not change")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for len(d.statuses) > 0 {
		if s := <-d.statuses; s.State == request.StateStarting {
			t.Errorf("the component started anew: %+v", s)
		}
	}
}

func TestADeviceThatIsOfflineDoesNotWaitForTheCloud(t *testing.T) {
	d := newDevice(t, nucleus.Lite, nil) // which has no spooler
	d.nucleus.SetOnline(false)
	d.launch()
	d.awaitStatus("Ready.")
	d.configure(map[string]any{"service": map[string]any{"queue": "7"}})
	d.awaitStatus("Ready.")
	d.nucleus.SetOnline(true)
	for before := 0; ; before++ { // what was kept from before the change comes first
		if m := next(t, d.cloud); strings.Contains(string(m.Payload), "Configuration changed.") {
			if before == 0 {
				t.Error("the cloud does not get what came before")
			}
			break
		}
	}
	d.nucleus.SetOnline(false)
	d.stop()
	if err := d.wait(); err != nil {
		t.Errorf("the component ended with %v", err)
	}
}
