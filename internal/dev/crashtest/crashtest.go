// Package crashtest proves that a program which is killed at any moment loses
// nothing that it has confirmed. Run starts the program again and again and kills
// it with SIGKILL; a Ledger holds what was confirmed to what came out.
//
// A program that is tried tells on standard output what it confirms, a line each;
// Ledger.Line understands
//
//	accepted ID               the request ID will be answered
//	answer ID ATTEMPT SUM     an answer went out: its attempt, a checksum of its bytes
//	delivered ID              it will not go out again
//
// Where the requester is outside the program it keeps the ledger itself, by
// Accepted, Answer and Delivered. Only tests call this package.
package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// Options are the settings of Run.
type Options struct {
	// Command returns the program for the given run, counted from 0, with neither
	// standard output nor error set. Required.
	Command func(run int) *exec.Cmd
	// Kills is the number of runs. Default 20.
	Kills int
	// Longest is the longest time that a run lasts after its first line. Every
	// fourth run is killed within that time after its start, most of them before
	// their first line. Default 100 ms.
	Longest time.Duration
	// Line gets each whole line of output. It may block, and so the program.
	// Default: none.
	Line func(line string)
	// Seed makes the moments repeatable. Default 0.
	Seed uint64
}

// startLimit is how long a program may take to its first line.
const startLimit = time.Minute

// Run starts and kills the program. It returns an error where the program ends by
// itself, or says nothing for a minute.
func Run(ctx context.Context, opts Options) error {
	if opts.Kills <= 0 {
		opts.Kills = 20
	}
	if opts.Longest <= 0 {
		opts.Longest = 100 * time.Millisecond
	}
	if opts.Line == nil {
		opts.Line = func(string) {}
	}
	random := rand.New(rand.NewPCG(opts.Seed, 1))
	for run := range opts.Kills {
		wait := time.Duration(random.Int64N(int64(opts.Longest)))
		if err := one(ctx, opts, run, wait, run%4 == 3); err != nil {
			return fmt.Errorf("run %d: %w", run, err)
		}
	}
	return nil
}

// one runs the program once.
func one(ctx context.Context, opts Options, run int, wait time.Duration, fromStart bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := opts.Command(run)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var killed, silent atomic.Bool
	kill := func() { killed.Store(true); _ = cmd.Process.Kill() }
	defer context.AfterFunc(ctx, kill)()
	guard := time.AfterFunc(startLimit, func() { silent.Store(true); kill() })
	defer guard.Stop()
	var moment *time.Timer
	started := func() {
		if moment == nil {
			guard.Stop()
			moment = time.AfterFunc(wait, kill)
		}
	}
	if fromStart {
		started()
	}
	lines := bufio.NewReader(output)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) { // a line that was cut says nothing
			break
		}
		if err != nil {
			break
		}
		started()
		opts.Line(line[:len(line)-1])
	}
	err = cmd.Wait()
	if moment != nil {
		moment.Stop()
	}
	var exit *exec.ExitError
	signalled := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	switch {
	case silent.Load():
		return fmt.Errorf("the program said nothing for %v: %s", startLimit, complaints.Bytes())
	case !killed.Load() || !signalled:
		return fmt.Errorf("the program ended by itself: %v: %s", err, complaints.Bytes())
	}
	return context.Cause(ctx)
}
