package queue

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a disk of a megabyte, where the test may.
func smallDisk(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	if err := unix.Mount("none", folder, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("this needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
	return folder
}

func TestAFullDiskIsToldAndLosesNothing(t *testing.T) {
	folder := smallDisk(t)
	q := open(t, Options{Folder: filepath.Join(folder, "queue"), MaxRequests: 10_000})
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	full(t, q, syscall.ENOSPC, func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	})
}

func TestAFileThatMayNotGrowIsToldAndLosesNothing(t *testing.T) {
	const child = "QUEUE_TEST_LIMIT"
	if os.Getenv(child) == "" { // the limit is one of a process, and the tests' own files have none
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	q := open(t, Options{MaxRequests: 10_000})
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 700_000, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	full(t, q, nil, func() { // bbolt keeps the cause to itself
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
	})
}

// full fills a queue until its disk stores no more, then makes room.
func full(t *testing.T, q *Queue, cause error, room func()) {
	var stored []string
	refused := 0
	for i := 0; refused < 20; i++ {
		r := request(fmt.Sprint(i))
		r.Image = make([]byte, 30_000)
		if i%2 == 0 {
			r.Image = r.Image[:2000]
		}
		_, err := q.Accept(t.Context(), r)
		switch {
		case err == nil:
			stored = append(stored, r.ID)
		case errors.Is(err, ErrStorage) && (cause == nil || errors.Is(err, cause)):
			refused++
		default:
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if s := q.Stats(); s.Waiting != len(stored) || s.Damaged != 0 {
		t.Errorf("%d are stored, and %+v", len(stored), s)
	}
	// What is there can be read, and answered as soon as there is room.
	w := next(t, q)
	if err := q.Finish(t.Context(), w.ID, make([]byte, 200_000), "ipc"); !errors.Is(err, ErrStorage) {
		t.Errorf("an answer without room: %v", err)
	}
	room()
	finish(t, q, w.ID, "answer", "ipc")
	accept(t, q, request("afterwards"))
	q = again(t, q, true)
	var got []string
	for q.Stats().Waiting > 0 {
		w := next(t, q)
		got = append(got, w.ID)
	}
	if want := append(stored[1:], "afterwards"); !slices.Equal(got, want) {
		t.Errorf("%d of %d are there", len(got), len(want))
	}
	if len(deliveries(t, q, "ipc", 1)) != 1 {
		t.Error("the answer is lost")
	}
}

func TestAQueueOpensOnAFullDisk(t *testing.T) {
	folder := smallDisk(t)
	q := open(t, Options{Folder: filepath.Join(folder, "queue"), MaxCrashes: 9})
	for i := range 20 {
		accept(t, q, request(fmt.Sprint(i)))
	}
	started(t, q, next(t, q))
	finish(t, q, "5", "answer", "ipc")
	kill(t, q)
	if err := os.WriteFile(filepath.Join(folder, "ballast"), make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	q = open(t, q.opts)
	if w := next(t, q); w.Crashes != 1 {
		t.Errorf("%+v", w)
	}
	if d := deliveries(t, q, "ipc", 1); d[0].Attempt != 2 {
		t.Errorf("%+v", d)
	}
}

func TestAReadOnlyDiskIsTold(t *testing.T) {
	folder := smallDisk(t)
	opts := Options{Folder: filepath.Join(folder, "queue")}
	shut(t, open(t, opts))
	if err := unix.Mount("none", folder, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), opts); !errors.Is(err, ErrStorage) || !errors.Is(err, syscall.EROFS) {
		t.Errorf("got %v", err)
	}
}

// A sync that fails leaves open whether the transaction is on the disk. The disk
// is played here: it stores, and says that it did not.
func TestASyncThatFailsIsNeitherConfirmedNorLost(t *testing.T) {
	for _, stored := range []bool{false, true} {
		q := open(t, Options{})
		for i := range 4 {
			accept(t, q, request(fmt.Sprint(i)))
		}
		for range 2 {
			started(t, q, next(t, q))
		}
		fail := func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.file.Commit = func(tx *bolt.Tx) error {
				q.file.Commit = nil
				if stored {
					if err := tx.Commit(); err != nil {
						return err
					}
				}
				return syscall.EIO
			}
		}
		fail()
		if _, err := q.Accept(t.Context(), request("new")); !errors.Is(err, ErrStorage) {
			t.Fatalf("a request: %v", err)
		}
		if r := accept(t, q, request("new")); r.Duplicate != stored {
			t.Errorf("stored %t: again, %+v", stored, r)
		}
		fail()
		if err := q.Finish(t.Context(), "0", []byte("first"), "ipc"); !errors.Is(err, ErrStorage) {
			t.Fatalf("an answer: %v", err)
		}
		if err := q.Finish(t.Context(), "0", []byte("second"), "ipc"); errors.Is(err, ErrAnswered) != stored {
			t.Errorf("stored %t: again, %v", stored, err)
		}
		want := map[bool]string{true: "first", false: "second"}[stored]
		if d := deliveries(t, q, "ipc", 10); len(d) != 1 || string(d[0].Answer) != want {
			t.Errorf("stored %t: %+v", stored, d)
		}
		fail()
		if err := q.Delivered(t.Context(), "ipc", 1, 2); !errors.Is(err, ErrStorage) {
			t.Fatalf("a delivery: %v", err)
		}
		delivered(t, q, "ipc", 1, 2)
		finish(t, q, "1", "third", "ipc")
		if s := q.Stats(); s.Waiting != 3 || s.Working != 0 || s.Pending["ipc"] != 1 || s.Answers != 2 || s.Damaged != 0 {
			t.Errorf("stored %t: %+v", stored, s)
		}
		q = again(t, q, false)
		if s := q.Stats(); s.Waiting != 3 || s.Pending["ipc"] != 1 || s.Answers != 2 {
			t.Errorf("stored %t: opened again, %+v", stored, s)
		}
	}
}

func TestAnAnswerIsNotHandedOutBeforeItIsOnTheDisk(t *testing.T) {
	q := open(t, Options{})
	for _, id := range []string{"a", "b"} {
		accept(t, q, request(id))
	}
	finish(t, q, "a", "answer", "ipc")
	var seen []string
	q.mu.Lock()
	q.file.Commit = func(tx *bolt.Tx) error {
		q.file.Commit = nil
		err := tx.Commit() // a reader sees it as soon as it is written, before it is synced
		list, readErr := q.readDeliveries("ipc", 10)
		seen = ids(list)
		return errors.Join(err, readErr)
	}
	q.mu.Unlock()
	finish(t, q, "b", "answer", "ipc")
	if !slices.Equal(seen, []string{"a"}) {
		t.Errorf("before the sync %v can be seen", seen)
	}
	if got := ids(deliveries(t, q, "ipc", 10)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("after the sync %v can be seen", got)
	}
}
