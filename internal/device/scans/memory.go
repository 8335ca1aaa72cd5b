package scans

import (
	"runtime/debug"
	"sync"
)

// collection is how often garbage is collected while scans are in work.
var collection struct {
	mu     sync.Mutex
	scans  int // in work; guarded by mu
	before int // the setting for the rest of the time; guarded by mu
}

// frugalPercent is that setting while they are. A scan is a few large pieces of
// memory: collecting garbage often costs little, and keeps the peak near what is
// in use.
const frugalPercent = 20

// frugal has garbage collected more often until the function that it returns is
// called.
func frugal() func() {
	c := &collection
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scans++; c.scans == 1 {
		c.before = debug.SetGCPercent(frugalPercent)
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.scans--; c.scans == 0 {
			debug.SetGCPercent(c.before)
		}
	}
}
