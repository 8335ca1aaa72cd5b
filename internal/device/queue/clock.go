package queue

import "time"

// clock counts the age of answers. It goes on while the process runs whatever
// happens to the system's clock, and at a start takes that over only if it is
// not behind what the queue has seen: age may then be counted short, never long.
type clock struct {
	base    int64 // nanoseconds
	started time.Time
}

func newClock(now time.Time, newest int64) clock {
	return clock{base: max(now.UnixNano(), newest), started: time.Now()}
}

// now is the time on the queue's own clock in nanoseconds.
func (c clock) now() int64 { return c.base + int64(time.Since(c.started)) }
