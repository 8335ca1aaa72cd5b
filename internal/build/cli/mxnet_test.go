package cli

import (
	"bytes"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/build/mxnet/mxnettest"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// The networks were trained with MXNet 1.9.1, which also made the scores that the
// packaged models' masks are compared with.
func TestAnMXNetArtifactBecomesAComponentWithMXNetsMasks(t *testing.T) {
	s := newSite(t)
	compared := 0
	for _, network := range mxnettest.Networks(t, filepath.Join("..", "mxnet")) {
		files := make(map[string][]byte)
		for _, name := range []string{"model-symbol.json", "model-0000.params", "model-shapes.json"} {
			content, err := os.ReadFile(filepath.Join(network.Folder, name))
			if err != nil {
				break // the weights of some networks are made up by the tests
			}
			files[name] = content
		}
		if len(files) < 3 {
			continue
		}
		t.Run(network.Name, func(t *testing.T) {
			job := s.train(t, tarGz(t, files))
			o := mustRun(t, s.all(network.Name, "--training-job", job)...)
			for _, part := range []string{"converted from MXNet 1.9.1", "decide-classes in 1 place", "take-bytes in 1 place"} {
				if !strings.Contains(o.stderr, part) {
					t.Errorf("%q was not said:\n%s", part, o.stderr)
				}
			}
			verified := filepath.Join(s.dir, network.Name+"-work", "verify")
			manifest, record, err := model.Read(verified)
			if err != nil {
				t.Fatal(err)
			}
			if manifest.Input.Type != "uint8" || manifest.Output.Layout != "NHW" || manifest.Parameters < 100_000 || len(record.Steps) != 2 || record.Steps[0].SHA256 == record.Steps[1].SHA256 {
				t.Errorf("manifest %+v, steps %+v", manifest, record.Steps)
			}
			checkMasks(t, verified, network.Slices)
		})
		compared++
	}
	if compared < 2 {
		t.Errorf("%d networks were compared", compared)
	}
}

// checkMasks compares with the class of the largest of MXNet's scores.
func checkMasks(t *testing.T, dir string, slices []mxnettest.Slice) {
	t.Helper()
	opened, err := segmentation.Open(dir, segmentation.Options{Library: awstest.Library(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	pixels, different := 0, 0
	for _, slice := range slices {
		height, width := int(slice.Image.Shape[0]), int(slice.Image.Shape[1])
		grey := image.NewGray(image.Rect(0, 0, width, height))
		if copy(grey.Pix, slice.Image.Bytes) != width*height {
			t.Fatal("the slice is not of bytes")
		}
		mask := make([]uint8, width*height)
		if err := opened.Segment(t.Context(), grey, mask); err != nil {
			t.Fatal(err)
		}
		scores := slice.Softmax.Floats
		for i := range mask {
			best := 0
			for class := 1; class < 4; class++ {
				if scores[class*len(mask)+i] > scores[best*len(mask)+i] {
					best = class
				}
			}
			if int(mask[i]) != best {
				different++
			}
		}
		pixels += len(mask)
	}
	t.Logf("%d of %d pixels differ from MXNet's", different, pixels)
	if pixels == 0 || 10_000*different > pixels {
		t.Errorf("%d of %d pixels differ from MXNet's", different, pixels)
	}
}

func TestAnAMD64VariantGoesIntoTheSameComponent(t *testing.T) {
	s := newSite(t)
	greengrass := awstest.UseGreengrass(t)
	folder := filepath.Join("..", "mxnet", "testdata", "reference", "networks", "enet-trained")
	files := make(map[string][]byte)
	for _, name := range []string{"model-symbol.json", "model-0000.params", "model-shapes.json"} {
		files[name] = readFile(t, folder, name)
	}
	job := s.train(t, tarGz(t, files))
	args := s.all("a", "--training-job", job, "--amd64-variant", "--bucket", s.bucket)
	o := mustRun(t, args...)
	packaged := filepath.Join(s.dir, "a-work", "package")
	for _, name := range []string{"model.zip", "model-amd64.zip"} {
		zipEntry(t, readFile(t, packaged, name), "manifest.json")
		if key := "s3://" + s.bucket + "/" + component + "/1.0.0/" + name; !strings.Contains(o.stdout, key) {
			t.Errorf("%s is not in\n%s", key, o.stdout)
		}
	}
	common, special := zipEntry(t, readFile(t, packaged, "model.zip"), "model.onnx"), zipEntry(t, readFile(t, packaged, "model-amd64.zip"), "model.onnx")
	if bytes.Equal(common, special) {
		t.Error("the variant is the same network")
	}
	// The first manifest that matches wins.
	recipe := string(greengrass.Components()[0].Recipe)
	first, second := strings.Index(recipe, "{artifacts:decompressedPath}/model-amd64 {work:path}/current"), strings.Index(recipe, "{artifacts:decompressedPath}/model {work:path}/current")
	if first < 0 || second < first || strings.Count(recipe, "architecture: amd64") != 1 || strings.Index(recipe, "architecture: amd64") > first {
		t.Errorf("the recipe is\n%s", recipe)
	}
	if o := mustRun(t, args...); !strings.Contains(o.stderr, "0 steps taken, 6 up to date") {
		t.Errorf("the second run said\n%s", o.stderr)
	}
	network := mxnettest.Networks(t, filepath.Join("..", "mxnet"))[1]
	if network.Name != "enet-trained" {
		t.Fatalf("network %s", network.Name)
	}
	checkMasks(t, filepath.Join(s.dir, "a-work", "verify", "amd64"), network.Slices)
}
