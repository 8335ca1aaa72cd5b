package mxnet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/build/mxnet"
)

func TestBrokenSymbolsAreRefused(t *testing.T) {
	for _, test := range []struct{ name, content, says string }{
		{"empty", "", "unexpected end"},
		{"not JSON", "model", "invalid character"},
		{"other JSON", `{"a": 1}`, "is it a symbol file"},
		{"no heads", `{"nodes": [{"op": "null", "name": "x", "inputs": []}]}`, "no heads"},
		{"no operator", `{"nodes": [{"name": "x", "inputs": []}], "heads": [[0, 0]]}`, "has no operator"},
		{"an input that follows", `{"nodes": [{"op": "relu", "name": "x", "inputs": [[0, 0, 0]]}], "heads": [[0, 0]]}`, `node "x": input [0 0 0] names no output`},
		{"a negative input", `{"nodes": [{"op": "null", "name": "x", "inputs": []}, {"op": "relu", "name": "y", "inputs": [[-1, 0]]}], "heads": [[0, 0]]}`, `node "y": input`},
		{"a short input", `{"nodes": [{"op": "null", "name": "x", "inputs": []}, {"op": "relu", "name": "y", "inputs": [[0]]}], "heads": [[0, 0]]}`, `node "y": input`},
		{"a head beyond", `{"nodes": [{"op": "null", "name": "x", "inputs": []}], "heads": [[1, 0, 0]]}`, "head [1 0 0]"},
		{"a graph inside", `{"nodes": [{"op": "_foreach", "name": "x", "inputs": [], "subgraphs": [{}]}], "heads": [[0, 0, 0]]}`, "graphs inside"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := mxnet.ParseSymbol([]byte(test.content))
			if !errors.Is(err, mxnet.ErrFormat) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want ErrFormat that says %q", err, test.says)
			}
		})
	}
}

// modelFolder writes the files of a model.
func modelFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	arrays := formats(t)
	for name, content := range files {
		if content == "" {
			content = string(arrays["symbol/attrs"].Bytes)
			if strings.HasSuffix(name, ".params") {
				content = string(arrays["symbol/params"].Bytes)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadFindsTheFilesOfOneModel(t *testing.T) {
	shapes := `[{"name": "data", "shape": [8, 1, 6, 5]}]`
	for _, test := range []struct {
		name  string
		files map[string]string
		path  string // below the folder
		says  string // "" for success
	}{
		{"as SageMaker leaves them", map[string]string{"model-symbol.json": "", "model-0000.params": "", "model-shapes.json": shapes}, "", ""},
		{"by the symbol", map[string]string{"a-symbol.json": "", "a-0012.params": "", "b-symbol.json": "", "b-0001.params": ""}, "a-symbol.json", ""},
		{"no symbol", map[string]string{"model-0000.params": ""}, "", "no *-symbol.json"},
		{"two symbols", map[string]string{"a-symbol.json": "", "b-symbol.json": ""}, "", "several *-symbol.json"},
		{"no parameters", map[string]string{"model-symbol.json": ""}, "", "no model-NNNN.params"},
		{"those of another model", map[string]string{"model-symbol.json": "", "other-0000.params": ""}, "", "no model-NNNN.params"},
		{"several epochs", map[string]string{"model-symbol.json": "", "model-0000.params": "", "model-0010.params": ""}, "", "several model-NNNN.params"},
		{"not a symbol", map[string]string{"model-0000.params": ""}, "model-0000.params", "end in -symbol.json"},
		{"a missing folder", nil, "nowhere", "no such file"},
		{"broken shapes", map[string]string{"model-symbol.json": "", "model-0000.params": "", "model-shapes.json": "{}"}, "", "model-shapes.json"},
		{"negative shapes", map[string]string{"model-symbol.json": "", "model-0000.params": "", "model-shapes.json": `[{"name": "data", "shape": [-1]}]`}, "", "[-1]"},
		{"a broken symbol", map[string]string{"model-symbol.json": "{", "model-0000.params": ""}, "", "model-symbol.json"},
		{"broken parameters", map[string]string{"model-symbol.json": "", "model-0000.params": "{"}, "", "model-0000.params"},
	} {
		t.Run(test.name, func(t *testing.T) {
			model, err := mxnet.Load(filepath.Join(modelFolder(t, test.files), test.path))
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				if len(model.Params) != 9 || len(model.Symbol.Nodes) == 0 {
					t.Errorf("%d parameters", len(model.Params))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want one that says %q", err, test.says)
			}
		})
	}
}
