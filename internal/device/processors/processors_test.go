package processors

import (
	"runtime"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
)

func TestThereAreAsManyProcessorsAsWorkersAndNoMoreThanBefore(t *testing.T) {
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	p := New()
	for _, tt := range []struct{ workers, want int }{{1, 1}, {2, 2}, {3, 2}, {1, 1}} {
		cfg := config.Default()
		cfg.Service.Workers = tt.workers
		change, err := p.Prepare(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if change.Commit(); runtime.GOMAXPROCS(0) != tt.want {
			t.Errorf("%d workers have %d processors, want %d", tt.workers, runtime.GOMAXPROCS(0), tt.want)
		}
	}
}
