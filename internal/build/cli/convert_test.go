package cli

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/brainseg/brainseg/internal/build/workfolder"
	"github.com/brainseg/brainseg/internal/model"
)

func TestConvertIgnoresAndNamesWhatOtherProgramsLeft(t *testing.T) {
	files := modelFiles(t, "threshold")
	network := slices.Collect(maps.Keys(files))
	for _, name := range []string{"._model.onnx", ".ipynb_checkpoints/model-checkpoint.onnx", "PaxHeader/model.onnx", "__MACOSX/._model.onnx"} {
		files[name] = []byte("no network")
	}
	if len(files) != len(network)+4 {
		t.Fatal("a name comes twice")
	}
	dir := t.TempDir()
	artifact := filepath.Join(dir, "model.tar.gz")
	writeFile(t, artifact, append(tarGz(t, files), make([]byte, 4096)...))
	folder := filepath.Join(dir, "folder")
	for name, content := range files {
		writeFile(t, filepath.Join(folder, name), content)
	}
	for _, path := range []string{artifact, folder} {
		o := mustRun(t, "convert", "--file", path, "--out", filepath.Join(t.TempDir(), "out"))
		if !strings.Contains(o.stderr, "ignored, left by other programs: ") || !strings.Contains(o.stderr, "._model.onnx") || !strings.Contains(o.stderr, ".ipynb_checkpoints") {
			t.Errorf("%s: it was said:\n%s", path, o.stderr)
		}
	}
}

// enet returns the files of a network that MXNet trained.
func enet(t *testing.T, names ...string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, name := range names {
		files[name] = readFile(t, "..", "mxnet", "testdata", "reference", "networks", "enet-trained", name)
	}
	return files
}

func TestTheShapeOfAnInputCanBeGiven(t *testing.T) {
	artifact := filepath.Join(t.TempDir(), "model.tar.gz")
	writeFile(t, artifact, tarGz(t, enet(t, "model-symbol.json", "model-0000.params")))
	convert := func(more ...string) outcome {
		return run(t, append([]string{"convert", "--file", artifact, "--out", filepath.Join(t.TempDir(), "out")}, more...)...)
	}
	o := convert()
	if o.code != ExitFailed || !strings.Contains(o.stderr, "--input-shape data=1,1,HEIGHT,WIDTH") || strings.Contains(o.stderr, "shapes.json; are") {
		t.Errorf("without a shape: %d, %s", o.code, o.stderr)
	}
	if o := convert("--input-shape", "data=1,1,176,208"); o.code != ExitOK {
		t.Errorf("with one: %d, %s", o.code, o.stderr)
	}
	if o := convert("--input-shape", "image=1,1,176,208"); o.code != ExitFailed || !strings.Contains(o.stderr, "no input of that name") {
		t.Errorf("of no input: %d, %s", o.code, o.stderr)
	}
	for _, wrong := range []string{"data", "data=", "data=1,1,x", "data=1,0", "=1,1,8,8"} {
		if o := convert("--input-shape", wrong); o.code != ExitUsage || !strings.Contains(o.stderr, "--input-shape") {
			t.Errorf("%s: %d, %s", wrong, o.code, o.stderr)
		}
	}
}

func TestAConvertedModelHasTheColoursOfATrainedOne(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "mxnet")
	for name, content := range enet(t, "model-symbol.json", "model-0000.params", "model-shapes.json") {
		writeFile(t, filepath.Join(folder, name), content)
	}
	out := filepath.Join(t.TempDir(), "out")
	mustRun(t, "convert", "--file", folder, "--out", out)
	converted, _, err := model.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	trained, _, err := model.Read(filepath.Join("..", "..", "..", "artifacts", "model"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trained.Classes, converted.Classes); diff != "" {
		t.Errorf("classes (-shipped +converted):\n%s", diff)
	}
	// The training script's own list, which the shipped model may be older than.
	script := string(readFile(t, "..", "..", "..", "model-build", "training", "brainseg_training", "manifest.py"))
	for _, class := range converted.Classes {
		if line := regexp.MustCompile(`"value": ` + regexp.QuoteMeta(string(rune('0'+class.Value))) + `,.*`).FindString(script); !strings.Contains(line, class.Colour) {
			t.Errorf("%s is %s, and in the training script %s", class.Name, class.Colour, line)
		}
	}
}

func TestMessagesOfConvertNameCausesAndNothingThatIsGone(t *testing.T) {
	symbol := strings.Replace(string(enet(t, "model-symbol.json")["model-symbol.json"]), `"Convolution"`, `"Warp"`, 1)
	unknown := enet(t, "model-0000.params", "model-shapes.json")
	unknown["model-symbol.json"] = []byte(symbol)
	several := map[string][]byte{"a/one.onnx": nil, "b/two.onnx": nil}
	cut := map[string][]byte{"model.onnx": []byte("\x08\x07\x12")}
	for _, tt := range []struct {
		name  string
		files map[string][]byte
		want  string // the whole message; DIR is where the artifact is
	}{
		{"several models", several, "there are several models in DIR/model.tar.gz (a/one.onnx, b/two.onnx); leave the one to convert"},
		{"no model", map[string][]byte{"readme": nil}, "there is no model in DIR/model.tar.gz, neither NAME.onnx nor NAME-symbol.json; a training script must leave one in SM_MODEL_DIR"},
		{"a network that is cut short", cut, "read model.onnx: this is not a readable ONNX model: "},
		{"no parameters", enet(t, "model-symbol.json"), "there is no model-NNNN.params in DIR/model.tar.gz"},
		{"an operator that is not known", unknown, `the MXNet model cannot be converted: there is no conversion of this operator (operator Warp, node "initial_conv"); see model-build convert --help`},
	} {
		dir := t.TempDir()
		artifact := filepath.Join(dir, "model.tar.gz")
		writeFile(t, artifact, tarGz(t, tt.files))
		o := run(t, "convert", "--file", artifact, "--out", filepath.Join(dir, "out"))
		if want := strings.ReplaceAll(tt.want, "DIR/", dir+"/"); o.code != ExitFailed || !strings.Contains(o.stderr, want) || strings.Contains(o.stderr, workfolder.TemporaryPrefix) {
			t.Errorf("%s: %d, %q, want %q", tt.name, o.code, o.stderr, want)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("%s: left %v, %v", tt.name, left, err)
		}
	}
}

func TestTheHelpOfConvertSaysWhatToDo(t *testing.T) {
	o := mustRun(t, "convert", "--help")
	for _, part := range []string{"one size only", "operator is not known", "--input-shape", "--manifest"} {
		if !strings.Contains(o.stdout, part) {
			t.Errorf("it says nothing of %s", part)
		}
	}
}
