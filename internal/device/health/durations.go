package health

import (
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/device/request"
)

// recent is how many durations quantiles are of.
const recent = 1024

// bounds are the upper bounds of the histogram's buckets in milliseconds; above
// the last there is one more.
var bounds = [...]float64{2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000}

// durations keeps the last ones for quantiles, and a histogram of all.
type durations struct {
	last    []float64 // milliseconds, a ring once it is full
	next    int       // in last
	buckets [len(bounds) + 1]uint64
	count   uint64
	sum     float64 // milliseconds
}

func (d *durations) add(milliseconds float64) {
	if math.IsNaN(milliseconds) || milliseconds < 0 {
		milliseconds = 0 // the clock was set back
	}
	if len(d.last) < recent {
		d.last = append(d.last, milliseconds)
	} else {
		d.last[d.next] = milliseconds
		d.next = (d.next + 1) % recent
	}
	bucket, _ := slices.BinarySearch(bounds[:], milliseconds)
	d.buckets[bucket]++
	d.count++
	d.sum += milliseconds
}

// quantiles are of the last durations, by the nearest rank; nil where there is none.
func (d *durations) quantiles() *request.Quantiles {
	n := len(d.last)
	if n == 0 {
		return nil
	}
	sorted := slices.Sorted(slices.Values(d.last))
	rank := func(q float64) float64 { return sorted[max(0, int(math.Ceil(q*float64(n)))-1)] }
	return &request.Quantiles{Count: n, P50: rank(0.5), P95: rank(0.95), P99: rank(0.99), Max: sorted[n-1]}
}
