package cli_test

import (
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/brainseg/brainseg/internal/device/cli"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/progress/progresstest"
)

func TestSegmentOnATerminalLeavesNothingButItsLines(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	model := filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold")
	samples, err := filepath.Glob(filepath.Join(root, "artifacts", "samples", "whole-head", "axial-*.png"))
	if err != nil || len(samples) < 2 {
		t.Fatalf("samples %v, %v", samples, err)
	}
	samples = append(samples, filepath.Join(t.TempDir(), "missing.png"))
	terminal := progresstest.New(t)
	library := filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	args := append([]string{"segment", "--model", model, "--library", library, "--out", t.TempDir()}, samples...)
	if code := cli.Run(t.Context(), args, terminal.File, terminal.File); code != command.ExitFailed {
		t.Errorf("exit code %d", code)
	}
	seen := terminal.End()
	if len(seen) != len(samples)+1 {
		t.Fatalf("the terminal shows %d lines of %d images:\n%q", len(seen), len(samples), seen)
	}
	for i, line := range seen {
		want := `^\S+\.png  \d+x\d+  .* ms$`
		switch i {
		case len(samples) - 1:
			want = `^brainseg: .*missing\.png: .`
		case len(samples):
			want = `^brainseg: 1 of \d+ images failed$`
		}
		if !regexp.MustCompile(want).MatchString(line) {
			t.Errorf("line %d is %q, not like %s", i, line, want)
		}
	}
}
