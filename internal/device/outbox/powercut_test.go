package outbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/powercut"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

var (
	cutRounds = flag.Int("cut-rounds", 1, "how often the power cut test records the life of a device that is offline at times")
	cutStates = flag.Int("cut-states", 250, "how many disks the power cut test builds")
)

// These make a program of the tests: the one whose power is cut.
const (
	cutFolder = "OUTBOX_CUT_FOLDER"
	cutLimit  = "OUTBOX_CUT_ROUNDS"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(cutFolder); folder != "" {
		if err := cutProgram(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// cutBound is how many messages the file of the test holds.
const cutBound = 60

// cutMessage is one of some bytes to some kilobytes.
func cutMessage(i int) Message {
	length := 40
	switch {
	case i%29 == 17:
		length = 70_000
	case i%11 == 5:
		length = 6000
	case i%7 == 3:
		length = 1500
	}
	return Message{Topic: fmt.Sprint("status/", i%3), Document: fmt.Appendf(nil, "%06d%0*d", i, length, i)}
}

// cutting is the program: a device that is offline at times, life after life.
type cutting struct {
	path       string
	put, sent  int // the last of them
	takes      int // messages that are sent before the device is offline
	unexpected error
}

func cutProgram(folder string) error {
	rounds, err := strconv.Atoi(os.Getenv(cutLimit))
	if err != nil {
		return err
	}
	if err := syncedfolder.Make(folder, 0o700); err != nil {
		return err
	}
	c := &cutting{path: filepath.Join(folder, "outbox.db")}
	for range rounds {
		c.life(0, func(o *Outbox) { // the oldest go for want of room
			for range 3 {
				c.add(o, 25)
				c.awaitStored(o)
			}
		})
		c.life(30, func(*Outbox) {})
		c.life(0, func(o *Outbox) { // a commit that fails and is on the disk
			awaitFile(o)
			fmt.Println("told", o.Told())
			o.writing.Lock()
			o.disk.file.Commit = func(tx *bolt.Tx) error {
				o.disk.file.Commit = nil
				return errors.Join(tx.Commit(), syscall.EIO)
			}
			o.writing.Unlock()
			c.add(o, 5)
			c.awaitStored(o)
		})
		c.life(1<<20, func(o *Outbox) { c.add(o, 10) })
	}
	return c.unexpected
}

// life opens the outbox and closes it, after which all is stored that was not sent,
// and nothing is sent again that was.
func (c *cutting) life(takes int, do func(*Outbox)) {
	c.takes = takes
	o := New(Options{Name: "message", MaxMessages: cutBound, Lazy: time.Millisecond, Link: over(c.send)})
	o.Keep(c.path, func(_ string, cause error) { c.unexpected = cause })
	do(o)
	o.Close(context.Background())
	fmt.Println("stored", c.put)
	fmt.Println("forgotten", c.sent)
}

// send runs in the one goroutine that sends, in one life after the other.
func (c *cutting) send(_ context.Context, m Message) error {
	if c.takes == 0 {
		return &ggipc.Error{Operation: "PublishToIoTCore", Code: ggipc.CodeServiceError}
	}
	c.takes--
	var err error
	c.sent, err = strconv.Atoi(string(m.Document[:6]))
	c.unexpected = errors.Join(c.unexpected, err)
	fmt.Println("sent", c.sent)
	return nil
}

func (c *cutting) add(o *Outbox, n int) {
	for range n {
		c.put++
		fmt.Println("put", c.put)
		o.Put(cutMessage(c.put))
	}
}

func (c *cutting) awaitStored(o *Outbox) {
	for waiting := true; waiting; time.Sleep(100 * time.Microsecond) {
		o.mu.Lock()
		waiting = len(o.memory) > 0 || o.flight != nil && o.flight.number == 0
		o.mu.Unlock()
	}
	fmt.Println("stored", c.put)
}

func TestNoStoredMessageIsLostByAPowerCut(t *testing.T) {
	root := t.TempDir()
	trace, disk := powercut.RecordTest(t, root, cutFolder+"="+filepath.Join(root, "queue"), cutLimit+"="+fmt.Sprint(*cutRounds))
	states, again, heard := 0, 0, 0
	known := confirmed{sent: make(map[int]bool)}
	err := trace.States(powercut.StateOptions{States: *cutStates, Folder: disk}, func(said []string) error {
		states++
		for _, line := range said[heard:] {
			known.hear(line)
		}
		heard = len(said)
		repeated, err := known.check(t, filepath.Join(disk, "queue"))
		again += repeated
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if want := 90 * *cutRounds; len(known.sent) != want-15**cutRounds || known.stored != want || known.forgotten != want || known.told != 15**cutRounds {
		t.Errorf("%+v", known)
	}
	t.Logf("%d operations, %d states of the disk: %d messages put, %d sent, %d went for want of room, %.1f sent again after a cut",
		trace.Len(), states, known.put, len(known.sent), known.told, float64(again)/float64(states))
}

// confirmed is what the program had said by then. Messages have numbers that grow.
type confirmed struct {
	put, stored, forgotten int // the last of them
	sent                   map[int]bool
	told                   int // that they were lost
}

func (k *confirmed) hear(line string) {
	word, number, _ := strings.Cut(line, " ")
	n, _ := strconv.Atoi(number)
	switch word {
	case "put":
		k.put = n
	case "stored":
		k.stored = n
	case "sent":
		k.sent[n] = true
	case "forgotten":
		k.forgotten = n
	case "told":
		k.told += n
	}
}

// check opens the outbox of a disk, has it send all, and holds it to what was
// confirmed. It returns how many messages were sent again.
func (k *confirmed) check(t *testing.T, folder string) (again int, err error) {
	if err := syncedfolder.Make(folder, 0o700); err != nil {
		return 0, err
	}
	path := filepath.Join(folder, "outbox.db")
	var damage error
	c := cloud{online: true}
	o := New(Options{Name: "message", MaxMessages: cutBound, Link: over(c.send)})
	o.Keep(path, func(_ string, cause error) { damage = cause })
	if !awaitFile(o) && damage == nil && k.stored > 0 {
		damage = errors.New("there is no file")
	}
	told := int(o.Told())
	end(t, o)
	if damage != nil {
		return 0, fmt.Errorf("it does not open: %w", damage)
	}
	if s := o.Stats(); s.Waiting != 0 || s.Bytes != 0 || s.Lost != 0 {
		return 0, fmt.Errorf("after all is sent: %+v", s)
	}
	got := make(map[int]bool)
	list := make([]int, 0, len(c.received()))
	for _, text := range c.received() {
		_, document, _ := strings.Cut(strings.TrimPrefix(text, "status/"), "/")
		i, err := strconv.Atoi(document[:min(6, len(document))])
		if want := cutMessage(i); err != nil || i > k.put || text != want.Topic+"/"+string(want.Document) {
			return 0, fmt.Errorf("%.60q was never put", text)
		}
		got[i], list = true, append(list, i)
		if k.sent[i] {
			again++
		}
	}
	if !slices.IsSorted(list) || len(got) < len(list) {
		return 0, fmt.Errorf("they come twice or in another order: %v", list)
	}
	return again, errors.Join(k.missing(got, told), reused(t, path))
}

// missing holds what came, and the number of those that are said to be lost, to what
// was confirmed.
func (k *confirmed) missing(got map[int]bool, told int) error {
	begun, went, unsure := false, 0, 0
	for i := 1; i <= k.put; i++ {
		if got[i] {
			if begun = true; i <= k.forgotten {
				return fmt.Errorf("%d was sent and forgotten, and comes again", i)
			}
			continue
		}
		switch {
		case i <= k.stored && begun:
			return fmt.Errorf("%d was stored, and older ones come without it", i)
		case k.sent[i]:
		case i > k.stored:
			unsure++
		case i > k.put-cutBound:
			return fmt.Errorf("%d was stored and is lost", i)
		default:
			went++
		}
	}
	if told < went-k.told || told > went+unsure {
		return fmt.Errorf("%d are said to be lost, of %d that are, and %d were said before", told, went, k.told)
	}
	return nil
}

// reused tells whether a file from which all was sent takes as much again without
// growing, with no other beside it.
func reused(t *testing.T, path string) error {
	var before int64
	if info, err := os.Stat(path); err == nil {
		before = info.Size()
	}
	var c cloud
	o := c.kept(t, path, Options{})
	put(o, 0, 20)
	end(t, o)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		return fmt.Errorf("files are left: %q, %w", left, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > max(before, 64<<10) || info.Size() > 1<<20 {
		return fmt.Errorf("the file grew from %d to %d bytes: %w", before, info.Size(), err)
	}
	c.setOnline(true)
	end(t, c.kept(t, path, Options{}))
	if n := len(c.received()); n != 20 {
		return fmt.Errorf("%d messages come of 20", n)
	}
	return nil
}
