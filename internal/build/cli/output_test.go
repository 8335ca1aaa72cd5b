package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOutputToAFullDeviceIsAnErrorInEveryCommand(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	library := filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	model := filepath.Join("..", "..", "segmentation", "testdata", "models", "threshold")
	for _, args := range [][]string{
		{}, {"--version"}, {"pull", "--help"}, {"convert", "--help"}, {"optimise", "--help"}, {"verify", "--help"},
		{"package", "--help"}, {"publish", "--help"}, {"all", "--help"}, {"measure", "--model", model, "--library", library},
	} {
		stderr := new(strings.Builder)
		if code := Run(t.Context(), args, full, stderr); code != ExitFailed || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestNamesWithControlCharactersAreEscaped(t *testing.T) {
	stderr := new(strings.Builder)
	Run(t.Context(), []string{"convert", "--file", "\x1b[2J.onnx", "--out", filepath.Join(t.TempDir(), "o")}, stderr, stderr)
	if strings.Contains(stderr.String(), "\x1b") || !strings.Contains(stderr.String(), `\x1b[2J.onnx`) {
		t.Errorf("printed %q", stderr)
	}
}
