package scanfolder

import (
	"context"
	"encoding/json"
	"image"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

func touch(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNoScanIsReplacedByTheResultsOfAnother(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{
		"head.nii.gz", "head_dseg.nii.gz", "slice.dcm", "slice_seg.dcm", "in/other.nii", "set/sub-1/anat/sub-1_T1w.nii", "twice/sub-1/anat/sub-1_T1w.nii",
		"twice/sub-1/anat/sub-1_T1w.nii.gz", "empty/sub-1/anat/sub-1_T2w.nii",
	} {
		touch(t, path, "")
	}
	for _, set := range []string{"set", "twice", "empty"} {
		touch(t, set+"/dataset_description.json", `{"Name":"x","BIDSVersion":"1.8.0"}`)
	}
	touch(t, "mine/dataset_description.json", `{"Name":"x","BIDSVersion":"1.8.0","GeneratedBy":[{"Name":"brainseg"}]}`)
	for _, tt := range []struct {
		name, out, scans string
		want             string // of the error; "" for none
	}{
		{"labels beside their scan", ".", "head.nii.gz head_dseg.nii.gz", "head_dseg.nii.gz would be overwritten by a result of head.nii.gz"},
		{"in either order, by another name", "in/..", "./head_dseg.nii.gz head.nii.gz", "head_dseg.nii.gz would be overwritten"},
		{"a SEG", ".", "slice.dcm slice_seg.dcm", "slice_seg.dcm would be overwritten by a result of slice.dcm"},
		{"one name twice", "out", "head.nii.gz in/../head.nii.gz", "would both be written"},
		{"another folder", "out", "head.nii.gz head_dseg.nii.gz slice.dcm slice_seg.dcm in/other.nii missing.nii", ""},
		{"a data set in itself", "set", "set", "holds another data set"},
		{"a data set into what another program made", "empty", "set", "holds another data set"},
		{"a data set again", "mine", "set", ""},
		{"two data sets", "out", "set twice", "are BIDS data sets"},
		{"a data set with one scan twice", "out", "twice", "would both be written"},
		{"a data set without T1", "out", "empty", "no T1 scan"},
	} {
		_, err := Make(tt.out, strings.Fields(tt.scans))
		if (err != nil) != (tt.want != "") || tt.want != "" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// levels is a network that takes the brightness of a pixel for its tissue.
type levels struct{}

func (levels) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	for i, v := range slice.Pix {
		mask[i] = v / 64
	}
	return ctx.Err()
}

func (levels) Manifest() *model.Manifest {
	return &model.Manifest{Name: "levels", Version: "1.0.0", Classes: model.Tissues}
}

// dataset makes a BIDS data set with scans of 24 voxels a side.
func dataset(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	touch(t, filepath.Join(folder, "dataset_description.json"), `{"Name":"Heads","BIDSVersion":"1.8.0","License":"CC0"}`)
	touch(t, filepath.Join(folder, "README"), "Heads.")
	const side = 24
	v := volume.Labels{Grid: volume.Grid{Size: [3]int{side, side, side}, Affine: volume.Affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}}
	v.Values = make([]uint8, v.Voxels())
	for i := range v.Values {
		v.Values[i] = uint8(10 * (i / side % side))
	}
	for _, name := range []string{
		"sub-01/anat/sub-01_T1w.nii.gz", "sub-02/ses-a/anat/sub-02_ses-a_run-1_T1w.nii.gz", "sub-02/ses-a/anat/sub-02_ses-a_T2w.nii.gz",
		"derivatives/other/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz", "sub-01/func/sub-01_T1w.nii.gz",
	} {
		path := filepath.Join(folder, name)
		touch(t, path, "")
		if err := report.WriteFile(path, func(w io.Writer) error { return nifti.WriteLabels(w, &v, nil) }); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestABIDSDataSetGivesAValidOneOfResults(t *testing.T) {
	in := dataset(t)
	out := filepath.Join(in, "derivatives", "brainseg")
	for range 2 { // again: results may be made anew
		plan, err := Make(out, []string{in})
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Begin(levels{}.Manifest(), "1.2.3"); err != nil {
			t.Fatal(err)
		}
		for _, item := range plan.Items {
			result, err := scans.Segment(t.Context(), item.Path, levels{}, scans.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := item.Write(result); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	if err := fs.WalkDir(os.DirFS(out), ".", func(name string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			got = append(got, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{".bidsignore", "README", "dataset_description.json", "volumes.csv"}
	for _, stem := range []string{"sub-01/anat/sub-01", "sub-02/ses-a/anat/sub-02_ses-a_run-1"} {
		for _, suffix := range []string{"_dseg.json", "_dseg.label.txt", "_dseg.nii.gz", "_dseg.tsv", "_report.html", "_report.png", "_volumes.json"} {
			want = append(want, stem+suffix)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	table, err := os.ReadFile(filepath.Join(out, TableName))
	if err != nil || !strings.Contains(string(table), "\nsub-02_ses-a_run-1,") {
		t.Errorf("table %q, %v", table, err)
	}

	validator := filepath.Join("..", "..", "..", ".venv", "bin", "bids-validator-deno")
	if _, err := os.Stat(validator); err != nil {
		t.Skip("no bids-validator-deno: the data set was not judged by another program (make test-servers)")
	}
	command := exec.CommandContext(t.Context(), validator, "--format", "json", out)
	command.Env = append(os.Environ(), "DENO_DIR="+t.TempDir())
	answer, err := command.Output()
	var verdict struct {
		Issues struct {
			Issues []struct{ Code, Severity, Location, IssueMessage string }
		}
	}
	if jsonErr := json.Unmarshal(answer, &verdict); jsonErr != nil {
		t.Fatalf("the validator failed: %v, %v\n%s", err, jsonErr, answer)
	}
	for _, issue := range verdict.Issues.Issues {
		if issue.Severity == "error" {
			t.Errorf("the validator finds %+v", issue)
		}
	}
	if err != nil && !t.Failed() {
		t.Errorf("the validator failed: %v", err)
	}
}
