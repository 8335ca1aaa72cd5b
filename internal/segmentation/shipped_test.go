package segmentation

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/brainseg/brainseg/internal/model"
)

var update = flag.Bool("update", false, "write the golden masks of the shipped model anew")

var (
	shippedModel = filepath.Join("..", "..", "artifacts", "model")
	samples      = filepath.Join("..", "..", "artifacts", "samples")
	goldenMasks  = filepath.Join("testdata", "golden")
)

func openShipped(t *testing.T) *Model {
	t.Helper()
	m, err := Open(shippedModel, Options{Library: library(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func readGrey(t *testing.T, path string) *image.Gray {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	grey, ok := picture.(*image.Gray)
	if !ok {
		t.Fatalf("%s is %T, not 8-bit grey", path, picture)
	}
	return grey
}

// sampleSlices lists the greyscale samples, without the masks that may lie
// beside them.
func sampleSlices(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(samples, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".png" && !strings.Contains(entry.Name(), "mask") && !strings.Contains(entry.Name(), "overlay") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 2 {
		t.Fatalf("%s has %d samples", samples, len(paths))
	}
	return paths
}

func TestTheShippedManifestFollowsTheSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "schemas", "model-manifest.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile(filepath.Join(shippedModel, model.ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
}

// Processors differ in the last bits of a sum, so that a pixel between two
// classes may fall to either: 99.994 % agree between amd64 and arm64.
func TestTheShippedModelGivesTheGoldenMasks(t *testing.T) {
	m := openShipped(t)
	for _, path := range sampleSlices(t) {
		relative, err := filepath.Rel(samples, path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(relative, string(filepath.Separator), "_")
		t.Run(name, func(t *testing.T) {
			slice := readGrey(t, path)
			mask := make([]uint8, len(slice.Pix))
			if err := m.Segment(t.Context(), slice, mask); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join(goldenMasks, name)
			if *update {
				writeGolden(t, golden, &image.Gray{Pix: mask, Stride: slice.Stride, Rect: slice.Rect})
				return
			}
			if _, err := os.Stat(golden); err != nil {
				t.Fatalf("%v; a new sample or model needs: go test ./internal/segmentation -run Golden -update", err)
			}
			want := readGrey(t, golden)
			if want.Rect != slice.Rect {
				t.Fatalf("the golden mask has %v, the slice %v", want.Rect, slice.Rect)
			}
			differ := 0
			for i, v := range mask {
				if v != want.Pix[i] {
					differ++
				}
			}
			if 1000*differ > len(mask) {
				t.Errorf("%d of %d pixels differ from the golden mask", differ, len(mask))
			}
			if counts := Counts(mask); counts[0] == len(mask) {
				t.Error("the mask is empty")
			}
		})
	}
}

func writeGolden(t *testing.T, path string, mask *image.Gray) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	var encoded bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&encoded, mask); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, encoded.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// What a network computes near the right and lower border depends on the
// padding; the rest must not.
func TestPaddingDoesNotMoveTheMask(t *testing.T) {
	m := openShipped(t)
	path := sampleSlices(t)[0]
	slice := readGrey(t, path)
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	whole := make([]uint8, width*height)
	if err := m.Segment(t.Context(), slice, whole); err != nil {
		t.Fatal(err)
	}
	// The same slice with a border of air that is no multiple of the model's:
	// it is background there, and the head stays where it was.
	wide := image.NewGray(image.Rect(0, 0, width+13, height+5))
	for y := range height {
		copy(wide.Pix[y*wide.Stride:], slice.Pix[y*slice.Stride:][:width])
	}
	mask := make([]uint8, len(wide.Pix))
	if err := m.Segment(t.Context(), wide, mask); err != nil {
		t.Fatal(err)
	}
	differ := 0
	for y := range height {
		for x := range width {
			if mask[y*wide.Stride+x] != whole[y*width+x] {
				differ++
			}
		}
	}
	if 200*differ > width*height {
		t.Errorf("%d of %d pixels changed", differ, width*height)
	}
}

func TestMemoryStaysBoundedOverManySizes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	m := openShipped(t)
	random := rand.New(rand.NewPCG(10, 11))
	segment := func(width, height int) {
		slice := image.NewGray(image.Rect(0, 0, width, height))
		if err := m.Segment(t.Context(), slice, make([]uint8, width*height)); err != nil {
			t.Fatal(err)
		}
	}
	// The largest of them first: it sets what the memory pool of ONNX Runtime
	// has to have, and the rest must fit in.
	segment(320, 320)
	before := residentMemory(t)
	for range 200 {
		segment(1+random.IntN(320), 1+random.IntN(320))
	}
	after := residentMemory(t)
	t.Logf("resident memory %.1f MB before, %.1f MB after 200 sizes", before, after)
	if after > before+16 {
		t.Errorf("resident memory grew from %.1f to %.1f MB", before, after)
	}
}

func residentMemory(t *testing.T) (megabytes float64) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return float64(kilobytes) / 1024
		}
	}
	t.Fatal(fmt.Errorf("no VmRSS in /proc/self/status"))
	return 0
}
