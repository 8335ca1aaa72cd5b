package modelpackage

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/recipe"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// makeModel copies a test model and writes a record into its manifest.
func makeModel(t *testing.T, change func(*model.Record)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold"))); err != nil {
		t.Fatal(err)
	}
	manifest, record, err := model.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	record.Tool = "model-build test"
	if change != nil {
		change(&record)
	}
	document, err := model.Encode(manifest, record)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, model.ManifestName), document, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func unzip(t *testing.T, path string) map[string]string {
	t.Helper()
	r, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	files := make(map[string]string)
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(content)
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name] = string(b)
	}
	return files
}

func TestThePackageHoldsAModelThatOpens(t *testing.T) {
	dir := makeModel(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "MODEL_CARD.md"), []byte("card"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{model.SelfTestSliceName, model.SelfTestMaskName} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "other.txt"), []byte("other"), 0o640); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "new", "package")
	p, err := Build(dir, out, Options{Version: "2.3.4"})
	if err != nil {
		t.Fatal(err)
	}
	files := slices.Sorted(maps.Keys(unzip(t, p.Artifacts[0].Path)))
	if diff := cmp.Diff([]string{"MODEL_CARD.md", "manifest.json", "model.onnx", "selftest.mask.png", "selftest.png"}, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if p.Component != "io.brainseg.BrainSegmentation.Model" || p.Version != "2.3.4" || len(p.Artifacts) != 1 || len(p.Artifacts[0].SHA256) != 64 || len(p.Digest()) != 64 {
		t.Errorf("%+v", p)
	}
	unpacked := t.TempDir()
	for name, content := range unzip(t, p.Artifacts[0].Path) {
		if err := os.WriteFile(filepath.Join(unpacked, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	m, err := segmentation.Open(unpacked, segmentation.Options{Library: awstest.Library(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheSameModelGivesTheSameBytesWhereverItWasMeasured(t *testing.T) {
	measured := func(p50 float64) func(*model.Record) {
		return func(r *model.Record) {
			r.Verification = &model.Verification{Golden: []model.GoldenMask{{Slice: "a.png"}}, Measured: &model.Measured{P50: p50, Processor: "mine"}}
		}
	}
	var zips [][]byte
	for i, p50 := range []float64{1, 2} {
		dir := makeModel(t, measured(p50))
		if i == 1 { // neither times nor modes count
			if err := os.Chmod(filepath.Join(dir, "model.onnx"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Build(dir, t.TempDir(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(p.Artifacts[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		zips = append(zips, content)
		manifest := unzip(t, p.Artifacts[0].Path)["manifest.json"]
		if strings.Contains(manifest, "mine") || !strings.Contains(manifest, "a.png") {
			t.Errorf("manifest %s", manifest)
		}
	}
	if !bytes.Equal(zips[0], zips[1]) {
		t.Error("the zips differ")
	}
}

func TestAModelThatDoesNotFitItsManifestIsNotPackaged(t *testing.T) {
	dir := makeModel(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), []byte("other"), 0o640); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if _, err := Build(dir, out, Options{}); !errors.Is(err, model.ErrChecksum) {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(out); len(entries) > 0 {
		t.Errorf("%v was written", entries)
	}
	if _, err := Build(makeModel(t, nil), out, Options{Version: "1.0"}); !errors.Is(err, recipe.ErrInvalid) {
		t.Errorf("a version of two numbers: error %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrPackage) {
		t.Errorf("an empty folder: error %v", err)
	}
}

func TestTheRecipeKeepsTheRulesOfBothNuclei(t *testing.T) {
	variant, err := recipe.Parse(template)
	if err != nil {
		t.Fatal(err)
	}
	if err := variant.AddVariant("amd64", forAMD64); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		recipe        []byte
		architectures []string
		folders       []string
	}{
		"for all":        {template, []string{""}, []string{"model"}},
		"with a variant": {variant.Bytes(), []string{"amd64", ""}, []string{"model-amd64", "model"}},
	} {
		t.Run(name, func(t *testing.T) { checkRecipe(t, test.recipe, test.architectures, test.folders) })
	}
}

func checkRecipe(t *testing.T, content []byte, architectures, folders []string) {
	t.Helper()
	r, err := recipe.Check(content)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Manifests) != len(architectures) {
		t.Fatalf("%d manifests", len(r.Manifests))
	}
	for i, m := range r.Manifests {
		if m.Platform.Architecture != architectures[i] || len(m.Lifecycle) != 1 || len(m.Artifacts) != 1 {
			t.Errorf("manifest %+v", m)
		}
		if got, want := m.Lifecycle["startup"].Script, "ln -sfn {artifacts:decompressedPath}/"+folders[i]+" {work:path}/current || exit 1\n"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\nexit 0") {
			t.Errorf("startup is %q, want %q", got, want)
		}
		if a := m.Artifacts[0]; a.URI != "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/"+folders[i]+".zip" || a.Unarchive != "ZIP" || a.Permission.Read != "ALL" {
			t.Errorf("artifact %+v", a)
		}
	}
}

func TestThePackageIsLaidWhereGDKExpectsIt(t *testing.T) {
	dir := makeModel(t, nil)
	if err := os.CopyFS(filepath.Join(dir, AMD64Dir), os.DirFS(filepath.Join("..", "..", "segmentation", "testdata", "models", "values"))); err != nil {
		t.Fatal(err)
	}
	p, err := Build(dir, t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Artifacts) != 2 || p.Artifacts[0].Name() != ZipName || p.Artifacts[1].Name() != amd64ZipName {
		t.Fatalf("artifacts %+v", p.Artifacts)
	}
	build := t.TempDir()
	if err := LayForGDK(p, build); err == nil {
		t.Error("a folder that GDK has not prepared was taken")
	}
	for _, dir := range []string{"recipes", "artifacts/" + p.Component + "/NEXT_PATCH"} {
		if err := os.MkdirAll(filepath.Join(build, dir), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := LayForGDK(p, build); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"recipes/recipe.yaml", "artifacts/" + p.Component + "/NEXT_PATCH/model.zip", "artifacts/" + p.Component + "/NEXT_PATCH/model-amd64.zip"} {
		if _, err := os.Stat(filepath.Join(build, path)); err != nil {
			t.Error(err)
		}
	}
}
