package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/ggipc"
)

// cloud is the other side: it takes messages while it is online.
type cloud struct {
	mu     sync.Mutex
	online bool     // guarded by mu
	got    []string // guarded by mu
}

func (c *cloud) send(_ context.Context, m Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.online {
		return &ggipc.Error{Operation: "PublishToIoTCore", Code: ggipc.CodeServiceError}
	}
	c.got = append(c.got, m.Topic+"/"+string(m.Document))
	return nil
}

func (c *cloud) setOnline(online bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.online = online
}

func (c *cloud) received() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

// kept opens an outbox with a file.
func (c *cloud) kept(t *testing.T, path string, opts Options) *Outbox {
	t.Helper()
	opts.Name, opts.Link = "message", over(c.send)
	o := New(opts)
	o.Keep(path, func(setAside string, cause error) { t.Errorf("%s is set aside: %v", setAside, cause) })
	return o
}

// awaitFile waits until the file is open, or is found to be missing.
func awaitFile(o *Outbox) (open bool) {
	o.writing.Lock()
	defer o.writing.Unlock()
	return o.disk.open
}

func end(t *testing.T, o *Outbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.Close(ctx)
}

func put(o *Outbox, from, to int) (names []string) {
	for i := from; i < to; i++ {
		o.Put(Message{Topic: "status", Document: fmt.Appendf(nil, "%06d", i)})
		names = append(names, fmt.Sprintf("status/%06d", i))
	}
	return names
}

func TestWhatWaitsIsSentInOrderOverRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	var c cloud
	var want []string
	for life := range 3 {
		o := c.kept(t, path, Options{})
		want = append(want, put(o, 1000*life, 1000*life+700)...) // more than fit in one batch
		end(t, o)
		if s := o.Stats(); s.Waiting != len(want) || s.Lost != 0 || s.Longest <= 0 {
			t.Fatalf("life %d: %+v", life, s)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	c.setOnline(true)
	o := c.kept(t, path, Options{})
	want = append(want, put(o, 5000, 5010)...)
	end(t, o)
	if diff := cmp.Diff(want, c.received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := o.Stats(); s.Waiting != 0 || s.Lost != 0 || s.Longest != 0 {
		t.Errorf("%+v", s)
	}
	o = c.kept(t, path, Options{})
	end(t, o)
	if n := len(c.received()); n != len(want) {
		t.Errorf("%d messages came again", n-len(want))
	}
}

func TestWhileMessagesGoOutNoFileIsMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	c := cloud{online: true}
	o := c.kept(t, path, Options{})
	want := put(o, 0, 200)
	end(t, o)
	if diff := cmp.Diff(want, c.received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file: %v", err)
	}
}

// A process that is killed loses what has not waited for long yet.
func TestWhatHasWaitedIsStoredThoughTheProcessIsKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		path := filepath.Join(folder, "outbox.db")
		var c cloud
		o := c.kept(t, path, Options{Lazy: 5 * time.Second})
		want := put(o, 0, 3)
		time.Sleep(4 * time.Second)
		want = append(want, put(o, 3, 5)...)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("they are stored too early: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		content, err := os.ReadFile(path) // as the killed process leaves it
		if err != nil {
			t.Fatal(err)
		}
		put(o, 5, 6)
		c.setOnline(true)
		end(t, o)
		left := filepath.Join(folder, "left.db")
		if err := os.WriteFile(left, content, 0o600); err != nil {
			t.Fatal(err)
		}
		next := cloud{online: true}
		end(t, next.kept(t, left, Options{}))
		if diff := cmp.Diff(want, next.received()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := c.received(); len(got) != 6 || got[0] != want[0] || got[5] != "status/000005" {
			t.Errorf("the process itself sent %v", got)
		}
	})
}

func TestTheOldestGoAndAreCountedOverRestarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts Options
	}{
		{"messages", Options{MaxMessages: 300}},
		{"bytes", Options{MaxBytes: 300 * 12}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outbox.db")
			var c cloud
			lost := uint64(0)
			for life := range 3 {
				o := c.kept(t, path, tt.opts)
				put(o, 200*life, 200*life+200)
				end(t, o)
				if s := o.Stats(); s.Waiting != min(300, 200*(life+1)) {
					t.Errorf("%+v", s)
				} else {
					lost += s.Lost
				}
			}
			c.setOnline(true)
			o := c.kept(t, path, tt.opts)
			awaitFile(o)
			if told := o.Told(); told != 300 || lost != 300 {
				t.Errorf("%d are told, %d lost, want 300", told, lost)
			}
			end(t, o)
			if got := c.received(); len(got) != 300 || got[0] != "status/000300" || got[299] != "status/000599" {
				t.Errorf("%d came, from %s", len(got), got[0])
			}
			o = c.kept(t, path, tt.opts)
			awaitFile(o)
			if told := o.Told(); told != 0 {
				t.Errorf("%d are told again", told)
			}
			end(t, o)
		})
	}
}

func TestADamagedFileIsSetAsideAndTheNextMessagesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	var c cloud
	o := c.kept(t, path, Options{})
	put(o, 0, 10)
	end(t, o)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range content {
		content[i] ^= 0xff
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var aside string
	told := make(chan struct{})
	o = New(Options{Name: "message", Link: over(c.send)})
	o.Keep(path, func(setAside string, cause error) {
		aside = setAside
		o.Put(Message{Topic: "status", Document: []byte("damaged")})
		close(told)
	})
	<-told
	put(o, 10, 12)
	end(t, o)
	if kept, err := os.ReadFile(aside); err != nil || len(kept) != len(content) || o.Stats().Damaged != 1 {
		t.Errorf("%q: %v, %+v", aside, err, o.Stats())
	}
	c.setOnline(true)
	end(t, c.kept(t, path, Options{}))
	if diff := cmp.Diff([]string{"status/damaged", "status/000010", "status/000011"}, c.received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADiskThatStoresNothingCostsNothingUntilItDoes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	var c cloud
	o := New(Options{Name: "message", Link: over(c.send), Lazy: time.Millisecond})
	full := true
	o.writing.Lock()
	o.disk = newDisk(path, func(string, error) {})
	o.disk.file.Commit = func(tx *bolt.Tx) error { // called with writing held
		if full {
			tx.Rollback()
			return errors.New("no space")
		}
		return tx.Commit()
	}
	o.keeping.Go(o.keep)
	o.writing.Unlock()
	want := put(o, 0, 300)
	for tried := false; !tried; time.Sleep(time.Millisecond) {
		o.writing.Lock()
		tried = o.complained
		o.writing.Unlock()
	}
	// The first counts once it was tried.
	for deadline := time.Now().Add(patience); o.Stats().Waiting != 300; time.Sleep(time.Millisecond) {
		if s := o.Stats(); s.Lost != 0 || time.Now().After(deadline) {
			t.Fatalf("%+v", s)
		}
	}
	o.writing.Lock()
	full = false
	o.writing.Unlock()
	for stored := 0; stored < 300; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		stored = o.stored.messages
		o.mu.Unlock()
	}
	end(t, o)
	c.setOnline(true)
	end(t, c.kept(t, path, Options{}))
	if diff := cmp.Diff(want, c.received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAMessageIsSentOnceThoughItIsStoredMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	var c cloud
	begun, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.online = true
	o := New(Options{Name: "message", Lazy: time.Millisecond, Link: over(func(ctx context.Context, m Message) error {
		once.Do(func() { close(begun); <-hold }) // a connection that answers late
		return c.send(ctx, m)
	})})
	o.Keep(path, func(string, error) {})
	want := put(o, 0, 3)
	<-begun
	for stored := 0; stored < 3; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		stored = o.stored.messages
		o.mu.Unlock()
	}
	want = append(want, put(o, 3, 6)...)
	close(hold)
	end(t, o)
	end(t, c.kept(t, path, Options{}))
	if diff := cmp.Diff(want, c.received()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Whatever is in the file, the outbox opens, and sends nothing but what was put. A
// damaged first page may bring back the state before the last transaction.
func FuzzADamagedFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "outbox.db")
	o := New(Options{Name: "message", Link: over(func(context.Context, Message) error { return &ggipc.Error{Code: ggipc.CodeServiceError} })})
	o.Keep(path, func(string, error) {})
	sent := put(o, 0, 5)
	o.Put(Message{Topic: "large", Document: make([]byte, 5000)})
	sent = append(sent, "large/"+string(make([]byte, 5000)))
	o.Close(context.Background())
	content, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, uint8(0))
	f.Add(4*4096+20, uint8(1))
	f.Fuzz(func(t *testing.T, at int, flip uint8) {
		damaged := bytes.Clone(content)
		damaged[max(0, at)%len(damaged)] ^= flip
		path := filepath.Join(t.TempDir(), "outbox.db")
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		c := cloud{online: true}
		o := New(Options{Name: "message", Link: over(c.send)})
		o.Keep(path, func(string, error) {})
		end(t, o)
		for i, m := range c.received() {
			if m != sent[i] {
				t.Errorf("%.100q came in place of %.100q", m, sent[i])
			}
		}
	})
}

// What is sent another way meanwhile is the last, and stays it after a power cut.
func TestAnOutboxIsClearOnceNothingOfItCanBeSentLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	var c cloud
	o := c.kept(t, path, Options{})
	if !o.Clear() {
		t.Error("an outbox without a file is not clear")
	}
	put(o, 0, 5)
	if o.Clear() {
		t.Error("it is clear while messages wait in memory")
	}
	end(t, o)
	c.setOnline(true)
	begun, hold := make(chan struct{}), make(chan struct{})
	var once sync.Once
	o = New(Options{Name: "message", Lazy: time.Millisecond, Link: over(func(ctx context.Context, m Message) error {
		once.Do(func() { close(begun); <-hold })
		return c.send(ctx, m)
	})})
	o.Keep(path, func(setAside string, cause error) { t.Errorf("%s is set aside: %v", setAside, cause) })
	if o.Clear() {
		t.Error("it is clear before its file is read")
	}
	<-begun
	full := true
	o.writing.Lock()
	o.disk.file.Commit = func(tx *bolt.Tx) error { // called with writing held
		if full {
			return errors.Join(errors.New("no space"), tx.Rollback())
		}
		return tx.Commit()
	}
	o.writing.Unlock()
	close(hold)
	for deadline := time.Now().Add(patience); o.Stats().Waiting > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", o.Stats())
		}
	}
	if o.Clear() {
		t.Error("it is clear while what was sent is still in the file")
	}
	o.writing.Lock()
	full = false
	o.writing.Unlock()
	for deadline := time.Now().Add(patience); !o.Clear(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was sent is never removed")
		}
	}
	end(t, o)
	if n := len(c.received()); n != 5 {
		t.Errorf("%d messages came of 5", n)
	}
}

func TestAFileFromWhichAllWasSentGivesItsRoomBackAndStillKnowsWhatWasLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	var c cloud
	opts := Options{MaxMessages: 100}
	o := c.kept(t, path, opts)
	for range 110 {
		o.Put(Message{Topic: "status", Document: make([]byte, 6000)})
	}
	end(t, o)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	c.setOnline(true)
	end(t, c.kept(t, path, opts))
	after, err := os.Stat(path)
	if err != nil || before.Size() < 600_000 || after.Size() > emptyBytes || after.Mode().Perm() != 0o600 {
		t.Errorf("the file had %d bytes and has %v: %v", before.Size(), after, err)
	}
	o = c.kept(t, path, opts)
	awaitFile(o)
	if told := o.Told(); told != 10 {
		t.Errorf("%d are told to be lost of 10", told)
	}
	end(t, o)
	if n := len(c.received()); n != 100 {
		t.Errorf("%d messages came of 100", n)
	}
}
