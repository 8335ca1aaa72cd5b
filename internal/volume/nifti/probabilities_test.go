package nifti_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

func TestProbabilitiesAreVolumesOfOneFileOnTheScansGrid(t *testing.T) {
	for _, size := range [][3]int{{4, 3, 2}, {40000, 2, 2}} { // the second needs NIfTI-2
		grid := volume.Grid{Size: size, Affine: volume.Affine{{-60 / float64(size[0]), 0, 0, 7}, {0, 2, 0, -3}, {0, 0, 1, 5}}}
		var file bytes.Buffer
		path := filepath.Join(t.TempDir(), "p.nii.gz")
		of := func(number int) []byte {
			values := bytes.Repeat([]byte{uint8(51 * number)}, grid.Voxels())
			values[1] = 255
			return values
		}
		if err := nifti.WriteProbabilities(&file, grid, 4, of, nil); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for number := range 4 {
			s, _, err := nifti.Read(t.Context(), path, volume.Options{Volume: number + 1})
			if err != nil {
				t.Fatalf("%v: volume %d: %v", size, number, err)
			}
			if s.Grid.Size != grid.Size || math.Abs(float64(s.Values[0])-0.2*float64(number)) > 1e-6 || math.Abs(float64(s.Values[1])-1) > 1e-6 {
				t.Errorf("%v: volume %d has the size %v and begins with %v", size, number, s.Grid.Size, s.Values[:2])
			}
			for axis := range 3 {
				for column := range 4 {
					if math.Abs(s.Affine[axis][column]-grid.Affine[axis][column]) > 1e-5 {
						t.Errorf("%v: the affine is %v", size, s.Affine)
					}
				}
			}
		}
		if err := nifti.WriteProbabilities(&file, grid, 1, func(int) []byte { return []byte{1} }, nil); err == nil {
			t.Error("a volume of another size is written")
		}
	}
}

func TestProbabilitiesKeepFormAndByteOrderOfTheScan(t *testing.T) {
	for _, name := range []string{"n-nifti2-big.nii", "n-big-endian-float.nii", "n-oblique-40.nii.gz"} {
		scan, h, err := nifti.Read(t.Context(), filepath.Join("..", "testdata", "scans", "inputs", name), volume.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		of := func(number int) []byte {
			values := make([]byte, scan.Voxels())
			values[number] = 255
			return values
		}
		if err := nifti.WriteProbabilities(&file, scan.Grid, 3, of, h); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		path := filepath.Join(t.TempDir(), "p.nii.gz")
		if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for number := range 3 {
			back, written, err := nifti.Read(t.Context(), path, volume.Options{Volume: number + 1})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if back.Grid != scan.Grid || written.Version != h.Version || math.Abs(float64(back.Values[number])-1) > 1e-6 || back.Values[number+1] != 0 {
				t.Errorf("%s: volume %d has the grid %v in version %d, and begins with %v", name, number, back.Grid, written.Version, back.Values[:4])
			}
		}
	}
}
