package cli_test

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/brainseg/brainseg/internal/device/cli"
)

// TestMain lets the scripts run this very binary as the program brainseg, in
// processes of their own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"brainseg": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}})
}

// await is the command "await FILE TEXT": it waits until a process in the
// background has written text to file.
func await(s *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		s.Fatalf("usage: await FILE TEXT")
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		content, err := os.ReadFile(s.MkAbs(args[0]))
		if err == nil && strings.Contains(string(content), args[1]) {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("%s does not say %q:\n%s", args[0], args[1], content)
		}
	}
}

// TestScripts runs testdata/script/*.txt. In them $MODEL is the small model
// threshold, $SHIPPED the shipped one, $SAMPLES the sample slices, and $PYTHON
// has AWS' own client, $SCANS odd scans.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	if _, err := os.Stat(library); err != nil {
		t.Fatalf("ONNX Runtime is missing (run artifacts/onnxruntime/fetch.sh, or make test, which does): %v", err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("BRAINSEG_ONNXRUNTIME", library)
			e.Setenv("MODEL", filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold"))
			e.Setenv("SHIPPED", filepath.Join(root, "artifacts", "model"))
			e.Setenv("SAMPLES", filepath.Join(root, "artifacts", "samples"))
			e.Setenv("PYTHON", filepath.Join(root, ".venv", "bin", "python"))
			e.Setenv("EXAMPLES", filepath.Join(root, "docs", "examples"))
			e.Setenv("PICTURES", filepath.Join(root, "internal", "imaging", "testdata"))
			e.Setenv("SCANS", filepath.Join(root, "internal", "volume", "testdata", "scans", "inputs"))
			// The socket of a local nucleus has at most 107 bytes.
			e.Setenv("TMPDIR", os.TempDir())
			return nil
		},
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"await": await},
		RequireExplicitExec: true,
	})
}
