package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume/scan"
)

func TestNoScanIsReplacedByTheResultsOfAnother(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"head.nii.gz", "head_dseg.nii.gz", "slice.dcm", "slice_seg.dcm", "in/other.nii"} {
		touch(t, path)
	}
	for _, tt := range []struct {
		name, out, scans string
		want             string // of the error; "" for none
	}{
		{"labels beside their scan", ".", "head.nii.gz head_dseg.nii.gz", "head_dseg.nii.gz would be overwritten by a result of head.nii.gz"},
		{"in either order, by another name", "in/..", "./head_dseg.nii.gz head.nii.gz", "head_dseg.nii.gz would be overwritten"},
		{"a SEG", ".", "slice.dcm slice_seg.dcm", "slice_seg.dcm would be overwritten by a result of slice.dcm"},
		{"one name twice", "out", "head.nii.gz in/../head.nii.gz", "would both be written"},
		{"another folder", "out", "head.nii.gz head_dseg.nii.gz slice.dcm slice_seg.dcm in/other.nii missing.nii", ""},
	} {
		f := volumeFlags{out: tt.out, model: "missing"}
		err := f.segmentScans(t.Context(), strings.Fields(tt.scans), nil, nil)
		var usage usageError
		if refused := errors.As(err, &usage); refused != (tt.want != "") || tt.want != "" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

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
