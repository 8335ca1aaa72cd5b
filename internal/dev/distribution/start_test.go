package main

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

// BenchmarkStartToRunning is the time from the nucleus' script to RUNNING:
// connecting, configuration, library, model and self-test. At most 400 ms in
// the median is what is asked for:
//
//	go test -run '^$' -bench StartToRunning -benchtime 30x ./internal/dev/distribution
func BenchmarkStartToRunning(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		c := newCore(b, nucleus.Classic, runtime.GOARCH, nil)
		b.StartTimer()
		start := time.Now()
		stop := c.start()
		took = append(took, time.Since(start))
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}
