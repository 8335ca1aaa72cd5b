package cli_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/device/request"
)

var diskRounds = flag.Int("disk-rounds", 1, "how often each fault of a disk comes over the component")

// diskFault is what a disk does to a process that runs. begin returns what ends it,
// nil where the fault cannot be made here.
type diskFault struct {
	name  string
	begin func(t *testing.T, pid int, work string) (end func())
	// slow is set where requests are answered all the same; otherwise they are
	// refused as long as it lasts.
	slow bool
}

// limitFiles has what is written beyond the first pages of a file fail, which needs
// no right and no other program.
func limitFiles(t *testing.T, pid int, _ string) func() {
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &before); err != nil {
		t.Log(err)
		return nil
	}
	set := func(limit unix.Rlimit) {
		if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Error(err)
		}
	}
	set(unix.Rlimit{Cur: 8192, Max: before.Max})
	return func() { set(before) }
}

// inject has strace make calls of the process fail or take long, those on the
// queue's file and on the folder of masks.
func inject(calls, what string) func(t *testing.T, pid int, work string) func() {
	return func(t *testing.T, pid int, work string) func() {
		strace := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-P", filepath.Join(work, "masks"), "-P", filepath.Join(work, "queue", "queue.db"),
			"-e", "signal=none", "-e", "trace="+calls, "-e", "inject="+calls+":"+what, "-p", strconv.Itoa(pid))
		var complaint bytes.Buffer
		strace.Stderr = &complaint
		if err := strace.Start(); err != nil {
			t.Log(err)
			return nil
		}
		ended := make(chan error, 1)
		go func() { ended <- strace.Wait() }()
		for end := time.Now().Add(time.Minute); !traced(pid); time.Sleep(time.Millisecond) {
			select {
			case err := <-ended:
				t.Logf("strace: %v: %s", err, complaint.Bytes())
				return nil
			default:
			}
			if time.Now().After(end) {
				t.Fatal("strace does not come to trace")
			}
		}
		return func() {
			_ = strace.Process.Signal(syscall.SIGINT) // it lets go of the process
			<-ended
		}
	}
}

// traced tells whether a process has a tracer, all of its threads.
func traced(pid int) bool {
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "status"))
	for _, thread := range threads {
		status, err := os.ReadFile(thread) // one that has ended is none
		if err == nil && strings.Contains(string(status), "TracerPid:\t0\n") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

const (
	changing = "pwrite64,ftruncate,fdatasync,fsync,renameat2"
	opening  = "openat," + changing
)

// Not among the calls is unlinkat: a disk that is read-only keeps the file that was
// just being written, which goes at the next start.
var diskFaults = []diskFault{
	{name: "files that may not grow", begin: limitFiles},
	{name: "full", begin: inject(changing, "error=ENOSPC")},
	{name: "read-only", begin: inject(opening, "error=EROFS")},
	{name: "failing", begin: inject("fdatasync,fsync", "error=EIO")},
	{name: "slow", begin: inject("fdatasync,fsync", "delay_exit=50000"), slow: true},
}

func TestADiskThatFailsLosesNothingAndIsUsedAgain(t *testing.T) {
	c := newTrial(t)
	component := c.component()
	var log bytes.Buffer
	component.Stdout, component.Stderr = &log, &log
	if err := component.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { component.Process.Kill() })
	c.begin()
	more := func(of *atomic.Int64, n int64, what string) {
		t.Helper()
		for before, end := of.Load(), time.Now().Add(time.Minute); of.Load() < before+n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s:\n%s", what, log.Bytes())
			}
		}
	}
	for i := range *diskRounds * len(diskFaults) {
		fault := diskFaults[i%len(diskFaults)]
		more(&c.answered, 10, "answers before the disk is "+fault.name)
		start := time.Now()
		end := fault.begin(t, component.Process.Pid, c.work)
		if end == nil {
			t.Logf("%s: cannot be tried here", fault.name)
			continue
		}
		if fault.slow {
			more(&c.answered, 10, "answers while the disk is "+fault.name)
		} else {
			more(&c.refused, 10, "refusals while the disk is "+fault.name)
		}
		end()
		lasted := time.Since(start)
		more(&c.answered, 10, "answers after the disk was "+fault.name)
		t.Logf("%s: for %v, and after %v more it is used again", fault.name, lasted, time.Since(start)-lasted)
	}
	codes := c.end(component, &log)
	t.Logf("%v; %d replies were refusals; failures: %v", &c.ledger, c.refused.Load(), codes)
	if answers, ids := c.answered.Load(), int64(len(c.results)); answers > 4*ids { // what is not noted as delivered is not sent without end
		t.Errorf("%d answers to %d requests", answers, ids)
	}
	if delete(codes, request.CodeOutputFailed); len(codes) > 0 {
		t.Errorf("requests failed: %v", codes)
	}
}
