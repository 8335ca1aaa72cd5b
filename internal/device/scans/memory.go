package scans

import (
	"errors"
	"runtime/debug"
	"sync"

	"github.com/brainseg/brainseg/internal/volume"
)

// What a scan takes in bytes, beside the model: for each of its own voxels from
// reading to the last result, and for each at the network's size. Measured with
// scans of 160 to 288 voxels a side, and rounded up.
const (
	bytesPerVoxel        = 16
	bytesPerNetworkVoxel = 5
)

// fitting is how many voxels fit into memory, of those that are allowed; at least
// one.
func fitting(allowed int, left int64, bytes int64) int {
	return int(max(1, min(int64(allowed), left/bytes)))
}

// forWantOfMemory says so where a scan is too large for that reason.
func forWantOfMemory(err error, scarce bool) error {
	var refusal *volume.Refusal
	if !scarce || !errors.As(err, &refusal) || refusal.Code != volume.CodeTooLarge {
		return err
	}
	told := *refusal
	told.Cure += ". More would not fit into the memory that is left"
	return &told
}

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
