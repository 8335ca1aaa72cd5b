package segmentation

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A deployment that sets the link to another model while one is being opened must
// not make a model of two.
func TestOpeningAModelResolvesItsLinkOnce(t *testing.T) {
	models, err := filepath.Abs(filepath.Join("testdata", "models"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	current := filepath.Join(folder, "current")
	set := func(model string) {
		next := filepath.Join(folder, "next")
		err := os.Symlink(filepath.Join(models, model), next)
		if err == nil {
			err = os.Rename(next, current)
		}
		if err != nil {
			t.Error(err)
		}
	}
	set("threshold")
	ctx, cancel := context.WithCancel(t.Context())
	var deploying sync.WaitGroup
	deploying.Go(func() {
		for ctx.Err() == nil {
			set("values")
			set("threshold")
		}
	})
	defer deploying.Wait()
	defer cancel()
	names := make(map[string]int)
	for range 200 {
		m, err := Open(current, Options{Library: library(t)})
		if err != nil {
			t.Fatal(err)
		}
		names[m.Manifest().Name]++
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("opened: %v", names)
}
