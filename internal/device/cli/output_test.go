package cli_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/cli"
	"github.com/brainseg/brainseg/internal/device/cli/command"
)

func TestOutputToAFullDeviceIsAnErrorInEveryCommand(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	root := filepath.Join("..", "..", "..")
	model := []string{
		"--model", filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold"),
		"--library", filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
	}
	slice := filepath.Join(root, "artifacts", "samples", "whole-head", "axial-085.png")
	for _, args := range [][]string{
		{}, {"--version"}, {"component", "--help"}, {"request", "--help"}, {"completion", "bash"},
		append([]string{"segment", "--out", t.TempDir(), slice}, model...),
		append([]string{"local", "--http", "", "--out", t.TempDir()}, append(model, "--", "true")...),
	} {
		stderr := new(strings.Builder)
		if code := cli.Run(t.Context(), args, full, stderr); code != command.ExitFailed || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%q: exit code %d, %q", args, code, stderr)
		}
	}
}

func TestNamesWithControlCharactersAreEscaped(t *testing.T) {
	name := "\x1b]0;owned\x07\x1b[2J.png"
	stderr := new(strings.Builder)
	model := filepath.Join("..", "..", "..", "internal", "segmentation", "testdata", "models", "threshold")
	library := filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	for _, args := range [][]string{
		{"segment", "--model", model, "--library", library, "--out", t.TempDir(), name},
		{"segment", "--out", t.TempDir(), name, "other/" + name},
		{"volume", "--model", model, "--library", library, "--out", t.TempDir(), name},
	} {
		cli.Run(t.Context(), args, stderr, stderr)
	}
	if strings.Contains(stderr.String(), "\x1b") || strings.Count(stderr.String(), `\x1b]0;owned\x07\x1b[2J.png`) < 3 {
		t.Errorf("printed %q", stderr)
	}
}
