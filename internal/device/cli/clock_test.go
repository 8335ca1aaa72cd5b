package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store/outputs"
)

var clockRounds = flag.Int("clock-rounds", 0, "how often the clock is set forward and back by a year, and back and forward; 0: not at all, for the program is built with another package time")

const year = 365 * 24 * time.Hour

// settable are the changes to source files that make the program one whose time of
// day its test sets: time.Now tells another one, and the masks are dated by it as the
// kernel would date them. The process' own clock, timers and timeouts stay as they are.
// Every library in the program has that clock.
var settable = []struct{ file, old, new string }{
	{"time/time.go", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n", "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n\tsec += ahead.Load()\n"},
	{"time/ahead.go", "", "package time\n\nimport \"sync/atomic\"\n\nvar ahead atomic.Int64\n\n// SetAhead sets the clock.\nfunc SetAhead(d Duration) { ahead.Store(int64(d / Second)) }\n"},
	{"./internal/device/store/outputs/mark.go", "func Mark(file *os.File) {\n", "func Mark(file *os.File) {\n\tnow := unix.NsecToTimeval(time.Now().UnixNano())\n\t_ = unix.Futimes(int(file.Fd()), []unix.Timeval{now, now})\n"},
	{"./component/clock.go", "", `package main

import (
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// init has the clock set forward by a year by SIGUSR1, and back by SIGUSR2.
func init() {
	years, _ := strconv.Atoi(os.Getenv("BRAINSEG_TEST_YEARS"))
	set := func(by int) { years += by; time.SetAhead(time.Duration(years) * 365 * 24 * time.Hour) }
	set(0)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR1 {
				set(1)
			} else {
				set(-1)
			}
		}
	}()
}
`},
}

// buildSettable builds the program with a clock that can be set.
func buildSettable(t *testing.T) (program string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	replace := map[string]string{}
	for i, change := range settable {
		of := filepath.Join(string(bytes.TrimSpace(goroot)), "src", change.file)
		if strings.HasPrefix(change.file, "./") {
			of = filepath.Join(root, change.file)
		}
		text := change.new
		if change.old != "" {
			source, err := os.ReadFile(of)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(source), change.old) != 1 {
				t.Fatalf("%s does not say %q: this test is of another version of Go", of, change.old)
			}
			text = strings.Replace(string(source), change.old, change.new, 1)
		}
		replace[of] = filepath.Join(folder, fmt.Sprint(i, ".go"))
		if err := os.WriteFile(replace[of], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(folder, "brainseg")
	build := exec.Command("go", "build", "-overlay", filepath.Join(folder, "overlay.json"), "-o", program, "./component")
	build.Dir = root
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, said)
	}
	return program
}

// clocked is a component whose clock is set.
type clocked struct {
	*trial
	process *exec.Cmd
	log     bytes.Buffer // of all processes, one after the other
	years   int          // by which its clock is ahead
	fares   atomic.Int64 // messages on how the component fares, since the clock is as it is
	late    atomic.Int64 // the years by which the clock is ahead, as those messages tell
}

// untold is a number of years that no message tells.
const untold = 99

// start starts a process whose clock is where it was in the one before.
func (c *clocked) start() {
	c.t.Helper()
	c.process = c.component()
	c.process.Env = append(c.process.Env, fmt.Sprint("BRAINSEG_TEST_YEARS=", c.years))
	c.process.Stdout, c.process.Stderr = &c.log, &c.log
	c.late.Store(untold)
	if err := c.process.Start(); err != nil {
		c.t.Fatal(err)
	}
	process := c.process.Process
	c.t.Cleanup(func() { process.Kill() })
	c.awaitClock()
}

func (c *clocked) stop() {
	c.t.Helper()
	if err := c.process.Process.Signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	if err := c.process.Wait(); err != nil {
		c.t.Fatalf("the component ended with %v:\n%s", err, c.log.Bytes())
	}
}

// set sets the clock forward or back by a year.
func (c *clocked) set(by int) {
	c.t.Helper()
	c.years += by
	signal := syscall.SIGUSR1
	if by < 0 {
		signal = syscall.SIGUSR2
	}
	if err := c.process.Process.Signal(signal); err != nil {
		c.t.Fatal(err)
	}
	c.awaitClock()
}

// awaitClock waits until the component tells that it has the clock.
func (c *clocked) awaitClock() {
	c.t.Helper()
	c.await("the clock that is set", func() bool { return c.late.Load() == int64(c.years) && c.fares.Load() > 0 })
}

func (c *clocked) await(what string, condition func() bool) {
	c.t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("in vain, with the clock ahead by %d years: %s\n%s", c.years, what, c.log.Bytes())
		}
	}
}

// more waits until there are n more of something.
func (c *clocked) more(n int64, what string, count func() int64) {
	c.t.Helper()
	before := count()
	c.await(what, func() bool { return count() >= before+n })
}

// hear takes a status message. What it tells of durations are those of the test.
func (c *clocked) hear(document []byte) {
	var s request.Status
	if err := json.Unmarshal(document, &s); err != nil {
		c.t.Error(err)
	}
	if s.Health == nil {
		return
	}
	if late := int64(time.Until(s.Time).Round(year) / year); c.late.Swap(late) != late {
		c.fares.Store(0)
	}
	c.fares.Add(1)
	longest := max(s.Health.UptimeSeconds, s.Health.OldestSeconds)
	shortest := min(s.Health.UptimeSeconds, s.Health.OldestSeconds)
	for _, waits := range s.Health.WaitingSeconds {
		longest, shortest = max(longest, waits), min(shortest, waits)
	}
	if l := s.Health.Latency; l != nil {
		longest, shortest = max(longest, l.Max/1000), min(shortest, l.P50)
	}
	if longest > 3600 || shortest < 0 {
		c.t.Errorf("the component tells of durations that were not: %s", document)
	}
}

// configure changes what a deployment can: the folders are opened anew, and the model
// is another copy.
func (c *clocked) configure(i int) {
	c.t.Helper()
	if err := c.nucleus.MergeConfiguration(greengrass.ComponentName, nil, map[string]any{
		"images": map[string]any{"maxBytes": 1<<20 + i}, "model": map[string]any{"path": filepath.Join(c.work, fmt.Sprint("model-", i%2))},
	}); err != nil {
		c.t.Fatal(err)
	}
}

// connections bounds those of the service over HTTP.
const connections = 16

// crowd has clients that never come to an end take the connections, again and again
// where these are cut, until it is ended.
func (c *clocked) crowd() (end func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var all sync.WaitGroup
	for range 4 * connections {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.Trim(strings.TrimPrefix(c.url, "http:"), "/"))
				if err != nil {
					continue // the end
				}
				_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nX: ")
				stop := context.AfterFunc(ctx, func() { conn.Close() })
				_, _ = io.Copy(io.Discard, conn)
				stop()
				conn.Close()
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// goesOn waits until everything that the component does is seen to be done again.
func (c *clocked) goesOn(waiting int64) {
	c.t.Helper()
	c.more(20, "answers", c.answeredOnDevice)
	c.more(10, "masks over HTTP", c.overHTTP.Load)
	c.more(waiting, "answers in AWS IoT Core", c.arrivedInCloud)
	c.more(2, "messages on how it fares", c.fares.Load)
}

func (c *clocked) answeredOnDevice() int64 { return c.answered.Load() }

func (c *clocked) arrivedInCloud() int64 {
	c.arriving.Lock()
	defer c.arriving.Unlock()
	return int64(len(c.arrived))
}

// hang sends a slice on which the model hangs.
func (c *clocked) hang(id, slice string) {
	c.t.Helper()
	document := fmt.Appendf(nil, `{"id":%q,"image":{"base64":%q}}`, id, slice)
	if err := c.client.PublishToTopic(c.t.Context(), ggipc.PublishToTopicRequest{Topic: config.RequestTopic, Binary: document}); err != nil {
		c.t.Fatal(err)
	}
}

func TestAClockThatIsSetByAYearLosesNothingAndStallsNothing(t *testing.T) {
	if *clockRounds == 0 {
		t.Skip("it builds the program, and all that is in it, for minutes: see make faults")
	}
	c := &clocked{trial: newTrialOn(t, nucleus.Lite)}
	c.program = buildSettable(t)
	for i := range 2 {
		if err := os.CopyFS(filepath.Join(c.work, fmt.Sprint("model-", i)), os.DirFS(filepath.Join("..", "..", "segmentation", "testdata", "models", "endless"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.nucleus.MergeConfiguration(greengrass.ComponentName, nil, map[string]any{
		"health": map[string]any{"seconds": 1}, "http": map[string]any{"connections": connections},
		"output": map[string]any{"retainDays": 30, "retainBytes": 1 << 30}, "service": map[string]any{"inferenceSeconds": 1},
	}); err != nil {
		t.Fatal(err)
	}
	c.configure(0)
	old := c.plant("old.png", 40)
	if _, err := c.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: config.StatusTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		c.hear(m.Bytes())
	}); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.await("the mask that is too old is removed", func() bool { _, err := os.Stat(old); return err != nil })
	c.begin()
	for i, by := range slices.Repeat([]int{+1, -1, -1, +1}, *clockRounds) {
		start := time.Now()
		c.nucleus.SetOnline(false)
		c.more(10, "answers", c.answeredOnDevice)
		uncrowd := c.crowd()
		if i == 0 {
			c.hang("hangs", grey(t, 253))
		}
		c.set(by)
		c.configure(i + 1)
		waiting := c.answeredOnDevice() - c.arrivedInCloud()
		c.nucleus.SetOnline(true)
		c.goesOn(min(10, waiting))
		uncrowd()
		t.Logf("the clock is ahead by %d years: %d answers, after %v", c.years, c.answeredOnDevice(), time.Since(start))
		if i == 1 { // what is stored is of the year to come, for a new process too
			c.stop()
			c.start()
			c.goesOn(0)
		}
	}
	c.set(-1)
	c.stop()
	c.start()
	c.goesOn(0)
	c.mu.Lock()
	if r := c.results["hangs"]; r.Error == nil || r.Error.Code != request.CodeInferenceTimeout {
		t.Errorf("on the slice on which the model hangs: %+v", r.Error)
	}
	c.mu.Unlock()
	codes := c.end(c.process, &c.log)
	if delete(codes, request.CodeInferenceTimeout); len(codes) > 0 {
		t.Errorf("requests failed: %v", codes)
	}
	t.Logf("%v; %d masks over HTTP", &c.ledger, c.overHTTP.Load())
}

// plant leaves a mask that is so many days old.
func (c *clocked) plant(name string, days int) (path string) {
	c.t.Helper()
	folder := filepath.Join(c.work, "masks")
	path = filepath.Join(folder, name)
	if err := os.MkdirAll(folder, 0o750); err != nil {
		c.t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	when := time.Now().AddDate(0, 0, -days)
	if err := os.Chtimes(path, when, when); err != nil {
		c.t.Fatal(err)
	}
	outputs.Mark(file)
	return path
}
