package modelpackage

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/provenance"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// model copies a test model and writes a record into its manifest.
func model(t *testing.T, change func(*provenance.Record)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold"))); err != nil {
		t.Fatal(err)
	}
	manifest, record, err := provenance.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	record.Tool = "model-build test"
	if change != nil {
		change(&record)
	}
	if err := provenance.Write(dir, manifest, record); err != nil {
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
	dir := model(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "MODEL_CARD.md"), []byte("card"), 0o640); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{segmentation.SelfTestSliceName, segmentation.SelfTestMaskName} {
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
	measured := func(p50 float64) func(*provenance.Record) {
		return func(r *provenance.Record) {
			r.Verification = &modelcheck.Report{Golden: []modelcheck.Mask{{Slice: "a.png"}}, Measured: &modelcheck.Measured{P50: p50, Processor: "mine"}}
		}
	}
	var zips [][]byte
	for i, p50 := range []float64{1, 2} {
		dir := model(t, measured(p50))
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
	dir := model(t, nil)
	if err := os.WriteFile(filepath.Join(dir, "model.onnx"), []byte("other"), 0o640); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	if _, err := Build(dir, out, Options{}); !errors.Is(err, segmentation.ErrChecksum) {
		t.Errorf("error %v", err)
	}
	if entries, _ := os.ReadDir(out); len(entries) > 0 {
		t.Errorf("%v was written", entries)
	}
	if _, err := Build(model(t, nil), out, Options{Version: "1.0"}); !errors.Is(err, ErrPackage) {
		t.Errorf("a version of two numbers: error %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrPackage) {
		t.Errorf("an empty folder: error %v", err)
	}
}

// The rules are those that Greengrass, GDK and nucleus lite document, and what
// was seen of them.
func TestTheRecipeKeepsTheRulesOfBothNuclei(t *testing.T) {
	variant, err := ParseRecipe(template)
	if err != nil {
		t.Fatal(err)
	}
	if err := variant.addVariant("amd64", amd64ZipName); err != nil {
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
	var recipe struct {
		RecipeFormatVersion  string `yaml:"RecipeFormatVersion"`
		ComponentName        string `yaml:"ComponentName"`
		ComponentVersion     string `yaml:"ComponentVersion"`
		ComponentDescription string `yaml:"ComponentDescription"`
		ComponentPublisher   string `yaml:"ComponentPublisher"`
		Manifests            []struct {
			Platform  map[string]string         `yaml:"Platform"`
			Lifecycle map[string]map[string]any `yaml:"Lifecycle"`
			Artifacts []struct {
				Uri        string            `yaml:"Uri"`
				Unarchive  string            `yaml:"Unarchive"`
				Permission map[string]string `yaml:"Permission"`
			} `yaml:"Artifacts"`
		} `yaml:"Manifests"`
	}
	// Keys are case sensitive on lite, and so they are here.
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&recipe); err != nil {
		t.Fatal(err)
	}
	if recipe.RecipeFormatVersion != "2020-01-25" || !namePattern.MatchString(recipe.ComponentName) || len(content) > MaxRecipeBytes {
		t.Errorf("%+v", recipe)
	}
	if len(recipe.Manifests) != len(architectures) {
		t.Fatalf("%d manifests", len(recipe.Manifests))
	}
	for i, m := range recipe.Manifests {
		if m.Platform["os"] != "linux" || m.Platform["runtime"] != "*" || m.Platform["architecture"] != architectures[i] {
			t.Errorf("platform %v: lite needs runtime \"*\"", m.Platform)
		}
		for step, fields := range m.Lifecycle {
			if step != "startup" {
				t.Errorf("lifecycle step %s", step)
			}
			for key, value := range fields {
				switch key {
				case "Script":
					checkScript(t, value.(string))
				case "Timeout":
				default:
					t.Errorf("lite does not know %s", key)
				}
			}
		}
		if got, want := fmt.Sprint(m.Lifecycle["startup"]["Script"]), "ln -sfn {artifacts:decompressedPath}/"+folders[i]+" {work:path}/current || exit 1\n"; !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\nexit 0") {
			t.Errorf("startup is %q, want %q", got, want)
		}
		if len(m.Artifacts) != 1 {
			t.Fatalf("%d artifacts", len(m.Artifacts))
		}
		a := m.Artifacts[0]
		if a.Uri != "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/"+folders[i]+".zip" || a.Unarchive != "ZIP" || a.Permission["Read"] != "ALL" {
			t.Errorf("artifact %+v", a)
		}
	}
}

// checkScript refuses what nucleus lite cuts a script at.
func checkScript(t *testing.T, script string) {
	t.Helper()
	rest := regexp.MustCompile(`\{(artifacts:path|artifacts:decompressedPath|work:path|kernel:rootPath|iot:thingName|configuration:/[^{}]*)\}`).ReplaceAllString(script, "")
	if strings.ContainsAny(rest, "{}") {
		t.Errorf("the script has a stray brace: %s", script)
	}
}

func TestARecipeTakesAVersionAndAnArtifactsPlace(t *testing.T) {
	r, err := ParseRecipe(template)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.SetVersion("1.2.3"), r.SetArtifact("s3://bucket/io.brainseg.BrainSegmentation.Model/1.2.3/model.zip")); err != nil {
		t.Fatal(err)
	}
	got := string(r.Bytes())
	for _, want := range []string{`ComponentVersion: "1.2.3"`, "Uri: s3://bucket/io.brainseg.BrainSegmentation.Model/1.2.3/model.zip", "# Needed by nucleus lite"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "BUCKET_NAME") {
		t.Errorf("a placeholder is left in\n%s", got)
	}
	again, err := ParseRecipe(r.Bytes())
	if err != nil || !bytes.Equal(again.Bytes(), r.Bytes()) {
		t.Errorf("read and written again it differs (%v)", err)
	}
	if err := r.SetArtifact("s3://bucket/other.zip"); !errors.Is(err, ErrPackage) {
		t.Errorf("an artifact that is not in it: error %v", err)
	}
	for _, broken := range []string{"", "- a", "a: [", "ComponentName: x y\nComponentVersion: 1.0.0", "ComponentName: x\nComponentVersion: one"} {
		if _, err := ParseRecipe([]byte(broken)); !errors.Is(err, ErrPackage) {
			t.Errorf("%q: error %v", broken, err)
		}
	}
}

func TestThePackageIsLaidWhereGDKExpectsIt(t *testing.T) {
	dir := model(t, nil)
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
