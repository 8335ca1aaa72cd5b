package powercut

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RecordTest runs the test program again, told by env which part of it to play, and
// records what it does below root. It returns the record, and the folder in which the
// disks are to be built: in memory, where there is one. Without strace the test is
// skipped.
func RecordTest(t testing.TB, root string, env ...string) (trace *Trace, disk string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), env...)
	trace, err := Record(t.Context(), cmd, root)
	if errors.Is(err, ErrNoStrace) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.MkdirTemp("/dev/shm", "powercut-")
	if err != nil {
		memory = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	return trace, filepath.Join(memory, "disk")
}
