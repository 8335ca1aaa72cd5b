package cli

import (
	"testing"

	"github.com/brainseg/brainseg/internal/volume/scan"
)

func TestAScanIsCalledByItsFileOrFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	touch(t, "series/1.dcm")
	t.Chdir("series")
	for path, want := range map[string]string{
		"in/head.nii.gz": "head", "HEAD.NII": "HEAD", "in/series/": "series", ".": "series", "./": "series", "a.b/c.zip": "c", ".nii": ".nii",
	} {
		if got := scan.Name(path); got != want {
			t.Errorf("%s is called %q, want %q", path, got, want)
		}
	}
}
