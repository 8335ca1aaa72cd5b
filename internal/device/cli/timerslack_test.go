//go:build linux

package cli

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestThreadsHaveTheTimerSlackThatSavesWakeUps(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || slack != 1_000_000 {
		t.Errorf("a thread has a slack of %d ns, error %v", slack, err)
	}
}
