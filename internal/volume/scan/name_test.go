package scan_test

import (
	"os"
	"testing"

	"github.com/brainseg/brainseg/internal/volume/scan"
)

func TestAScanIsCalledByItsFileOrFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("series", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("series")
	for path, want := range map[string]string{
		"in/head.nii.gz": "head", "HEAD.NII": "HEAD", "in/series/": "series", ".": "series", "./": "series", "a.b/c.zip": "c", ".nii": ".nii",
	} {
		if got := scan.Name(path); got != want {
			t.Errorf("%s is called %q, want %q", path, got, want)
		}
	}
}
