package hosting

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheEnvironmentSaysHowTheContainerIsUsed(t *testing.T) {
	for _, tt := range []struct {
		name        string
		environment map[string]string
		want        Options
		err         string
	}{
		{"outside", nil, Options{}, ""},
		{"an endpoint", map[string]string{EnvAddress: ":8080", EnvConfiguration: "{}"}, Options{Address: ":8080", Configuration: "{}"}, ""},
		{"one of several containers", map[string]string{EnvAddress: ":8080", envPort: "9001"}, Options{Address: ":9001"}, ""},
		{"a port outside", map[string]string{envPort: "9001"}, Options{Address: "127.0.0.1:9001"}, ""},
		{"a transform job", map[string]string{envBatch: "true", envMaxPayload: "6"}, Options{Batch: true, MaxPayload: 6 << 20}, ""},
		{"payloads in chunks", map[string]string{envBatch: "true", envMaxPayload: "0"}, Options{Batch: true}, ""},
		{"an odd switch", map[string]string{envBatch: "maybe"}, Options{}, envBatch},
		{"an odd size", map[string]string{envMaxPayload: "-1"}, Options{}, envMaxPayload},
		{"an odd port", map[string]string{envPort: "http"}, Options{}, envPort},
		{"an odd address", map[string]string{EnvAddress: "8080", envPort: "1"}, Options{}, EnvAddress},
	} {
		got, err := FromEnvironment(func(name string) string { return tt.environment[name] })
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.err)
		}
		if got.Address != tt.want.Address || got.Configuration != tt.want.Configuration || got.Batch != tt.want.Batch || got.MaxPayload != tt.want.MaxPayload {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestTheModelIsFoundInWhatAnArchiveUnpacksTo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files []string
		want  string // the folder, or what the error says
	}{
		{"of the training script", []string{"manifest.json", "model.onnx", "metrics.json"}, "."},
		{"with a folder before it, and what other programs left", []string{"./model/manifest.json", "model/model.onnx", "._model/manifest.json", "__MACOSX/manifest.json"}, "model"},
		{"nothing", nil, "nothing was unpacked"},
		{"what other programs left", []string{".DS_Store"}, "nothing was unpacked"},
		{"two", []string{"a/manifest.json", "b/manifest.json"}, "several folders"},
		{"of MXNet", []string{"model-symbol.json", "model-0000.params", "model-shapes.json"}, "run model-build all"},
		{"without a manifest", []string{"net.onnx"}, "no manifest.json beside net.onnx"},
		{"of something else", []string{"model.pth"}, "neither NAME.onnx"},
		{"too deep", []string{"a/b/c/d/manifest.json", "x"}, "neither NAME.onnx"},
	} {
		dir := t.TempDir()
		for _, name := range tt.files {
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("{}"), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		got, err := FindModel(dir)
		switch {
		case err != nil && (!errors.Is(err, ErrModel) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		case err == nil && got != filepath.Join(dir, tt.want):
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := FindModel(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, ErrModel) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestTheProgramsOwnModelServesOnlyWhereNoneWasGiven(t *testing.T) {
	empty, other := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "model-symbol.json"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if got, err := (Options{Model: empty, Fallback: "own"}).withDefaults().findModel(); err != nil || got != "own" {
		t.Errorf("nothing given: %q, %v", got, err)
	}
	if got, err := (Options{Model: other, Fallback: "own"}).withDefaults().findModel(); err == nil {
		t.Errorf("another model given: %q", got)
	}
}
