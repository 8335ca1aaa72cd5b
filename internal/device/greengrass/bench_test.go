package greengrass

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
)

// BenchmarkRequest is a slice from request to result over IPC, with a model that
// costs next to nothing: what is left is the way there and back.
func BenchmarkRequest(b *testing.B) {
	threshold := filepath.Join(filepath.Dir(modelDir(b)), "threshold")
	d := newDevice(b, nucleus.Classic, map[string]any{"model": map[string]any{"path": threshold, "library": library(b)}})
	content, err := os.ReadFile("../../../artifacts/samples/whole-head/axial-085.png")
	if err == nil {
		err = os.WriteFile(filepath.Join(d.in, "a.png"), content, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	d.launch()
	b.ResetTimer()
	for i := range b.N {
		d.publish(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"},"output":{"to":"a.png"}}`, i))
		if r := next(b, d.results); r.Error != nil || r.ID != fmt.Sprint(i) {
			b.Fatalf("result %+v, error %+v", r, r.Error)
		}
		for len(d.statuses) > 0 {
			<-d.statuses
		}
	}
}
