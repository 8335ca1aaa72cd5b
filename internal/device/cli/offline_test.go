package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
)

var (
	offlineResults = flag.Int("offline", 200, "answers that wait for the network in the test of days offline")
	offlineStarts  = flag.Int("offline-starts", 1, "starts with all of them waiting")
)

// offline is a component on nucleus lite, which spools nothing, and what is heard of
// it on the device.
type offline struct {
	t       *testing.T
	nucleus *nucleus.Nucleus
	client  *ggipc.Client
	work    string
	places  chan struct{} // one for each request that is not answered
	ready   chan struct{} // one for each process that takes requests

	mu       sync.Mutex
	answers  []string // ids, in their order; guarded by mu
	statuses int      // guarded by mu
	dropped  int      // status messages that never arrive, as was told; guarded by mu
}

func newOffline(t *testing.T) *offline {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts components")
	}
	d := &offline{t: t, nucleus: newNucleus(t, nucleus.Lite), places: make(chan struct{}, 32), ready: make(chan struct{}, 16)}
	if err := d.nucleus.MergeConfiguration(greengrass.ComponentName, nil, map[string]any{
		"iotcore": map[string]any{"results": true}, "service": map[string]any{"workers": 2}, "health": map[string]any{"seconds": 0},
	}); err != nil {
		t.Fatal(err)
	}
	d.newWork()
	var err error
	d.client, err = ggipc.Connect(t.Context(), ggipc.Options{
		SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(clientName), QueueEvents: 300_000, QueueBytes: 256 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.client.Close() })
	for topic, hear := range map[string]func([]byte){config.ResultTopic: d.hearAnswer, config.StatusTopic: d.hearStatus} {
		if _, err := d.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: topic}, func(_ context.Context, m ggipc.TopicMessage) { hear(m.Bytes()) }); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// newWork gives the next process a work folder of its own.
func (d *offline) newWork() {
	d.t.Helper()
	d.work = d.t.TempDir()
	var slice bytes.Buffer
	err := png.Encode(&slice, image.NewGray(image.Rect(0, 0, 16, 16)))
	if err == nil {
		err = os.Mkdir(filepath.Join(d.work, "images"), 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(d.work, "images", "slice.png"), slice.Bytes(), 0o640)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *offline) hearAnswer(document []byte) {
	r, err := request.ParseResult(document)
	if err != nil || r.Error != nil {
		d.t.Errorf("%s, %v", document, err)
	}
	<-d.places
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers = append(d.answers, r.ID)
}

func (d *offline) hearStatus(document []byte) {
	var s request.Status
	if err := json.Unmarshal(document, &s); err != nil {
		d.t.Error(err)
	}
	d.mu.Lock()
	d.statuses++
	n := 0
	if _, err := fmt.Sscanf(s.Message, "Error: %d status messages to AWS IoT Core were dropped", &n); err == nil {
		d.dropped += n
	}
	d.mu.Unlock()
	if s.State == request.StateReady && s.Message == "Ready." {
		d.ready <- struct{}{}
	}
}

// start starts the program and tells after how long it takes requests.
func (d *offline) start() (p *exec.Cmd, took time.Duration) {
	d.t.Helper()
	p = exec.Command("brainseg", "component")
	p.Dir, p.Env = d.work, append(os.Environ(), d.nucleus.Env(greengrass.ComponentName)...)
	var log bytes.Buffer
	p.Stdout, p.Stderr = &log, &log
	begin := time.Now()
	if err := p.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { p.Process.Kill() })
	select {
	case <-d.ready:
	case <-time.After(time.Minute):
		d.t.Fatalf("the component is not ready:\n%s", log.Bytes())
	}
	return p, time.Since(begin)
}

func (d *offline) stop(p *exec.Cmd) {
	d.t.Helper()
	if err := p.Process.Signal(os.Interrupt); err != nil {
		d.t.Error(err)
	}
	if err := p.Wait(); err != nil {
		d.t.Errorf("the component ended with %v", err)
	}
}

// ask sends n requests and waits until all are answered on the device.
func (d *offline) ask(name string, n int) {
	d.t.Helper()
	for i := range n {
		d.places <- struct{}{}
		document := fmt.Appendf(nil, `{"id":"%s-%06d","image":{"path":"slice.png"}}`, name, i)
		if err := d.client.PublishToTopic(d.t.Context(), ggipc.PublishToTopicRequest{Topic: config.RequestTopic, Binary: document}); err != nil {
			d.t.Fatal(err)
		}
	}
	d.await("answers on the device", func() bool { return len(d.places) == 0 })
}

func (d *offline) await(what string, condition func() bool) {
	d.t.Helper()
	for end := time.Now().Add(3 * time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("in vain: %s", what)
		}
	}
}

// memory is what a process has resident, in MB; the least of some looks, for the
// garbage of the last requests is no part of it.
func memory(t *testing.T, p *exec.Cmd) float64 {
	t.Helper()
	least := 0
	for i := range 20 {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		if err != nil {
			t.Skip(err)
		}
		_, rest, _ := bytes.Cut(content, []byte("VmRSS:"))
		kilobytes, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 || kilobytes < least {
			least = kilobytes
		}
		time.Sleep(10 * time.Millisecond)
	}
	return float64(least) / 1000
}

// arrivals is what reaches AWS IoT Core.
type arrivals struct {
	mu          sync.Mutex
	results     []string    // guarded by mu
	statuses    int         // guarded by mu
	first, last time.Time   // result; guarded by mu
	attempts    map[int]int // guarded by mu
}

func (a *arrivals) watch(t *testing.T, messages <-chan nucleus.Message) {
	for m := range messages {
		a.mu.Lock()
		if m.Topic == config.StatusTopic {
			a.statuses++
		} else if r, err := request.ParseResult(m.Payload); err != nil {
			t.Errorf("%s: %v", m.Payload, err)
		} else {
			if len(a.results) == 0 {
				a.first = time.Now()
			}
			a.last = time.Now()
			a.results = append(a.results, r.ID)
			a.attempts[r.Attempt]++
		}
		a.mu.Unlock()
	}
}

// 72 hours with a request every five seconds and no way to AWS IoT Core.
func TestAnswersOutwaitDaysOfflineAndArriveOnceInTheirOrder(t *testing.T) {
	n := *offlineResults
	d := newOffline(t)
	const some = 50 // requests before memory is looked at
	p, idleStart := d.start()
	d.ask("idle", some)
	idle := memory(t, p)
	d.stop(p)

	d.newWork()
	d.mu.Lock()
	d.answers, d.statuses, d.dropped = nil, 0, 0
	d.mu.Unlock()
	d.nucleus.SetOnline(false)
	for life := range 2 {
		p, _ = d.start()
		d.ask(fmt.Sprintf("life%d", life), (n-some)/2)
		d.stop(p)
	}
	var starts []time.Duration
	for range *offlineStarts {
		if len(starts) > 0 {
			d.stop(p)
		}
		var took time.Duration
		p, took = d.start()
		starts = append(starts, took)
	}
	d.ask("last", n-2*((n-some)/2))
	full := memory(t, p)

	messages, cancel := d.nucleus.SubscribeCloud("#")
	arrived := arrivals{attempts: map[int]int{}}
	var watching sync.WaitGroup
	watching.Go(func() { arrived.watch(t, messages) })
	d.nucleus.SetOnline(true)
	draining := full
	d.await("everything arrives in IoT Core", func() bool {
		arrived.mu.Lock()
		results, statuses := len(arrived.results), arrived.statuses
		arrived.mu.Unlock()
		if results > 0 && results < n {
			draining = max(draining, memory(t, p))
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return results >= n && statuses+d.dropped >= d.statuses
	})
	d.stop(p)
	cancel()
	watching.Wait()
	d.mu.Lock() // the last status message may still come
	defer d.mu.Unlock()

	slices.Sort(starts)
	drain := float64(n) / arrived.last.Sub(arrived.first).Seconds()
	t.Logf("%d answers waited over %d restarts: start to ready p50 %v with them, %v with none; memory %.1f MB above the idle %.1f, %.1f while they go out; %.0f a second go out; %d status messages arrived and %d were dropped and told; attempts %v",
		n, 1+len(starts), starts[len(starts)/2].Round(time.Millisecond), idleStart.Round(time.Millisecond), full-idle, idle, draining-idle, drain,
		arrived.statuses, d.dropped, arrived.attempts)
	if diff := cmp.Diff(d.answers, arrived.results); diff != "" {
		t.Errorf("answers (-on the device +in IoT Core):\n%.2000s", diff)
	}
	// The last one may still come; the device's own topic may have heard less, for at
	// this speed its box, which is in memory, drops some.
	if lost := d.statuses - arrived.statuses - d.dropped; lost > 1 {
		t.Errorf("%d status messages on the device, %d in IoT Core, %d told as dropped", d.statuses, arrived.statuses, d.dropped)
	}
	if n := d.nucleus.DroppedEvents(); n > 0 {
		t.Errorf("the test itself lost %d messages", n)
	}
	if n < 10_000 {
		return // too few to measure by
	}
	if p50 := starts[len(starts)/2]; p50 > 300*time.Millisecond {
		t.Errorf("a start takes %v, want 300 ms at most", p50)
	}
	if full-idle > 10 || draining-idle > 10 {
		t.Errorf("memory grows by %.1f and %.1f MB, want 10 at most", full-idle, draining-idle)
	}
	if drain < 1000 {
		t.Errorf("%.0f answers a second go out, want 1,000", drain)
	}
}
