package modelcheck

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// threshold is a small model whose classes are: up to the window, inside it,
// above it.
var threshold = filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold")

func noise(seed uint64, width, height int) *image.Gray {
	random := rand.New(rand.NewPCG(seed, 7))
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(random.IntN(256))
	}
	return slice
}

// maskOf is what the model gives.
func maskOf(t *testing.T, slice *image.Gray) *image.Gray {
	t.Helper()
	m, err := segmentation.Open(threshold, segmentation.Options{Library: awstest.Library(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	mask := image.NewGray(slice.Rect)
	if err := m.Segment(t.Context(), slice, mask.Pix); err != nil {
		t.Fatal(err)
	}
	return mask
}

func writePNG(t *testing.T, path string, picture image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, b.Bytes())
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o640); err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, options Options) (*model.Verification, error) {
	t.Helper()
	options.Library = awstest.Library(t)
	return Check(t.Context(), threshold, options)
}

func TestAModelIsTimedAndItsMemoryMeasured(t *testing.T) {
	m, err := Measure(t.Context(), threshold, awstest.Library(t), 5)
	if err != nil {
		t.Fatal(err)
	}
	if !(m.P50 > 0 && m.P50 <= m.P90) || !(m.CPU > 0) || m.PeakMemory < 10 || m.Runs != 5 || m.ONNXRuntime == "" || m.Processor == "" {
		t.Errorf("measured %+v", m)
	}
	if _, err := Measure(t.Context(), t.TempDir(), awstest.Library(t), 5); !errors.Is(err, model.ErrManifest) {
		t.Errorf("no model: error %v", err)
	}
}

func TestGoldenSlicesAreRunAndComparedWithTheirMasks(t *testing.T) {
	dir := t.TempDir()
	slice := noise(1, 50, 40)
	mask := maskOf(t, slice)
	writePNG(t, filepath.Join(dir, "b", "slice.png"), slice)
	writePNG(t, filepath.Join(dir, "b", "slice_golden.png"), mask)
	writePNG(t, filepath.Join(dir, "a.png"), slice.SubImage(image.Rect(0, 0, 33, 20)))
	r, err := check(t, Options{Golden: dir})
	if err != nil {
		t.Fatal(err)
	}
	counts := segmentation.Counts(mask.Pix)
	one := 1.0
	want := model.GoldenMask{Slice: "b/slice.png", Width: 50, Height: 40, Pixels: map[string]int{"below": counts[0], "inside": counts[1], "above": counts[2]}, Agreement: &one}
	if len(r.Golden) != 2 || r.Golden[0].Slice != "a.png" || r.Golden[0].Agreement != nil {
		t.Fatalf("%+v", r.Golden)
	}
	if diff := cmp.Diff(want, r.Golden[1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	for i := range 2 { // one pixel in a thousand is allowed
		mask.Pix[i] ^= 1
	}
	writePNG(t, filepath.Join(dir, "b", "slice_golden.png"), mask)
	if _, err := check(t, Options{Golden: dir}); err != nil {
		t.Errorf("two pixels of 2000: %v", err)
	}
	mask.Pix[2] ^= 1
	writePNG(t, filepath.Join(dir, "b", "slice_golden.png"), mask)
	if _, err := check(t, Options{Golden: dir}); !errors.Is(err, ErrGolden) {
		t.Errorf("three pixels of 2000: error %v", err)
	}
}

func TestGoldenSlicesThatProveNothingAreRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := check(t, Options{Golden: dir}); !errors.Is(err, ErrGolden) {
		t.Errorf("an empty folder: error %v", err)
	}
	if _, err := check(t, Options{Golden: filepath.Join(dir, "absent")}); err == nil {
		t.Error("an absent folder was taken")
	}
	writePNG(t, filepath.Join(dir, "black.png"), image.NewGray(image.Rect(0, 0, 20, 20)))
	if _, err := check(t, Options{Golden: dir}); !errors.Is(err, ErrNothing) {
		t.Errorf("a black slice: error %v", err)
	}
	writeFile(t, filepath.Join(dir, "broken.png"), []byte("\x89PNG\r\n\x1a\nbroken"))
	if _, err := check(t, Options{Golden: dir}); err == nil || !strings.Contains(err.Error(), "broken.png") {
		t.Errorf("a broken slice: error %v", err)
	}
}

func TestDiceIsThatComputedByHand(t *testing.T) {
	// Labels in rows, masks in columns.
	m := confusion{{50, 0, 0}, {5, 30, 5}, {0, 10, 0}}
	dice := m.dice()
	// Class 1: 2*30 / (40+40); class 2: 0 / (10+5).
	if dice[0] != 100.0/105 || dice[1] != 0.75 || dice[2] != 0 {
		t.Errorf("%v", dice)
	}
	if mean := meanDice(dice); mean != 0.375 {
		t.Errorf("mean %v", mean)
	}
	if mean := meanDice([]float64{1, 0.5, math.NaN()}); mean != 0.5 {
		t.Errorf("mean without a class that is nowhere: %v", mean)
	}
}

func TestLabelledPicturesGiveDiceAndALeastDiceIsHeld(t *testing.T) {
	dir := t.TempDir()
	slice := noise(2, 60, 50)
	truth := maskOf(t, slice)
	// A third of class "above" is labelled "inside" instead, some is unknown.
	moved, above, inside := 0, 0, 0
	for i, v := range truth.Pix {
		switch {
		case v == 2 && i%3 == 0:
			truth.Pix[i] = 1
			moved++
		case v == 2:
			above++
		case v == 1 && i%5 == 0:
			truth.Pix[i] = ignore
		case v == 1:
			inside++
		}
	}
	writePNG(t, filepath.Join(dir, "s1.png"), slice)
	writePNG(t, filepath.Join(dir, "s1_mask.png"), truth)
	writePNG(t, filepath.Join(dir, "without-labels.png"), slice)
	wantAbove := 2 * float64(above) / float64(above+above+moved)
	wantInside := 2 * float64(inside) / float64(inside+moved+inside)
	r, err := check(t, Options{Labels: dir})
	if err != nil {
		t.Fatal(err)
	}
	a := r.Accuracy
	if a.Images != 1 || a.Slices != 1 || a.Dice["above"] != round(wantAbove) || a.Dice["inside"] != round(wantInside) ||
		a.MeanDice != round((wantAbove+wantInside)/2) || a.WorstImage != a.MeanDice || len(a.Planes) != 1 {
		t.Errorf("%+v; want %v and %v", a, wantAbove, wantInside)
	}
	if _, err := check(t, Options{Labels: dir, MinDice: a.MeanDice - 0.001}); err != nil {
		t.Errorf("a least Dice that is met: %v", err)
	}
	r, err = check(t, Options{Labels: dir, MinDice: a.MeanDice + 0.001})
	if !errors.Is(err, ErrDice) || r.Accuracy == nil {
		t.Errorf("a least Dice that is missed: error %v, report %+v", err, r)
	}
	if _, err := check(t, Options{MinDice: 0.5}); !errors.Is(err, ErrLabels) {
		t.Errorf("a least Dice without labels: error %v", err)
	}
	document, err := json.Marshal(r)
	if err != nil || strings.Contains(string(document), "s1") {
		t.Errorf("the report names an image: %s (%v)", document, err)
	}
}

// volumeFile is a NIfTI file of unsigned bytes.
func volumeFile(size [3]int, voxels []uint8) []byte {
	h := make([]byte, 352)
	binary.LittleEndian.PutUint32(h, 348)
	for i, n := range []int{3, size[0], size[1], size[2], 1, 1, 1, 1} {
		binary.LittleEndian.PutUint16(h[40+2*i:], uint16(n))
	}
	binary.LittleEndian.PutUint16(h[70:], 2)
	for axis := 1; axis <= 3; axis++ {
		binary.LittleEndian.PutUint32(h[76+4*axis:], math.Float32bits(1))
	}
	binary.LittleEndian.PutUint32(h[108:], math.Float32bits(352))
	copy(h[344:], "n+1\x00")
	return append(h, voxels...)
}

func TestLabelledVolumesAreRunInAllPlanes(t *testing.T) {
	dir := t.TempDir()
	size := [3]int{20, 24, 28}
	random := rand.New(rand.NewPCG(3, 3))
	voxels, labels := make([]uint8, 20*24*28), make([]uint8, 20*24*28)
	for i := range voxels {
		// Half is clearly inside every slice's window, half above nearly every.
		voxels[i], labels[i] = 100, 1
		switch random.IntN(40) {
		case 0:
			voxels[i] = uint8(random.IntN(5))
		case 1:
			voxels[i] = 250
		}
	}
	writeFile(t, filepath.Join(dir, "x", "s_T1w.nii"), volumeFile(size, voxels))
	writeFile(t, filepath.Join(dir, "x", "s_seg.nii"), volumeFile(size, labels))
	r, err := check(t, Options{Labels: dir})
	if err != nil {
		t.Fatal(err)
	}
	a := r.Accuracy
	if a.Images != 1 || a.Slices != 20+24+28 || len(a.Planes) != 3 || a.Dice["inside"] < 0.9 {
		t.Errorf("%+v", a)
	}
	for name, plane := range a.Planes {
		var pixels int64
		for _, row := range plane.Confusion {
			for _, n := range row {
				pixels += n
			}
		}
		if pixels != int64(len(voxels)) {
			t.Errorf("%s: %d pixels were counted", name, pixels)
		}
	}
}

func TestLabelsThatDoNotFitAreNamed(t *testing.T) {
	for name, lay := range map[string]func(dir string){
		"nothing": func(string) {},
		"another size": func(dir string) {
			writePNG(t, filepath.Join(dir, "a.png"), noise(1, 10, 10))
			writePNG(t, filepath.Join(dir, "a_mask.png"), image.NewGray(image.Rect(0, 0, 10, 11)))
		},
		"a class that the model has not": func(dir string) {
			labels := image.NewGray(image.Rect(0, 0, 10, 10))
			labels.Pix[5] = 3
			writePNG(t, filepath.Join(dir, "a.png"), noise(1, 10, 10))
			writePNG(t, filepath.Join(dir, "a_mask.png"), labels)
		},
		"volumes of two sizes": func(dir string) {
			writeFile(t, filepath.Join(dir, "a.nii"), volumeFile([3]int{2, 2, 2}, make([]uint8, 8)))
			writeFile(t, filepath.Join(dir, "a_mask.nii"), volumeFile([3]int{2, 2, 1}, make([]uint8, 4)))
		},
		"a volume that is none": func(dir string) {
			writeFile(t, filepath.Join(dir, "a.nii"), []byte("none"))
			writeFile(t, filepath.Join(dir, "a_mask.nii"), volumeFile([3]int{2, 2, 1}, make([]uint8, 4)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			lay(dir)
			if _, err := check(t, Options{Labels: dir}); !errors.Is(err, ErrLabels) {
				t.Errorf("error %v, want ErrLabels", err)
			}
		})
	}
}

func TestAModelThatCannotBeOpenedFails(t *testing.T) {
	_, err := Check(t.Context(), t.TempDir(), Options{Library: awstest.Library(t)})
	if !errors.Is(err, model.ErrManifest) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Measure(ctx, threshold, awstest.Library(t), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
