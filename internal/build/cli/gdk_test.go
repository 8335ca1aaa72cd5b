package cli

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/recipe"
)

const component = "io.brainseg.BrainSegmentation.Model"

// gdkConfig is what GDK reads of gdk-config.json.
type gdkConfig struct {
	Component map[string]struct {
		Author, Version string
		Build           struct {
			BuildSystem        string   `json:"build_system"`
			CustomBuildCommand []string `json:"custom_build_command"`
		}
		Publish struct{ Bucket, Region string }
	}
	GDKVersion string `json:"gdk_version"`
}

func readGDKConfig(t *testing.T) gdkConfig {
	t.Helper()
	var c gdkConfig
	if err := json.Unmarshal(readFile(t, "..", "..", "..", "model-build", "gdk-config.json"), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheGDKConfigurationKeepsGDKsRules(t *testing.T) {
	c := readGDKConfig(t)
	entry, ok := c.Component[component]
	if len(c.Component) != 1 || !ok {
		t.Fatalf("GDK takes one component a folder, and there are %v", c.Component)
	}
	if entry.Author == "" || entry.Version != "NEXT_PATCH" || entry.Build.BuildSystem != "custom" || entry.Publish.Bucket == "" || entry.Publish.Region == "" || c.GDKVersion > "1.6.2" {
		t.Errorf("%+v", c)
	}
	// GDK looks for the recipe before it builds.
	r, err := recipe.Check(readFile(t, "..", "..", "..", "model-build", "recipe.yaml"))
	if err != nil || r.Name != component {
		t.Errorf("the recipe is of %v, %v", r, err)
	}
}

// What GDK does of `gdk component build`: it makes the folders, then runs the
// custom command as it is, and looks for the recipe under the name that
// recipe.yaml leads to.
func TestTheCustomBuildCommandMakesWhatGDKExpects(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "model-build")
	model, err := filepath.Abs(filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold"))
	if err != nil {
		t.Fatal(err)
	}
	build := filepath.Join(folder, "greengrass-build")
	artifacts := filepath.Join(build, "artifacts", component, readGDKConfig(t).Component[component].Version)
	t.Cleanup(func() { os.RemoveAll(build) })
	if err := os.RemoveAll(build); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{artifacts, filepath.Join(build, "recipes")} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	parts := readGDKConfig(t).Component[component].Build.CustomBuildCommand
	command := exec.Command(parts[0], parts[1:]...)
	command.Dir = folder
	command.Env = append(os.Environ(), "model="+model)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	target, err := filepath.EvalSymlinks(filepath.Join(folder, "recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := recipe.Check(readFile(t, build, "recipes", filepath.Base(target))); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(artifacts)
	if err != nil || len(entries) != 1 || entries[0].Name() != modelpackage.ZipName || !entries[0].Type().IsRegular() {
		t.Errorf("the artifacts are %v, %v", entries, err)
	}
	zipEntry(t, readFile(t, artifacts, modelpackage.ZipName), "model.onnx")
}

// GDK is not in the package registries: this runs where somebody has installed
// it (github.com/aws-greengrass/aws-greengrass-gdk-cli).
func TestGDKItselfBuildsAndPublishesTheComponent(t *testing.T) {
	gdk, err := exec.LookPath("gdk")
	if err != nil {
		t.Skip("gdk is not installed")
	}
	s := newSite(t)
	greengrass := awstest.UseGreengrass(t)
	bucket := readGDKConfig(t).Component[component].Publish.Bucket + "-" + awstest.Region + "-" + awstest.Account
	greengrass.Add(component, "1.0.4")
	model, err := filepath.Abs(filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold"))
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join("..", "..", "..", "model-build")
	t.Cleanup(func() { os.RemoveAll(filepath.Join(folder, "greengrass-build")) })
	for _, verb := range []string{"build", "publish"} {
		command := exec.Command(gdk, "component", verb)
		command.Dir = folder
		// The Python SDK takes an empty AWS_PROFILE for a profile without a name.
		command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") && strings.HasSuffix(v, "=") })
		command.Env = append(command.Env, "model="+model, "AWS_DEFAULT_REGION="+awstest.Region)
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("gdk component %s: %v\n%s", verb, err, output)
		}
	}
	created := greengrass.Components()
	last := created[len(created)-1]
	uri := "s3://" + bucket + "/" + component + "/1.0.5/model.zip"
	if last.Version != "1.0.5" || !strings.Contains(string(last.Recipe), uri) {
		t.Errorf("created %s:\n%s", last.Version, last.Recipe)
	}
	out, err := s.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(component + "/1.0.5/model.zip")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	content, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	zipEntry(t, content, "manifest.json")
}
