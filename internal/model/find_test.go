package model

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
		got, err := Find(dir)
		switch {
		case err != nil && (!errors.Is(err, ErrNoModel) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		case err == nil && got != filepath.Join(dir, tt.want):
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := Find(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, ErrNoModel) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
