package nifti_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

// python is the first Python that has nibabel: that of `make test-servers`, that
// of training, or Debian's.
var python = sync.OnceValue(func() string {
	root := filepath.Join("..", "..", "..")
	for _, python := range []string{filepath.Join(root, ".venv", "bin", "python"), filepath.Join(root, ".cache", "training", "bin", "python"), "/usr/bin/python3"} {
		if exec.Command(python, "-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec('nibabel'))").Run() == nil {
			return python
		}
	}
	return ""
})

// nibabel runs testdata/nibabel_judge.py.
func nibabel(t *testing.T, arguments ...string) string {
	t.Helper()
	if python() == "" {
		t.Skip("nibabel is not installed, so nobody else judges NIfTI files: make test-servers fetches it")
	}
	out, err := exec.Command(python(), append([]string{filepath.Join("testdata", "nibabel_judge.py")}, arguments...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nibabel: %v\n%s", err, out)
	}
	return string(out)
}

// labelsOf takes a scan's values as labels.
func labelsOf(s *volume.Scan) *volume.Labels {
	labels := &volume.Labels{Grid: s.Grid, Values: make([]uint8, len(s.Values))}
	for i, v := range s.Values {
		labels.Values[i] = uint8(v)
	}
	return labels
}

func writeLabels(t *testing.T, path string, labels *volume.Labels, h *nifti.Header) {
	t.Helper()
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := nifti.WriteLabels(file, labels, h); err != nil {
		t.Fatal(err)
	}
}

func TestLabelsKeepTheGridOfEveryAxisOrderAsNibabelSeesIt(t *testing.T) {
	dir := t.TempDir()
	nibabel(t, "make", dir)
	inputs, err := filepath.Glob(filepath.Join(dir, "*.nii.gz"))
	if err != nil || len(inputs) != 288 {
		t.Fatalf("%d scans, %v", len(inputs), err)
	}
	for _, input := range inputs {
		s, h, err := nifti.Read(t.Context(), input, volume.Options{})
		if err != nil {
			t.Fatal(err)
		}
		writeLabels(t, strings.TrimSuffix(input, ".nii.gz")+".labels.nii.gz", labelsOf(s), h)
	}
	if out := strings.TrimSpace(nibabel(t, "check", dir)); out != "288" {
		t.Errorf("checked: %s", out)
	}
}

func TestLabelsWithoutAHeaderHaveTheAffineOfTheirGridAsNibabelSeesIt(t *testing.T) {
	dir := t.TempDir()
	box := func(a, b, c volume.Vector) volume.Grid {
		return volume.Grid{Size: [3]int{5, 4, 3}, Affine: volume.FromColumns(a, b, c, volume.Vector{1, 2, 3})}
	}
	long := box(volume.Vector{0, 0, -1}, volume.Vector{0, 0.01, 0}, volume.Vector{1, 0, 0})
	long.Size = [3]int{2, 40000, 2} // too long for NIfTI-1
	grids := []volume.Grid{
		box(volume.Vector{1, 0, 0}, volume.Vector{0.3, 1, 0}, volume.Vector{0, 0, 2}), // sheared
		long,
		box(volume.Vector{1, 0, 0}, volume.Vector{0, 1, 0}, volume.Vector{0, 0, 1}),
		box(volume.Vector{-1, 0, 0}, volume.Vector{0, -2, 0}, volume.Vector{0, 0, 3}),
		box(volume.Vector{0, 0, 1}, volume.Vector{-1, 0, 0}, volume.Vector{0, -1, 0}),
		box(volume.Vector{0, 2, 0}, volume.Vector{1, 0, 0}, volume.Vector{0, 0, -1}),
		box(volume.Vector{1.2, 1.6, 0}, volume.Vector{-0.8, 0.6, 0}, volume.Vector{0, 0, -1}),
		box(volume.Vector{-0.36, 0.48, 0.8}, volume.Vector{0.8, 0.6, 0}, volume.Vector{-0.48, 0.64, -0.6}),
	}
	arguments := []string{"load"}
	for i, grid := range grids {
		path := filepath.Join(dir, fmt.Sprintf("%d.nii.gz", i))
		writeLabels(t, path, &volume.Labels{Grid: grid, Values: make([]uint8, grid.Voxels())}, nil)
		arguments = append(arguments, path)
	}
	var got []struct {
		Shape         [3]int
		Affine, Qform [4][4]float64
		Codes         [2]int
	}
	if err := json.Unmarshal([]byte(nibabel(t, arguments...)), &got); err != nil {
		t.Fatal(err)
	}
	// Of a half turn the quaternion's first number is zero, and readers get it as the
	// root of what single precision leaves of 1 - 1: up to 0.0003, twice in a column.
	const rounding = 1e-3
	for i, grid := range grids {
		if got[i].Shape != grid.Size || got[i].Codes[1] != 1 || (got[i].Codes[0] == 1) == (i == 0) {
			t.Errorf("grid %d: %+v", i, got[i])
		}
		for row := range 3 {
			for column := range 4 {
				want := grid.Affine[row][column]
				if math.Abs(got[i].Affine[row][column]-want) > 1e-5 || i > 0 && math.Abs(got[i].Qform[row][column]-want) > rounding {
					t.Errorf("grid %d: affine %v, qform %v, and the grid has %v", i, got[i].Affine, got[i].Qform, grid.Affine)
				}
			}
		}
	}
}
