package main

import (
	"runtime"
	"testing"

	"github.com/brainseg/brainseg/internal/nucleus"
)

// BenchmarkStartToRunning is the time from the nucleus' script to RUNNING:
// connecting, configuration, library, model and self-test.
func BenchmarkStartToRunning(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := newCore(b, nucleus.Classic, runtime.GOARCH, nil)
		b.StartTimer()
		stop := c.start()
		b.StopTimer()
		stop()
		b.StartTimer()
	}
}
