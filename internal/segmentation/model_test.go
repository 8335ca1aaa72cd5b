package segmentation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/model"
)

// library is this machine's ONNX Runtime, as the fetch script leaves it.
func library(t testing.TB) string {
	t.Helper()
	path := filepath.Join("..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("ONNX Runtime is missing (run artifacts/onnxruntime/fetch.sh, or make test, which does): %v", err)
	}
	return path
}

func open(t testing.TB, name string, opts Options) *Model {
	t.Helper()
	opts.Library = library(t)
	m, err := Open(filepath.Join("testdata", "models", name), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func randomSlice(random *rand.Rand, width, height int) *image.Gray {
	slice := image.NewGray(image.Rect(0, 0, width, height))
	for i := range slice.Pix {
		slice.Pix[i] = uint8(random.IntN(256))
	}
	return slice
}

// threshold is what the model of that name does, written in Go.
func threshold(m *Model, slice *image.Gray) []uint8 {
	n := m.Manifest().Normalisation
	counts := histogram(slice)
	window := PercentileWindow(&counts, n.Low, n.High, n.IgnoreBelowOrEqual)
	mask := make([]uint8, 0, len(slice.Pix))
	for y := range slice.Rect.Dy() {
		for _, v := range slice.Pix[y*slice.Stride:][:slice.Rect.Dx()] {
			class := uint8(0)
			if float32(v) > window.Low {
				class++
			}
			if float32(v) > window.High {
				class++
			}
			mask = append(mask, class)
		}
	}
	return mask
}

func TestSegmentIsExactAtEverySizeUpTo40(t *testing.T) {
	m := open(t, "threshold", Options{})
	random := rand.New(rand.NewPCG(3, 4))
	for height := 1; height <= 40; height++ {
		for width := 1; width <= 40; width++ {
			slice := randomSlice(random, width, height)
			before := bytes.Clone(slice.Pix)
			mask := bytes.Repeat([]byte{99}, width*height)
			if err := m.Segment(t.Context(), slice, mask); err != nil {
				t.Fatalf("%d x %d: %v", width, height, err)
			}
			if !bytes.Equal(mask, threshold(m, slice)) {
				t.Fatalf("the mask of %d x %d is wrong", width, height)
			}
			if !bytes.Equal(slice.Pix, before) {
				t.Fatalf("the slice of %d x %d was changed", width, height)
			}
		}
	}
}

func TestSegmentReadsOnlyTheSubImage(t *testing.T) {
	m := open(t, "threshold", Options{})
	whole := randomSlice(rand.New(rand.NewPCG(5, 6)), 50, 40)
	part := whole.SubImage(image.Rect(7, 9, 40, 31)).(*image.Gray)
	mask := make([]uint8, 33*22)
	if err := m.Segment(t.Context(), part, mask); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(mask, threshold(m, part)) {
		t.Error("the mask is wrong")
	}
}

func TestSegmentTakesTheClassWithTheLargestScore(t *testing.T) {
	m := open(t, "scores", Options{})
	for _, dimensions := range [][2]int{{256, 1}, {1, 256}, {255, 3}, {17, 33}} {
		width, height := dimensions[0], dimensions[1]
		slice := image.NewGray(image.Rect(0, 0, width, height))
		want := make([]uint8, width*height)
		for i := range slice.Pix {
			slice.Pix[i] = uint8(i)
			// The nearest centre of 0, 80, 160, 240; half way the lower class.
			want[i] = uint8((int(slice.Pix[i]) + 39) / 80)
		}
		mask := make([]uint8, width*height)
		if err := m.Segment(t.Context(), slice, mask); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mask, want) {
			t.Errorf("the mask of %d x %d is wrong", width, height)
		}
	}
}

func TestSegmentRefusesAValueThatIsNoClass(t *testing.T) {
	m := open(t, "values", Options{})
	slice := image.NewGray(image.Rect(0, 0, 5, 3))
	slice.Pix[7] = 95
	mask := make([]uint8, 15)
	if err := m.Segment(t.Context(), slice, mask); err != nil || mask[7] != 2 {
		t.Fatalf("class %d, error %v", mask[7], err)
	}
	slice.Pix[7] = 96
	err := m.Segment(t.Context(), slice, mask)
	if !errors.Is(err, model.ErrNetwork) || !strings.Contains(err.Error(), "class 3") {
		t.Errorf("error %v, want model.ErrNetwork that names class 3", err)
	}
}

func TestSegmentRefuses(t *testing.T) {
	m := open(t, "values", Options{MaxPixels: 100})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name          string
		ctx           context.Context
		width, height int
		mask          int
		want          error
	}{
		{"too many pixels", t.Context(), 101, 1, 101, ErrTooLarge},
		{"an empty image", t.Context(), 0, 0, 0, ErrSize},
		{"a mask that is too small", t.Context(), 10, 10, 99, ErrSize},
		{"a mask that is too large", t.Context(), 10, 10, 101, ErrSize},
		{"a context that has ended", cancelled, 10, 10, 100, context.Canceled},
		{"nothing at the limit", t.Context(), 10, 10, 100, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := m.Segment(test.ctx, image.NewGray(image.Rect(0, 0, test.width, test.height)), make([]uint8, test.mask))
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	lying := &image.Gray{Pix: make([]uint8, 50), Stride: 10, Rect: image.Rect(0, 0, 10, 10)}
	if err := m.Segment(t.Context(), lying, make([]uint8, 100)); !errors.Is(err, ErrSize) {
		t.Errorf("an image with too few pixels: error %v, want ErrSize", err)
	}
}

func TestSegmentStopsWhenItsContextEndsAndWorksAgain(t *testing.T) {
	m := open(t, "threshold", Options{})
	slice := randomSlice(rand.New(rand.NewPCG(7, 8)), 1600, 1600)
	mask := make([]uint8, 1600*1600)
	want := threshold(m, slice)
	stopped := 0
	for delay := time.Duration(0); delay < 20*time.Millisecond; delay += 500 * time.Microsecond {
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		err := m.Segment(ctx, slice, mask)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			stopped++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if stopped < 2 {
		t.Errorf("%d of 40 runs were stopped", stopped)
	}
	if err := m.Segment(t.Context(), slice, mask); err != nil || !bytes.Equal(mask, want) {
		t.Errorf("the run after has error %v", err)
	}
}

func TestWorkersShareAModel(t *testing.T) {
	m := open(t, "threshold", Options{})
	before := goleak.IgnoreCurrent()
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 9))
			for range 50 {
				slice := randomSlice(random, 1+random.IntN(60), 1+random.IntN(60))
				mask := make([]uint8, len(slice.Pix))
				if err := m.Segment(t.Context(), slice, mask); err != nil {
					t.Error(err)
				} else if !bytes.Equal(mask, threshold(m, slice)) {
					t.Errorf("the mask of %v is wrong", slice.Rect)
				}
			}
		})
	}
	workers.Wait()
	if err := goleak.Find(before); err != nil {
		t.Errorf("the runs have left %v", err)
	}
	if n := len(m.cache.free); n > maxCachedTensors || m.cache.bytes > maxCachedBytes {
		t.Errorf("the cache keeps %d tensors of %d bytes", n, m.cache.bytes)
	}
}

func TestASteadyStreamAllocatesNextToNothing(t *testing.T) {
	m := open(t, "threshold", Options{})
	slice := randomSlice(rand.New(rand.NewPCG(1, 1)), 208, 176)
	mask := make([]uint8, 208*176)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	allocations := testing.AllocsPerRun(50, func() {
		if err := m.Segment(ctx, slice, mask); err != nil {
			t.Fatal(err)
		}
	})
	if allocations > 16 {
		t.Errorf("%v allocations a slice", allocations)
	}
}

func TestCloseWaitsForRunsAndIsFinal(t *testing.T) {
	m := open(t, "threshold", Options{})
	slice := randomSlice(rand.New(rand.NewPCG(1, 2)), 700, 700)
	var workers sync.WaitGroup
	running := make(chan struct{}, 4)
	for range 4 {
		workers.Go(func() {
			mask := make([]uint8, 700*700)
			for first := true; ; first = false {
				if !first {
					select {
					case running <- struct{}{}:
					default:
					}
				}
				if err := m.Segment(t.Context(), slice, mask); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range 4 {
		<-running
	}
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	workers.Wait()
}

// modelDir copies a test model and changes its manifest and its network.
func modelDir(t *testing.T, name string, edit func(m map[string]any), network func([]byte) []byte) string {
	t.Helper()
	dir := t.TempDir()
	content, err := os.ReadFile(filepath.Join("testdata", "models", name, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if network != nil {
		content = network(content)
	}
	document, err := os.ReadFile(filepath.Join("testdata", "models", name, model.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(document, &manifest); err != nil {
		t.Fatal(err)
	}
	manifest["sha256"] = fmt.Sprintf("%x", sha256.Sum256(content))
	if edit != nil {
		edit(manifest)
	}
	if document, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"model.onnx": content, model.ManifestName: document} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func object(m map[string]any, key string) map[string]any { return m[key].(map[string]any) }

func TestOpenSaysWhatIsWrongWithAModel(t *testing.T) {
	for _, test := range []struct {
		name, model string
		edit        func(m map[string]any)
		network     func([]byte) []byte
		want        error
		says        string
	}{
		{"a wrong checksum", "threshold", func(m map[string]any) { m["sha256"] = strings.Repeat("0", 64) }, nil, model.ErrChecksum, "sha256"},
		{"a network changed by a bit", "threshold", func(m map[string]any) { m["sha256"] = validSum(t) }, func(b []byte) []byte { b[100] ^= 1; return b }, model.ErrChecksum, "sha256"},
		{"a corrupt network", "threshold", nil, func([]byte) []byte { return []byte("not a network") }, model.ErrNetwork, "model.onnx"},
		{"a network cut short", "threshold", nil, func(b []byte) []byte { return b[:len(b)/2] }, model.ErrNetwork, "model.onnx"},
		{"an empty network", "threshold", nil, func([]byte) []byte { return nil }, model.ErrNetwork, "0 bytes"},
		{"a wrong input name", "threshold", func(m map[string]any) { object(m, "input")["name"] = "picture" }, nil, model.ErrNetwork, "picture"},
		{"a wrong window name", "threshold", func(m map[string]any) { object(m, "normalisation")["input"] = "range" }, nil, model.ErrNetwork, "range"},
		{"a missing window", "threshold", func(m map[string]any) { m["normalisation"] = map[string]any{"kind": "none"} }, nil, model.ErrNetwork, "window"},
		{"a wrong input type", "threshold", func(m map[string]any) { object(m, "input")["type"] = "float32" }, nil, model.ErrNetwork, "uint8"},
		{"a wrong size multiple", "threshold", func(m map[string]any) { object(m, "input")["sizeMultiple"] = 4 }, nil, model.ErrNetwork, "8 x 4"},
		{"a wrong output name", "threshold", func(m map[string]any) { object(m, "output")["name"] = "labels" }, nil, model.ErrNetwork, "labels"},
		{"scores that are a mask", "threshold", func(m map[string]any) {
			m["output"] = map[string]any{"name": "mask", "type": "float32", "layout": "NCHW"}
		}, nil, model.ErrNetwork, "shape"},
		{"another output", "threshold", func(m map[string]any) { object(m, "output")["name"] = "same" }, nil, model.ErrNetwork, "same"},
		{"too few classes for the scores", "scores", func(m map[string]any) { m["classes"] = m["classes"].([]any)[:3] }, nil, model.ErrNetwork, "shape [1 4"},
		{"a broken manifest", "scores", func(m map[string]any) { m["classes"] = nil }, nil, model.ErrManifest, "classes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, err := Open(modelDir(t, test.model, test.edit, test.network), Options{Library: library(t)})
			if err == nil {
				m.Close()
			}
			if !errors.Is(err, test.want) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("error %v, want %v that says %q", err, test.want, test.says)
			}
		})
	}
}

func validSum(t *testing.T) string {
	m, err := model.ReadManifest(filepath.Join("testdata", "models", "threshold"))
	if err != nil {
		t.Fatal(err)
	}
	return m.SHA256
}

func TestOpenSaysWhichFileIsMissing(t *testing.T) {
	_, err := Open(t.TempDir(), Options{Library: library(t)})
	if !errors.Is(err, model.ErrManifest) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no manifest: error %v", err)
	}
	dir := modelDir(t, "threshold", nil, nil)
	if err := os.Remove(filepath.Join(dir, "model.onnx")); err != nil {
		t.Fatal(err)
	}
	_, err = Open(dir, Options{Library: library(t)})
	if !errors.Is(err, model.ErrNetwork) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no network: error %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "model.onnx"), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(dir, Options{Library: library(t)}); !errors.Is(err, model.ErrNetwork) {
		t.Errorf("a folder for a network: error %v", err)
	}
}
