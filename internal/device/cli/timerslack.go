//go:build linux

package cli

// The Go runtime's monitor sleeps for 20 us at a time while Go code runs or a
// slice is in the network, which woke a processor 15 times a slice and took 3 %
// of its time. With slack of a millisecond the kernel wakes it when something
// else wakes the processor anyway; no timer of the component is finer than that.
// A thread passes its slack on to those that it starts, so the first one has to
// have it before the runtime starts the others.

/*
#include <sys/prctl.h>

static void __attribute__((constructor)) set_timer_slack(void) {
	prctl(PR_SET_TIMERSLACK, 1000 * 1000, 0, 0, 0);
}
*/
import "C"
