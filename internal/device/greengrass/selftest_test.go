package greengrass

import (
	"image"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// modelWithSelfTest copies the model values, whose classes are a third of the
// grey values each, and adds a slice and the mask that is made of its true one.
func modelWithSelfTest(t *testing.T, change func(mask []uint8)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(modelDir(t))); err != nil {
		t.Fatal(err)
	}
	slice := image.NewGray(image.Rect(0, 0, 100, 50))
	mask := make([]uint8, len(slice.Pix))
	for i := range slice.Pix {
		mask[i] = uint8(i % 3)
		slice.Pix[i] = mask[i]*32 + 5
	}
	change(mask)
	for name, pixels := range map[string][]uint8{segmentation.SelfTestSliceName: slice.Pix, segmentation.SelfTestMaskName: mask} {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := imaging.EncodeMask(file, pixels, 100, len(pixels)/100); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestTheComponentRunsOnlyWhenTheModelPassesItsSelfTest(t *testing.T) {
	keep := func([]uint8) {}
	tests := []struct {
		name    string
		mask    func([]uint8)
		folder  func(t *testing.T, dir string)
		maxima  map[string]any
		failure string // of the component, "" where it runs
		log     string
	}{
		{name: "the expected mask", mask: keep, log: "self-test passed"},
		{name: "one pixel in a hundred differs", mask: func(m []uint8) { wrong(m[:len(m)/100]) }, log: "self-test passed"},
		{name: "two pixels in a hundred differ", mask: func(m []uint8) { wrong(m[:len(m)/50]) }, failure: "98.00 % of the pixels of selftest.png"},
		{name: "a mask of background", mask: func(m []uint8) { clear(m) }, failure: "33.34 % of the pixels"},
		{name: "no slice and no mask", mask: keep, folder: func(t *testing.T, dir string) {
			remove(t, dir, segmentation.SelfTestSliceName)
			remove(t, dir, segmentation.SelfTestMaskName)
		}, log: "model brings no selftest.png"},
		{name: "a slice without mask", mask: keep, folder: func(t *testing.T, dir string) { remove(t, dir, segmentation.SelfTestMaskName) }, failure: "selftest.mask.png: no such file"},
		{name: "a mask without slice", mask: keep, folder: func(t *testing.T, dir string) { remove(t, dir, segmentation.SelfTestSliceName) }, failure: "selftest.png: no such file"},
		{name: "a slice cut short", mask: keep, folder: func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, segmentation.SelfTestSliceName), 60); err != nil {
				t.Fatal(err)
			}
		}, failure: "corrupt or cut short"},
		{name: "a mask of another size", mask: keep, folder: func(t *testing.T, dir string) {
			text, err := os.ReadFile("../../../artifacts/samples/whole-head/axial-100.png")
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, segmentation.SelfTestMaskName), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, failure: "they must have one size"},
		{name: "images as small as the slice are not allowed", mask: keep, maxima: map[string]any{"maxPixels": 4999.0}, log: "model is not tested"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := modelWithSelfTest(t, tt.mask)
			if tt.folder != nil {
				tt.folder(t, dir)
			}
			library, err := filepath.Abs("../../../artifacts/onnxruntime/linux-" + runtime.GOARCH + "/libonnxruntime.so.1")
			if err != nil {
				t.Fatal(err)
			}
			change := map[string]any{"model": map[string]any{"path": dir, "library": library}}
			if tt.maxima != nil {
				change["images"] = tt.maxima
			}
			d := newDevice(t, nucleus.Classic, change)
			t.Chdir(t.TempDir())
			d.launch()
			if tt.failure == "" {
				if state := d.nucleus.State(ComponentName); state != "RUNNING" {
					t.Errorf("the component is %q to the nucleus", state)
				}
				if !slices.ContainsFunc(d.logs.All(), func(e observer.LoggedEntry) bool { return strings.Contains(e.Message, tt.log) }) {
					t.Errorf("nothing of %q in the log", tt.log)
				}
				return
			}
			if err := d.wait(); err == nil || !strings.Contains(err.Error(), tt.failure) {
				t.Errorf("the component ended with %v, want %q in it", err, tt.failure)
			}
			if state := d.nucleus.State(ComponentName); state != "" {
				t.Errorf("the component is %q to the nucleus", state)
			}
			if s := next(t, d.statuses); s.State != request.StateStopping || !strings.Contains(s.Message, errSelfTest.Error()) {
				t.Errorf("status is %+v", s)
			}
		})
	}
}

func wrong(mask []uint8) {
	for i := range mask {
		mask[i] = (mask[i] + 1) % 3
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestTheShippedModelBringsItsSelfTest(t *testing.T) {
	shipped := filepath.Join("..", "..", "..", "artifacts", "model")
	slice, mask, err := selfTestPair(shipped)
	if err != nil || slice == nil {
		t.Fatalf("slice %v, error %v: run make selftest", slice != nil, err)
	}
	seen := make(map[uint8]bool)
	for _, class := range mask {
		seen[class] = true
	}
	if len(seen) < 4 {
		t.Errorf("the expected mask has classes %v only: it would not find that one is missing", seen)
	}
	path, err := filepath.Abs(shipped)
	if err != nil {
		t.Fatal(err)
	}
	library, err := filepath.Abs("../../../artifacts/onnxruntime/linux-" + runtime.GOARCH + "/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, nucleus.Classic, map[string]any{"model": map[string]any{"path": path, "library": library}})
	d.launch()
	if state := d.nucleus.State(ComponentName); state != "RUNNING" {
		t.Errorf("the component is %q to the nucleus; after a change of the network run make selftest", state)
	}
}
