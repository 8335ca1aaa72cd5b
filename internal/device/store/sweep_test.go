package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/store/outputs"
)

// eventually waits for a state that some goroutine brings about.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(5 * time.Millisecond) {
		if reached() {
			return
		}
	}
	t.Fatal("never: " + what)
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	var list []string
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

// isTemporary reports whether a name is one of outputs.TemporaryName.
func isTemporary(name string) bool {
	return len(name) == len(outputs.TemporaryName()) && strings.HasPrefix(name, ".") && strings.HasSuffix(name, ".tmp") && name == strings.ToUpper(name[:27])+".tmp"
}

// leaveVariable makes this program one that is killed while it writes.
const leaveVariable = "BRAINSEG_TEST_LEAVE"

func TestMain(m *testing.M) {
	folder := os.Getenv(leaveVariable)
	if folder == "" {
		os.Exit(m.Run())
	}
	store, err := New(Options{OutputRoot: folder})
	if err != nil {
		panic(err)
	}
	for {
		if _, err := store.Write(context.Background(), "m.png", make([]byte, 32<<20), WriteOptions{}); err != nil {
			panic(err)
		}
	}
}

func TestTemporaryFilesOfAKilledProcessAreRemovedAtStart(t *testing.T) {
	folder := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	writer := exec.Command(self)
	writer.Env = append(os.Environ(), leaveVariable+"="+folder)
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	defer writer.Wait()
	defer writer.Process.Kill()
	var half string
	eventually(t, "the writer is in the middle of a file", func() bool {
		writer.Process.Signal(syscall.SIGSTOP)
		if found := slices.IndexFunc(names(t, folder), isTemporary); found >= 0 {
			half = filepath.Join(folder, names(t, folder)[found])
			if info, err := os.Stat(half); err == nil && info.Size() > 0 {
				return true
			}
		}
		writer.Process.Signal(syscall.SIGCONT)
		return false
	})
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(half, old, old); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".tmp", ".ABC.tmp", "." + "abcdefghijklmnopqrstuvwxyz" + ".tmp", "mine.tmp"} {
		put(t, filepath.Join(folder, name), "a person's")
	}
	others := len(names(t, folder))

	open := func() {
		store, err := New(Options{OutputRoot: folder})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		<-store.sweeper.Done()
	}
	open()
	if got := names(t, folder); len(got) != others {
		t.Errorf("the file of a process that lives was removed: %q", got)
	}
	writer.Process.Kill()
	writer.Wait()
	sub := filepath.Join(folder, "p1", "day")
	if err := os.MkdirAll(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(sub, outputs.TemporaryName()), "half a ma") // just before
	outside := t.TempDir()
	put(t, filepath.Join(outside, outputs.TemporaryName()), "not ours")
	if err := os.Chtimes(filepath.Join(outside, names(t, outside)[0]), old, old); err != nil {
		t.Fatal(err)
	}
	link(t, outside, filepath.Join(folder, "out"))
	open()
	if got := names(t, folder); len(got) != others+1 || slices.ContainsFunc(got, isTemporary) { // less one, and p1 and out
		t.Errorf("left: %q", got)
	}
	if len(names(t, sub)) != 0 || len(names(t, outside)) != 1 {
		t.Errorf("below: %q, outside: %q", names(t, sub), names(t, outside))
	}
}

func TestOutputsBeyondTheirAgeAreRemovedAndNothingElse(t *testing.T) {
	store, folder := oneFolder(t)
	old := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"old.png", "p1/old.png", "young.png", "timeless.png"} {
		if _, err := store.Write(t.Context(), name, []byte("mask"), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"old.png", "p1/old.png", "scan-7.png"} {
		makeOld(t, filepath.Join(folder, name), old)
	}
	makeOld(t, filepath.Join(folder, "timeless.png"), time.Unix(100, 0))
	kept, err := New(Options{OutputRoot: folder, Retention: outputs.Retention{MaxAge: 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	eventually(t, "the old ones are gone", func() bool {
		return slices.Equal(names(t, folder), []string{"p1", "scan-7.png", "timeless.png", "young.png"}) && len(names(t, filepath.Join(folder, "p1"))) == 0
	})
}

// makeOld gives an output another age as time does: mark and all.
func makeOld(t *testing.T, path string, when time.Time) {
	t.Helper()
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	was := outputs.Marked(root, filepath.Base(path))
	if err := os.Chtimes(path, when, when); err != nil {
		t.Fatal(err)
	}
	if was {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		outputs.Mark(file)
	}
}

func TestTheOldestOutputsAreRemovedWhenAllAreTooLarge(t *testing.T) {
	store, folder := oneFolder(t)
	put(t, filepath.Join(folder, "large.png"), string(bytes.Repeat([]byte("x"), 100_000))) // not ours, not counted
	for i := range 10 {
		name := fmt.Sprintf("m%d.png", i)
		if _, err := store.Write(t.Context(), name, bytes.Repeat([]byte("x"), 1000), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		makeOld(t, filepath.Join(folder, name), time.Now().Add(-time.Duration(100-i)*time.Minute))
	}
	kept, err := New(Options{OutputRoot: folder, Retention: outputs.Retention{MaxBytes: 3500, Interval: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	eventually(t, "three are left", func() bool {
		return slices.Equal(names(t, folder), []string{"large.png", "m7.png", "m8.png", "m9.png", "scan-7.png"})
	})
	if _, err := kept.Write(t.Context(), "m10.png", bytes.Repeat([]byte("x"), 1000), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the next oldest is gone", func() bool {
		return slices.Equal(names(t, folder), []string{"large.png", "m10.png", "m8.png", "m9.png", "scan-7.png"})
	})
}

func TestClosingEndsTheSweeper(t *testing.T) {
	store, err := New(Options{OutputRoot: t.TempDir(), Retention: outputs.Retention{MaxAge: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	store.Close()
	select {
	case <-store.sweeper.Done():
	default:
		t.Error("it runs on")
	}
}
