package recipe

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestARecipeTakesAVersionAnArtifactsPlaceAndAVariant(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "model-build", "recipe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	const uri = "s3://bucket/io.brainseg.BrainSegmentation.Model/1.2.3/model.zip"
	if err := errors.Join(r.SetVersion("1.2.3"), r.SetArtifact(uri), r.AddVariant("arm", strings.NewReplacer("/model", "/model-arm"))); err != nil {
		t.Fatal(err)
	}
	got := string(r.Bytes())
	for _, want := range []string{`ComponentVersion: "1.2.3"`, "Uri: " + uri, "# Needed by nucleus lite", "{artifacts:decompressedPath}/model-arm "} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "BUCKET_NAME") {
		t.Errorf("a placeholder is left in\n%s", got)
	}
	if m := r.Manifests; r.Version != "1.2.3" || len(m) != 2 || m[0].Platform.Architecture != "arm" || m[1].Platform.Architecture != "" || m[1].Artifacts[0].URI != uri {
		t.Errorf("the fields are not the text's: %+v", r)
	}
	again, err := Check(r.Bytes())
	if err != nil || !bytes.Equal(again.Bytes(), r.Bytes()) {
		t.Errorf("read and written again it differs (%v)", err)
	}
	if err := r.SetArtifact("s3://bucket/other.zip"); !errors.Is(err, ErrInvalid) {
		t.Errorf("an artifact that is not in it: error %v", err)
	}
	for _, version := range []string{"", "1.0", "1.0.0+4", "1234567.0.0", "1.0.0-" + strings.Repeat("a", 60)} {
		if err := r.SetVersion(version); !errors.Is(err, ErrInvalid) {
			t.Errorf("version %q: error %v", version, err)
		}
	}
	if r.Version != "1.2.3" {
		t.Errorf("a refused change left version %s", r.Version)
	}
}

func TestParseTakesWhatItDoesNotKnowAndRefusesWhatIsNoRecipe(t *testing.T) {
	if r, err := Parse([]byte(strings.Replace(good, "Timeout: 60", `Skipif: "exists /x"`, 1))); err != nil || r.Manifests[0].Lifecycle["startup"].Script == "" {
		t.Errorf("a condition: %+v, %v", r, err)
	}
	for _, broken := range []string{"", "- a", "a: [", "ComponentName: x y\nComponentVersion: 1.0.0", "ComponentName: x\nComponentVersion: one",
		"ComponentName: x\nComponentVersion: 1.0.0\nx: " + strings.Repeat("y", MaxBytes)} {
		if _, err := Parse([]byte(broken)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.40q: error %v", broken, err)
		}
	}
	bare, err := Parse([]byte("ComponentName: x\nComponentVersion: 1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.AddVariant("arm", strings.NewReplacer()); !errors.Is(err, ErrInvalid) {
		t.Errorf("a variant of no manifest: error %v", err)
	}
}
