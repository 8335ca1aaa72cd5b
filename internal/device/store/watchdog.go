package store

import (
	"context"
	"io"
	"time"
)

// watchdog ends a transfer that does not get on.
type watchdog struct {
	timer   *time.Timer
	timeout time.Duration
}

func newWatchdog(timeout time.Duration, end context.CancelFunc) *watchdog {
	return &watchdog{timer: time.AfterFunc(timeout, end), timeout: timeout}
}

func (w *watchdog) stop() { w.timer.Stop() }

// fed is a reader that tells a watchdog when something comes.
type fed struct {
	r     io.Reader
	watch *watchdog
}

// Read implements io.Reader.
func (f *fed) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if n > 0 {
		f.watch.timer.Reset(f.watch.timeout)
	}
	return n, err
}
