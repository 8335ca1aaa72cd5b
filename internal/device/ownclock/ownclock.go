// Package ownclock is the time of day as one process lives through it: it goes on
// evenly, however the system's clock is set meanwhile. What is stored with it has an
// age, and an order, that nobody changes by setting a clock.
//
// It is for what is written down and read again, also by later processes. What stays in
// memory needs no more than a time.Time from time.Now, which has the process' own clock
// in it. What people are told, and what AWS is, is the system's time of day.
package ownclock

import "time"

// Clock is the clock. Its methods may be called concurrently, but for Reach.
type Clock struct {
	base    int64 // nanoseconds since 1970 when it was started
	started time.Time
}

// Start returns a clock that says what the system's does now.
func Start(system time.Time) Clock { return Clock{base: system.UnixNano(), started: time.Now()} }

// Now is the time on this clock, in nanoseconds since 1970.
func (c *Clock) Now() int64 { return c.base + int64(time.Since(c.started)) }

// Behind is by how much this clock is behind the system's: by what that was set
// forward.
func (c *Clock) Behind(system time.Time) time.Duration {
	return time.Duration(max(0, system.UnixNano()-c.Now()))
}

// Ago is how long ago a time on this clock was.
func (c *Clock) Ago(then int64) time.Duration { return time.Duration(c.Now() - then) }

// Reach has the clock be no earlier than a time that an earlier process told, for the
// system's clock may have been set back in between: age is then counted short, never
// long.
func (c *Clock) Reach(told int64) { c.base = max(c.base, told-int64(time.Since(c.started))) }
