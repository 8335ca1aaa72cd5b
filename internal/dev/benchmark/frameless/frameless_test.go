package frameless_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/benchmark/frameless"
	"github.com/brainseg/brainseg/internal/model"
)

func TestAModelWithoutItsFrameIsTheSameNetwork(t *testing.T) {
	from := filepath.Join("..", "..", "..", "segmentation", "testdata", "models", "framed")
	manifest, err := model.ReadManifest(from)
	if err != nil || manifest.Frame == nil {
		t.Fatal(manifest, err)
	}
	absolute, err := filepath.Abs(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "model")
	bare, err := frameless.Write(*manifest, absolute, to)
	if err != nil || bare.Frame != nil || bare.SHA256 != manifest.SHA256 {
		t.Fatal(bare, err)
	}
	if content, err := os.ReadFile(filepath.Join(to, bare.File)); err != nil || len(content) == 0 {
		t.Errorf("%d bytes, %v", len(content), err)
	}
}
