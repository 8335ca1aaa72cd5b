package cli_test

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/queue"
)

var (
	stormSeries = flag.Int("storm-series", 4, "series that the DICOM storm sends")
	stormSlices = flag.Int("storm-slices", 12, "objects of each of them")
	stormCuts   = flag.Int("storm-cuts", 4, "associations that are cut")
	stormKills  = flag.Int("storm-kills", 2, "how often the node is killed")
	stormQuiet  = flag.Duration("storm-quiet", 500*time.Millisecond, "the node's quiet time")
)

// cutter is a way to the node which it cuts now and then, as bad networks do.
type cutter struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	cuts   int // that are left
	done   int
	passed int64 // bytes
	random *rand.Rand
	most   int64 // after which a connection is cut at the latest

	connections sync.WaitGroup
}

func startCutter(t *testing.T, to string, cuts int, most int64) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l, to: to, cuts: cuts, most: most, random: rand.New(rand.NewPCG(1, 2))}
	c.connections.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			c.connections.Go(func() { c.pass(from) })
		}
	})
	t.Cleanup(func() { l.Close(); c.connections.Wait() })
	return c
}

// pass passes on what comes, for as long as the connection is to live.
func (c *cutter) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return // the node was killed, and is not back
	}
	defer to.Close()
	limit := int64(-1)
	c.mu.Lock()
	if c.cuts > 0 {
		c.cuts--
		limit = c.random.Int64N(c.most)
	}
	c.mu.Unlock()
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(from, to)
		from.Close()
	}()
	counted := io.TeeReader(from, writerFunc(func(b []byte) (int, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.passed += int64(len(b))
		return len(b), nil
	}))
	if limit >= 0 {
		n, _ := io.CopyN(to, counted, limit)
		c.mu.Lock()
		if n == limit {
			c.done++
		} else {
			c.cuts++ // it was over before
		}
		c.mu.Unlock()
	} else {
		io.Copy(to, counted)
	}
	to.Close()
	from.Close()
	<-back
}

func (c *cutter) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passed
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// storm is a node that is killed and started again on the same port.
type storm struct {
	arguments []string

	mu    sync.Mutex
	node  *dicomNode
	ended []*dicomNode
}

func (s *storm) current() *dicomNode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// kill kills the node and starts it again.
func (s *storm) kill(t *testing.T) {
	s.current().kill()
	next := startNode(t, s.arguments...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, s.node)
	s.node = next
}

// lines are those of all logs with a message.
func (s *storm) lines(message string) (list []map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range append(slices.Clone(s.ended), s.node) {
		list = append(list, n.lines(message)...)
	}
	return list
}

// startArchive starts DCMTK's storescp, to which results go.
func startArchive(t *testing.T, folder string) (port string) {
	t.Helper()
	storescp := judge(t, "storescp", "dcmtk")
	for range 5 {
		port = freePort(t)
		cmd := exec.CommandContext(t.Context(), storescp, "-aet", "PACS", "-od", folder, port)
		cmd.WaitDelay = time.Minute
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { cmd.Wait(); close(ended) }()
		running := true
		eventually(t, func() bool {
			select {
			case <-ended:
				running = false
				return true
			default:
			}
			c, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
		if running {
			t.Cleanup(func() { cmd.Process.Kill(); <-ended })
			return port
		}
	}
	t.Fatal("storescp did not start")
	return ""
}

// storescu sends the files in a folder.
func storescu(t *testing.T, port, folder string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "storescu", "-aec", "BRAINSEG", "+sd", "127.0.0.1", port, folder)
	cmd.Env = append(os.Environ(), "TCP_NODELAY=1") // without it DCMTK waits for 40 ms with each object
	return cmd
}

func TestEverySeriesIsSegmentedOnceThoughAssociationsAreCutAndTheNodeIsKilled(t *testing.T) {
	t.Parallel()
	judge(t, "storescu", "dcmtk")
	base, archive := t.TempDir(), t.TempDir()
	number := func(i int) dicomtest.Series { return dicomtest.Series{Number: i, Slices: *stormSlices} }
	total := int64(0)
	for i := range *stormSeries {
		writeSeries(t, filepath.Join(base, fmt.Sprint(i)), number(i))
		total += int64(len(number(i).DataSet(0)) * *stormSlices)
	}
	out, port := filepath.Join(base, "out"), freePort(t)
	s := &storm{arguments: []string{"--listen", "127.0.0.1:" + port, "--out", out, "--quiet", stormQuiet.String(), "--model", dicomtest.TissueModel(t, filepath.Join("..", "..", "..")), "--return", "PACS@127.0.0.1:" + startArchive(t, archive)}}
	s.node = startNode(t, s.arguments...)
	way := startCutter(t, "127.0.0.1:"+port, *stormCuts, total/int64(*stormSeries))
	_, wayPort, _ := net.SplitHostPort(way.listener.Addr().String())

	// Two senders, each with every other series; what fails is sent again, from the
	// beginning.
	start := time.Now()
	var senders sync.WaitGroup
	var mu sync.Mutex
	tries := 0
	for sender := range 2 {
		senders.Go(func() {
			for i := sender; i < *stormSeries; i += 2 {
				for sent := false; !sent; {
					sent = storescu(t, wayPort, filepath.Join(base, fmt.Sprint(i))).Run() == nil
					mu.Lock()
					tries++
					mu.Unlock()
					if !sent && t.Context().Err() != nil {
						return
					}
				}
			}
		})
	}
	sent := make(chan struct{})
	go func() { senders.Wait(); close(sent) }()
	// All kills but the last fall into the sending, that one into the work.
	for kill := 1; kill < *stormKills; kill++ {
		for at := total * int64(kill) / int64(*stormKills); way.bytes() < at; time.Sleep(time.Millisecond) {
			if t.Context().Err() != nil {
				t.FailNow()
			}
		}
		s.kill(t)
	}
	<-sent
	sending := time.Since(start)
	if *stormKills > 0 {
		eventually(t, func() bool { return len(s.lines("series complete")) > 0 })
		s.kill(t)
	}
	finished := func() bool {
		returned := make(map[any]bool)
		for _, line := range s.lines("result returned") {
			returned[line["series"]] = true
		}
		return len(returned) == *stormSeries
	}
	for last := -1; !finished(); { // a minute for each series
		done := len(s.lines("result returned"))
		if done == last {
			t.Fatalf("after %d results nothing comes any more", done)
		}
		last = done
		deadline := time.Now().Add(time.Minute)
		for len(s.lines("result returned")) == done && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
	}
	// All of it, sent once more, changes nothing: a new series is the next one.
	for i := range *stormSeries + 1 {
		if i == *stormSeries {
			writeSeries(t, filepath.Join(base, fmt.Sprint(i)), number(i))
		}
		if out, err := storescu(t, port, filepath.Join(base, fmt.Sprint(i))).CombinedOutput(); err != nil {
			t.Fatalf("storescu: %v\n%s", err, out)
		}
	}
	results := len(s.lines("result returned"))
	eventually(t, func() bool { return len(s.lines("result returned")) > results })
	s.current().stop(t)

	series := *stormSeries + 1
	partial := 0 // where the machine was too slow for the quiet time
	for _, line := range s.lines("series complete") {
		if line["objects"].(float64) < float64(*stormSlices) {
			partial++
		}
	}
	paths, err := filepath.Glob(filepath.Join(archive, "*"))
	if err != nil {
		t.Fatal(err)
	}
	whole := make(map[string]int)
	for _, path := range paths {
		switch r := readResult(t, path); {
		case r.class != classSEG:
			t.Errorf("the archive has an object of class %s", r.class)
		case r.frames == 2**stormSlices: // two tissues
			whole[r.study]++
		case partial == 0:
			t.Errorf("a result of %d frames", r.frames)
		}
	}
	for i := range series {
		if n := whole[number(i).StudyUID()]; n != 1 {
			t.Errorf("series %d has %d results", i, n)
		}
	}
	done := len(s.lines("series done"))
	if done < series || done > series+partial+*stormKills {
		t.Errorf("%d series were segmented %d times", series, done)
	}
	if odd := slices.Concat(s.lines("series failed; its objects, sent again, are tried again"), s.lines("series refused")); len(odd) > partial {
		t.Errorf("odd: %v", odd)
	}
	q, err := queue.Open(t.Context(), queue.Options{Folder: filepath.Join(out, "spool", "queue")})
	if err != nil {
		t.Fatal(err)
	}
	stats := q.Stats()
	if err := q.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if stats.Answers < series || stats.Answers > series+partial || stats.Waiting+stats.Working > 0 || stats.Pending["return"] > 0 {
		t.Errorf("the queue has %+v", stats)
	}
	objects, err := filepath.Glob(filepath.Join(out, "spool", "inbox", "series", "*", "objects", "*"))
	if err != nil || len(objects) != series**stormSlices {
		t.Errorf("%d objects are kept, want %d (%v)", len(objects), series**stormSlices, err)
	}
	if left, err := filepath.Glob(filepath.Join(out, "spool", "inbox", "incoming", "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if way.done != *stormCuts {
		t.Errorf("%d associations were cut, want %d", way.done, *stormCuts)
	}
	t.Logf("%d objects of %d series in %d associations, %d of them cut, the node killed %d times: %d series segmented %d times, %d of them in parts, %d answers; sent in %v, done in %v",
		len(objects), series, tries, way.done, *stormKills, len(slices.Collect(maps.Keys(whole))), done, partial, stats.Answers, sending.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
}
