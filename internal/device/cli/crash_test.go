package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/crashtest"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
)

var kills = flag.Int("kills", 3, "how often the component of the crash test is killed")

// trial is a component in a folder of its own, and those who send it requests.
type trial struct {
	*requesters
	work    string
	program string // the component's
	nucleus *nucleus.Nucleus
	sending sync.WaitGroup

	arriving sync.Mutex
	arrived  map[string]bool // ids of answers in AWS IoT Core; guarded by arriving
}

func newTrial(t *testing.T) *trial { t.Helper(); return newTrialOn(t, nucleus.Classic) }

func newTrialOn(t *testing.T, profile nucleus.Profile) *trial {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts components")
	}
	c := &trial{work: t.TempDir(), program: "brainseg", nucleus: newNucleus(t, profile), arrived: map[string]bool{}}
	slice, err := os.ReadFile(filepath.Join("..", "..", "imaging", "testdata", "rgb.jpg"))
	if err == nil {
		err = os.Mkdir(filepath.Join(c.work, "images"), 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.work, "images", "slice.jpg"), slice, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0") // one that is free, for all runs
	if err != nil {
		t.Fatal(err)
	}
	port.Close()
	if err := c.nucleus.MergeConfiguration(greengrass.ComponentName, nil, map[string]any{
		"http": map[string]any{"address": port.Addr().String()}, "service": map[string]any{"workers": 2}, "iotcore": map[string]any{"results": true},
	}); err != nil {
		t.Fatal(err)
	}
	c.requesters = &requesters{
		t: t, url: "http://" + port.Addr().String() + "/", slice: slice, enough: make(chan struct{}),
		heard: map[string]chan struct{}{}, results: map[string]request.Result{},
	}
	c.http.Transport = &http.Transport{DisableKeepAlives: true}
	c.client, err = ggipc.Connect(t.Context(), ggipc.Options{SocketPath: c.nucleus.SocketPath(), AuthToken: c.nucleus.Token(clientName), QueueEvents: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close() })
	if _, err := c.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "inference/brain_segmentation/result"}, func(_ context.Context, m ggipc.TopicMessage) {
		c.reply(m.Bytes())
	}); err != nil {
		t.Fatal(err)
	}
	messages, cancel := c.nucleus.SubscribeCloud("inference/brain_segmentation/result")
	var hearing sync.WaitGroup
	hearing.Go(func() {
		for m := range messages {
			c.arrive(m.Payload)
		}
	})
	t.Cleanup(func() { cancel(); hearing.Wait() })
	return c
}

// arrive notes an answer in AWS IoT Core: there it is the same as anywhere else.
func (c *trial) arrive(document []byte) {
	result, err := request.ParseResult(document)
	if err != nil {
		c.t.Errorf("in IoT Core: %q: %v", document, err)
		return
	}
	sum := sha256.Sum256(request.WithAttempt(document, 1))
	c.ledger.Answer(result.ID, 0, hex.EncodeToString(sum[:]))
	c.arriving.Lock()
	defer c.arriving.Unlock()
	c.arrived[result.ID] = true
}

// checkArrived waits until every answer is in AWS IoT Core too.
func (c *trial) checkArrived() {
	c.t.Helper()
	missing := func() (id string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.arriving.Lock()
		defer c.arriving.Unlock()
		for answered := range c.results {
			if !c.arrived[answered] {
				id = answered
			}
		}
		return id
	}
	for end := time.Now().Add(time.Minute); missing() != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Errorf("the answer to %s does not arrive in IoT Core", missing())
			return
		}
	}
}

// component is the real program, as a nucleus starts it.
func (c *trial) component() *exec.Cmd {
	cmd := exec.Command(c.program, "component")
	cmd.Dir, cmd.Env = c.work, append(os.Environ(), c.nucleus.Env(greengrass.ComponentName)...)
	return cmd
}

// begin has requests sent, over IPC and HTTP.
func (c *trial) begin() {
	for i := range 3 {
		c.sending.Go(func() { c.askOverIPC(c.t.Context(), fmt.Sprint(i)) })
	}
	c.sending.Go(func() { c.postImages(c.t.Context()) })
	c.sending.Go(func() { c.postDocuments(c.t.Context()) })
	c.sending.Go(func() { c.postForLater(c.t.Context()) })
}

// end has no more sent, waits until all is answered, ends the component, and holds
// the files to the answers. It returns the codes of the failures.
func (c *trial) end(component *exec.Cmd, log *bytes.Buffer) map[request.Code]int {
	c.t.Helper()
	close(c.enough)
	c.sending.Wait() // everything that was sent is heard of
	c.checkEnd(c.work)
	c.checkArrived()
	if err := component.Process.Signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	if err := component.Wait(); err != nil {
		c.t.Errorf("the component ended with %v:\n%s", err, log.Bytes())
	}
	c.client.Close() // nothing comes any more
	c.checkFiles(c.work)
	codes := map[request.Code]int{}
	for _, result := range c.results {
		if result.Error != nil {
			codes[result.Error.Code]++
			if result.Error.Code == request.CodeOutputExists {
				c.t.Logf("%s: %+v", result.ID, result.Error)
			}
		}
	}
	return codes
}

func TestNothingThatTheComponentAcceptedIsLostThoughItIsKilled(t *testing.T) {
	c := newTrial(t)
	c.begin()
	err := crashtest.Run(t.Context(), crashtest.Options{
		Command: func(int) *exec.Cmd { return c.component() }, Kills: *kills, Longest: 500 * time.Millisecond, Seed: uint64(*kills),
	})
	if err != nil {
		t.Fatal(err)
	}
	last := c.component()
	var log bytes.Buffer
	last.Stdout, last.Stderr = &log, &log
	if err := last.Start(); err != nil {
		t.Fatal(err)
	}
	codes := c.end(last, &log)
	poisoned := codes[request.CodePoisoned]
	if delete(codes, request.CodePoisoned); len(codes) > 0 {
		t.Errorf("requests failed: %v", codes)
	}
	t.Logf("killed %d times: %v; %d of them poisoned; %d masks over HTTP", *kills, &c.ledger, poisoned, c.overHTTP.Load())
}
