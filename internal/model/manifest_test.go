package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// validManifest returns a manifest document, changed by edit.
func validManifest(t *testing.T, edit func(m map[string]any)) []byte {
	t.Helper()
	document, err := os.ReadFile(filepath.Join(models, "threshold", ManifestName))
	if err != nil {
		t.Fatal(err)
	}
	return editJSON(t, document, edit)
}

func editJSON(t *testing.T, document []byte, edit func(m map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(document, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	document, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func object(m map[string]any, key string) map[string]any { return m[key].(map[string]any) }

func class(m map[string]any, i int) map[string]any { return m["classes"].([]any)[i].(map[string]any) }

func TestParseManifestReadsEveryField(t *testing.T) {
	m, err := ParseManifest(validManifest(t, func(m map[string]any) { m["parameters"] = 371116 }))
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		SchemaVersion: 1, Name: "threshold", Version: "1.0.0", File: "model.onnx", SHA256: m.SHA256,
		Input:         Input{Name: "image", Type: "uint8", Layout: "NCHW", Channels: 1, SizeMultiple: 8},
		Normalisation: Normalisation{Kind: "percentile-window", Input: "window", Low: 0.01, High: 0.99},
		Output:        Output{Name: "mask", Type: "uint8", Layout: "NHW"},
		Classes:       []Class{{0, "below", "#000000"}, {1, "inside", "#3b7dd8"}, {2, "above", "#7f7f7f"}},
		Parameters:    371116,
		Provenance:    json.RawMessage(`{"madeBy":"make_models.py"}`),
		Licence:       "that of this repository",
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Error(diff)
	}
	if got, want := m.Classes[1].RGBA(), (color.RGBA{0x3b, 0x7d, 0xd8, 0xff}); got != want {
		t.Errorf("colour %v, want %v", got, want)
	}
}

// second makes of a manifest one of the second format, with all that it may have.
func second(m map[string]any) {
	m["schemaVersion"] = 2
	m["requires"] = []any{"scores", "judgement"}
	m["scores"] = map[string]any{"name": "scores", "type": "uint8", "layout": "NCHW", "switch": "scores_wanted"}
	m["judgement"] = map[string]any{"name": "judgement", "leastKnown": 0.25}
}

func TestTheSecondFormatHasScoresAndPassesOverWhatItDoesNotKnow(t *testing.T) {
	m, err := ParseManifest(validManifest(t, func(m map[string]any) {
		second(m)
		m["zoom"] = 1
		object(m, "normalisation")["mean"] = 3
		object(m, "scores")["since"] = "2.1.0"
		class(m, 1)["snomed"] = "1"
	}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&ScoresOutput{Name: "scores", Type: "uint8", Layout: "NCHW", Switch: "scores_wanted"}, m.Scores); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&JudgementOutput{Name: "judgement", LeastKnown: 0.25}, m.Judgement); diff != "" {
		t.Error(diff)
	}
	if _, err := ParseManifest(validManifest(t, func(m map[string]any) { m["schemaVersion"] = 2 })); err != nil {
		t.Errorf("one without anything new: %v", err)
	}
}

// refusals are manifests that must be refused, by an error that says so.
var refusals = []struct {
	name, says string
	edit       func(m map[string]any)
}{
	{"a later format", "schemaVersion is 3", func(m map[string]any) { m["schemaVersion"] = 3; m["novelty"] = 1 }},
	{"no format", "schemaVersion is 0", func(m map[string]any) { delete(m, "schemaVersion") }},
	{"an unknown field", `unknown field "zoom"`, func(m map[string]any) { m["zoom"] = 1 }},
	{"an unknown field below", `unknown field "mean"`, func(m map[string]any) { object(m, "normalisation")["mean"] = 3 }},
	{"a value of another type", "sizeMultiple", func(m map[string]any) { object(m, "input")["sizeMultiple"] = "8" }},
	{"no name", "name must have", func(m map[string]any) { delete(m, "name") }},
	{"a version with a slash", "version", func(m map[string]any) { m["version"] = "1/2" }},
	{"a file in another folder", "plain file name", func(m map[string]any) { m["file"] = "../model.onnx" }},
	{"an absolute file", "plain file name", func(m map[string]any) { m["file"] = "/model.onnx" }},
	{"no file", "plain file name", func(m map[string]any) { m["file"] = ".." }},
	{"a short checksum", "sha256", func(m map[string]any) { m["sha256"] = "ab" }},
	{"a checksum in capitals", "sha256", func(m map[string]any) { m["sha256"] = strings.Repeat("AB", 32) }},
	{"no input name", "input.name", func(m map[string]any) { object(m, "input")["name"] = "" }},
	{"an input type that cannot be fed", "input.type", func(m map[string]any) { object(m, "input")["type"] = "float16" }},
	{"a channels-last input", "input.layout", func(m map[string]any) { object(m, "input")["layout"] = "NHWC" }},
	{"three channels", "input.channels", func(m map[string]any) { object(m, "input")["channels"] = 3 }},
	{"no size multiple", "sizeMultiple", func(m map[string]any) { object(m, "input")["sizeMultiple"] = 0 }},
	{"an absurd size multiple", "sizeMultiple", func(m map[string]any) { object(m, "input")["sizeMultiple"] = 1 << 20 }},
	{"an unknown normalisation", "normalisation.kind", func(m map[string]any) { object(m, "normalisation")["kind"] = "zscore" }},
	{"a window without input", "normalisation.input", func(m map[string]any) { delete(object(m, "normalisation"), "input") }},
	{"a window upside down", "low < high", func(m map[string]any) { object(m, "normalisation")["low"] = 1 }},
	{"a window that ignores everything", "ignoreBelowOrEqual", func(m map[string]any) { object(m, "normalisation")["ignoreBelowOrEqual"] = 255 }},
	{"no normalisation with a window", "takes no other fields", func(m map[string]any) { object(m, "normalisation")["kind"] = "none" }},
	{"one name for two inputs", "are both", func(m map[string]any) { object(m, "normalisation")["input"] = "image" }},
	{"no output name", "output.name", func(m map[string]any) { delete(object(m, "output"), "name") }},
	{"a mask of floats", "output is", func(m map[string]any) { object(m, "output")["type"] = "float32" }},
	{"no classes", "0 classes", func(m map[string]any) { m["classes"] = []any{} }},
	{"a gap in the classes", "values must be", func(m map[string]any) { class(m, 1)["value"] = 2 }},
	{"a value that is no byte", "value", func(m map[string]any) { class(m, 1)["value"] = 300 }},
	{"two classes of one name", "name of its own", func(m map[string]any) { class(m, 1)["name"] = "below" }},
	{"a colour by name", "#rrggbb", func(m map[string]any) { class(m, 1)["colour"] = "red" }},
	{"scores in the first format", "schemaVersion 2", func(m map[string]any) { second(m); m["schemaVersion"] = 1 }},
	{"something that it must understand", `requires "input-pyramid", which this version of the program does not understand`, func(m map[string]any) {
		second(m)
		m["requires"] = []any{"scores", "input-pyramid"}
	}},
	{"scores of floats", "scores are", func(m map[string]any) { second(m); object(m, "scores")["type"] = "float32" }},
	{"scores without a name", "scores.name", func(m map[string]any) { second(m); delete(object(m, "scores"), "name") }},
	{"scores without a switch", "scores.switch", func(m map[string]any) { second(m); object(m, "scores")["switch"] = "" }},
	{"a switch that is the window", "are both", func(m map[string]any) { second(m); object(m, "scores")["switch"] = "window" }},
	{"scores called as the mask is", "different names", func(m map[string]any) { second(m); object(m, "scores")["name"] = "mask" }},
	{"scores beside scores", "beside a mask only", func(m map[string]any) {
		second(m)
		m["output"] = map[string]any{"name": "logits", "type": "float32", "layout": "NCHW"}
	}},
	{"a judgement without a name", "judgement.name", func(m map[string]any) { second(m); m["judgement"] = map[string]any{} }},
	{"a judgement that is never known", "leastKnown", func(m map[string]any) { second(m); object(m, "judgement")["leastKnown"] = 1.5 }},
	{"negative parameters", "parameters", func(m map[string]any) { m["parameters"] = -1 }},
}

func TestParseManifestRefuses(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			_, err := ParseManifest(validManifest(t, test.edit))
			if !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want ErrManifest that says %q", err, test.says)
			}
		})
	}
	for _, document := range []string{"", "null", "[]", "{", `{"schemaVersion":1}{}`} {
		if _, err := ParseManifest([]byte(document)); !errors.Is(err, ErrManifest) {
			t.Errorf("%q: error %v, want ErrManifest", document, err)
		}
	}
	if _, err := ParseManifest(append(validManifest(t, func(map[string]any) {}), " {}"...)); !errors.Is(err, ErrManifest) {
		t.Errorf("a second object: error %v, want ErrManifest", err)
	}
}

func TestTheSchemaAgreesWithTheParser(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(filepath.Join("..", "..", "schemas", "model-manifest.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	validate := func(document []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(value)
	}
	for _, name := range []string{"threshold", "scores", "values", "judged"} {
		document, err := os.ReadFile(filepath.Join(models, name, ManifestName))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(document); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	// What a schema cannot say.
	beyond := map[string]bool{
		"one name for two inputs": true, "a gap in the classes": true, "two classes of one name": true,
		"a switch that is the window": true, "scores called as the mask is": true,
	}
	for _, test := range refusals {
		if err := validate(validManifest(t, test.edit)); (err == nil) != beyond[test.name] {
			t.Errorf("%s: error %v", test.name, err)
		}
	}
}

func FuzzParseManifest(f *testing.F) {
	for _, name := range []string{"threshold", "scores", "values", "judged"} {
		document, err := os.ReadFile(filepath.Join(models, name, ManifestName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(document)
	}
	f.Add([]byte(`{"schemaVersion":3}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := ParseManifest(document)
		if (m == nil) == (err == nil) || err != nil && !errors.Is(err, ErrManifest) {
			t.Fatalf("manifest %v and error %v", m, err)
		}
		if m == nil {
			return
		}
		for i, c := range m.Classes {
			if int(c.Value) != i || c.RGBA().A != 0xff {
				t.Fatalf("class %d is %+v", i, c)
			}
		}
	})
}
