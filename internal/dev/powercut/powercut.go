// Package powercut proves that a program loses nothing by a power cut. Record
// runs it under strace and keeps every change that it made to files below a
// folder, and every line that it wrote to standard output, in their order. After
// each of them Trace.States builds disks as a power cut could have left them:
//
//   - what was synced is there, and of what was not any part may be missing,
//     whatever came later: whole writes, their sectors of 512 bytes, and extended
//     attributes;
//   - a name that was made, changed or removed may be old or new until its folder
//     was synced, whatever came later.
//
// This is what POSIX promises, and harsher than any file system is. Changes
// through a writable mapping are not seen; a program that is tried must not use
// one. Only tests call this package.
package powercut

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoStrace: strace is not installed, or may not trace here.
var ErrNoStrace = errors.New("strace cannot be used")

// kind says what an operation does.
type kind int

const (
	opCreate kind = iota // a file
	opFolder             // a folder is made
	opWrite
	opTruncate
	opSync       // a file
	opSyncFolder // the names in a folder
	opRename
	opRemove
	opSay       // a write to standard output
	opAttribute // an extended one of a file
	opCopy      // a write of what is in another file
)

// operation is a change. Paths are relative to the folder.
type operation struct {
	kind   kind
	path   string
	to     string // of a rename; the name of an attribute
	offset int64  // of a write; the size of a truncation
	data   []byte
	from   string // of a copy
	start  int64  // in it
	length int64  // of a copy
}

// Trace is what a program did, in order.
type Trace struct {
	operations []operation
}

// Len is the number of operations.
func (t *Trace) Len() int { return len(t.operations) }

// traced are the system calls that change files or confirm. A question mark lets
// strace pass over those that an architecture does not have.
var traced = strings.Join([]string{
	"openat", "?open", "?creat", "close", "write", "writev", "pwrite64", "pwritev", "?pwritev2", "lseek", "ftruncate", "truncate", "fallocate",
	"fsync", "fdatasync", "sync_file_range", "?rename", "?renameat", "renameat2", "?unlink", "unlinkat", "?rmdir", "?mkdir", "mkdirat",
	"?link", "linkat", "?symlink", "symlinkat", "copy_file_range", "sendfile", "splice", "fsetxattr", "setxattr", "lsetxattr",
}, ",")

// Record runs a program that changes files below folder, which must be empty, and
// returns what it did. The error wraps ErrNoStrace where strace cannot be used.
func Record(ctx context.Context, cmd *exec.Cmd, folder string) (*Trace, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoStrace, err)
	}
	folder, err = filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp("", "strace-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	options := []string{"-f", "-qq", "-xx", "-y", "-s", fmt.Sprint(64 << 20), "-e", "signal=none", "-o", log.Name()}
	if out, err := exec.CommandContext(ctx, strace, append(options, "true")...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %w: %s", ErrNoStrace, err, bytes.TrimSpace(out))
	}
	traced := exec.CommandContext(ctx, strace, append(append(options, "-e", "trace="+traced, "--", cmd.Path), cmd.Args[1:]...)...)
	traced.Env, traced.Dir = cmd.Env, cmd.Dir
	var output bytes.Buffer
	traced.Stderr = &output
	traced.Stdout = &output
	if err := traced.Run(); err != nil {
		return nil, fmt.Errorf("run the program under strace: %w: %s", err, output.Bytes())
	}
	return parse(log, folder)
}
