package selftest

import (
	"errors"
	"image"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

const modelDir = "../../segmentation/testdata/models/values" // class = grey value / 32, of three

func openModel(t *testing.T, dir string, maxPixels int64) *segmentation.Model {
	t.Helper()
	library := filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	m, err := segmentation.Open(dir, segmentation.Options{Library: library, MaxPixels: maxPixels})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// modelWithSelfTest copies the model values, whose classes are a third of the
// grey values each, and adds a slice and the mask that is made of its true one.
func modelWithSelfTest(t *testing.T, change func(mask []uint8)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(modelDir)); err != nil {
		t.Fatal(err)
	}
	slice := image.NewGray(image.Rect(0, 0, 100, 50))
	mask := make([]uint8, len(slice.Pix))
	for i := range slice.Pix {
		mask[i] = uint8(i % 3)
		slice.Pix[i] = mask[i]*32 + 5
	}
	change(mask)
	for name, pixels := range map[string][]uint8{model.SelfTestSliceName: slice.Pix, model.SelfTestMaskName: mask} {
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

func TestOnlyAModelThatGivesTheExpectedMaskPasses(t *testing.T) {
	keep := func([]uint8) {}
	tests := []struct {
		name    string
		mask    func([]uint8)
		folder  func(t *testing.T, dir string)
		pixels  int64  // the largest image; default that of the model
		failure string // "" where it passes
		log     string
	}{
		{name: "the expected mask", mask: keep, log: "self-test passed"},
		{name: "one pixel in a hundred differs", mask: func(m []uint8) { wrong(m[:len(m)/100]) }, log: "self-test passed"},
		{name: "two pixels in a hundred differ", mask: func(m []uint8) { wrong(m[:len(m)/50]) }, failure: "98.00 % of the pixels of selftest.png"},
		{name: "a mask of background", mask: func(m []uint8) { clear(m) }, failure: "33.34 % of the pixels"},
		{name: "no slice and no mask", mask: keep, folder: func(t *testing.T, dir string) {
			remove(t, dir, model.SelfTestSliceName)
			remove(t, dir, model.SelfTestMaskName)
		}, log: "model brings no selftest.png"},
		{name: "a slice without mask", mask: keep, folder: func(t *testing.T, dir string) { remove(t, dir, model.SelfTestMaskName) }, failure: "selftest.mask.png: no such file"},
		{name: "a mask without slice", mask: keep, folder: func(t *testing.T, dir string) { remove(t, dir, model.SelfTestSliceName) }, failure: "selftest.png: no such file"},
		{name: "a slice cut short", mask: keep, folder: func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, model.SelfTestSliceName), 60); err != nil {
				t.Fatal(err)
			}
		}, failure: "corrupt or cut short"},
		{name: "a mask of another size", mask: keep, folder: func(t *testing.T, dir string) {
			text, err := os.ReadFile("../../../artifacts/samples/whole-head/axial-100.png")
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, model.SelfTestMaskName), text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, failure: "they must have one size"},
		{name: "images as small as the slice are not allowed", mask: keep, pixels: 4999, log: "model is not tested"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := modelWithSelfTest(t, tt.mask)
			if tt.folder != nil {
				tt.folder(t, dir)
			}
			core, logs := observer.New(zap.DebugLevel)
			err := Run(t.Context(), openModel(t, dir, tt.pixels), dir, zap.New(core))
			if tt.failure != "" {
				if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), tt.failure) {
					t.Errorf("got %v, want %q in it", err, tt.failure)
				}
				return
			}
			if err != nil || logs.FilterMessageSnippet(tt.log).Len() == 0 {
				t.Errorf("got %v; nothing of %q in the log", err, tt.log)
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
	slice, mask, err := readPair(shipped)
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
	if err := Run(t.Context(), openModel(t, shipped, 0), shipped, zap.NewNop()); err != nil {
		t.Errorf("after a change of the network run make selftest: %v", err)
	}
}
