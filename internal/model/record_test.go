package model

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var models = filepath.Join("..", "segmentation", "testdata", "models")

func TestTheRecordComesBackAndTheTrainersWordsStay(t *testing.T) {
	manifest, record, err := Read(filepath.Join(models, "threshold"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Record{}, record); diff != "" {
		t.Errorf("a manifest without a record: %s", diff)
	}
	want := Record{
		Tool:        "model-build test",
		TrainingJob: &TrainingJob{Name: "job", ARN: "arn", Artifact: "s3://b/k", Hyperparameters: map[string]string{"network": "enet"}},
		Artifact:    &Artifact{Source: "s3://b/k", VersionID: "3", SHA256: strings.Repeat("a", 64), Bytes: 5},
		Steps:       []Step{{Name: "convert", SHA256: strings.Repeat("b", 64), Notes: []string{"as it was"}}},
		Metrics:     map[string]any{"dice": map[string]any{"mean": []any{0.75, 0.9}}},
		Verification: &Verification{Golden: []GoldenMask{{Slice: "a.png", Width: 1, Height: 1, Pixels: map[string]int{"below": 1}}},
			Measured: &Measured{P50: 1.5}},
	}
	manifest.Normalisation.Low = 0 // the schema wants it nevertheless
	dir := t.TempDir()
	first, err := Encode(manifest, want)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ManifestName), first, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(string(again.Provenance), `"madeBy"`) {
		t.Errorf("the trainer's words are gone: %s", again.Provenance)
	}
	// Written once more it is the same to the byte.
	second, err := Encode(again, got)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("written again it differs (%v):\n%s\n%s", err, first, second)
	}
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "..", "schemas", "model-manifest.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Error(err)
	}
}

func TestAManifestThatIsMissingOrWrongIsNamed(t *testing.T) {
	if _, _, err := Read(t.TempDir()); !errors.Is(err, ErrManifest) {
		t.Errorf("none: error %v", err)
	}
	manifest, _, err := Read(filepath.Join(models, "values"))
	if err != nil {
		t.Fatal(err)
	}
	for _, provenance := range []string{`[1]`, `"text"`, `{"modelBuild": 5}`} {
		m := *manifest
		m.Provenance = []byte(provenance)
		if _, err := m.Record(); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: error %v", provenance, err)
		}
	}
	m := *manifest
	m.Provenance = []byte("null")
	if _, err := Encode(&m, Record{Tool: "t"}); err != nil {
		t.Errorf("null: %v", err)
	}
}

func TestOnlyFiguresOfTheMetricsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.json")
	if m, err := ReadMetrics(path); m != nil || err != nil {
		t.Errorf("none: %v, %v", m, err)
	}
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"epochs": 12, "dice": {"mean": [0.75, 0.9], "worst": "sub-09"}, "names": {"first": "sub-09"}, "subjects": [{"dice": 1}], "ids": [1, "sub-09"], "done": true}`)
	m, err := ReadMetrics(path)
	if diff := cmp.Diff(map[string]any{"epochs": 12.0, "dice": map[string]any{"mean": []any{0.75, 0.9}}}, m); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	write(`["sub-09"]`)
	if m, err := ReadMetrics(path); len(m) != 0 || err != nil {
		t.Errorf("a list: %v, %v", m, err)
	}
	write("{")
	if _, err := ReadMetrics(path); err == nil {
		t.Error("broken JSON was taken")
	}
}
