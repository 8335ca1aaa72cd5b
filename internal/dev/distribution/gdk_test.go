package main

import (
	"bytes"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/recipe"
)

// The Greengrass Development Kit publishes what lies in these folders and
// nothing else; it looks for the recipe under the name that recipe.yaml leads to.
func TestTheBuildLeavesWhatTheDevelopmentKitPublishes(t *testing.T) {
	if output, err := exec.Command("make", "-s", "-C", root, "gdk").CombinedOutput(); err != nil {
		t.Fatalf("make gdk: %v\n%s", err, output)
	}
	build := filepath.Join(root, "greengrass-build")
	target, err := os.Readlink(filepath.Join(root, "recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(build, "recipes", filepath.Base(target)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := recipe.Check(text)
	if err != nil {
		t.Fatal(err)
	}
	artifacts := filepath.Join(build, "artifacts", r.Name, "NEXT_PATCH")
	wanted := make(map[string]bool)
	for _, m := range r.Manifests {
		for _, a := range m.Artifacts {
			wanted[path.Base(a.URI)] = true
		}
	}
	entries, err := os.ReadDir(artifacts)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !wanted[entry.Name()] {
			t.Errorf("%s is not in the recipe, or no file", entry.Name())
		}
		delete(wanted, entry.Name())
	}
	if len(wanted) > 0 {
		t.Errorf("the recipe names %v, which was not built", wanted)
	}
}

// GDK is not in the package registries: this runs where somebody has installed
// it (github.com/aws-greengrass/aws-greengrass-gdk-cli).
func TestGDKItselfBuildsAndPublishesTheComponent(t *testing.T) {
	gdk, err := exec.LookPath("gdk")
	if err != nil {
		t.Skip("gdk is not installed")
	}
	awstest.UseMoto(t)
	greengrass := awstest.UseGreengrass(t)
	greengrass.Add(componentName, "1.0.4")
	for _, verb := range []string{"build", "publish"} {
		command := exec.Command(gdk, "component", verb)
		command.Dir = root
		// The Python SDK takes an empty AWS_PROFILE for a profile without a name.
		command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") && strings.HasSuffix(v, "=") })
		command.Env = append(command.Env, "AWS_DEFAULT_REGION="+awstest.Region)
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("gdk component %s: %v\n%s", verb, err, output)
		}
	}
	created := greengrass.Components()
	last := created[len(created)-1]
	r, err := recipe.Check(last.Recipe)
	if err != nil || last.Version != "1.0.5" || r.Version != last.Version {
		t.Fatalf("created %s, error %v:\n%s", last.Version, err, last.Recipe)
	}
	for _, m := range r.Manifests {
		for _, a := range m.Artifacts {
			bucket, key, _ := strings.Cut(strings.TrimPrefix(a.URI, "s3://"), "/")
			if key != componentName+"/1.0.5/"+path.Base(a.URI) || !strings.HasSuffix(bucket, awstest.Region+"-"+awstest.Account) {
				t.Errorf("manifest %s has its artifact at %s", m.Name, a.URI)
			}
		}
	}
	if bytes.Contains(last.Recipe, []byte("BUCKET_NAME")) {
		t.Error("a place-holder is left in the recipe")
	}
}
