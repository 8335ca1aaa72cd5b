package dicomtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TissueModel is a folder with the small model threshold below the repository's
// root, whose classes are tissues that a DICOM SEG has codes for.
func TissueModel(t testing.TB, root string) string {
	t.Helper()
	from, to := filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold"), t.TempDir()
	for _, name := range []string{"manifest.json", "model.onnx"} {
		raw, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "manifest.json" {
			raw = []byte(strings.NewReplacer(`"below"`, `"background"`, `"inside"`, `"csf"`, `"above"`, `"grey-matter"`).Replace(string(raw)))
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
