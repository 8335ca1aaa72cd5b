package volume

import (
	"math"
	"testing"
)

func TestThePercentileIsThatOfASortedCopy(t *testing.T) {
	values := make([]float32, 100_000)
	for i := range values {
		values[i] = float32((i*7919)%100_000) / 10
	}
	values[5] = 1e9 // a spike far above the rest
	all := func(float32) bool { return true }
	got := percentile(values, all, 0, 1e9, 0.999*99_999)
	if want := 9989.9; math.Abs(got-want) > 1 {
		t.Errorf("got %v, want %v", got, want)
	}
}
