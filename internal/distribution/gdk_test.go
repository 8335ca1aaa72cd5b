package main

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

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
