package httpapi

import (
	"flag"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
)

// The long form is `make schemathesis`.
var (
	examples = flag.Int("examples", 2, "requests that schemathesis makes of each operation")
	phases   = flag.String("phases", "fuzzing", "what schemathesis does")
	seed     = flag.String("seed", "1", "what schemathesis begins with; empty: something else each time")
)

func TestSchemathesisFindsNoAnswerThatTheDocumentDoesNotAllow(t *testing.T) {
	program, err := filepath.Abs(filepath.Join("..", "..", "..", ".venv", "bin", "schemathesis"))
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		t.Fatalf("schemathesis is missing (%v); run `make test-servers`", err)
	}
	settings, err := filepath.Abs(filepath.Join("testdata", "schemathesis.toml"))
	if err != nil {
		t.Fatal(err)
	}
	document, err := filepath.Abs(filepath.Join("..", "..", "..", "schemas", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	images, _, folders := withFolders(t)
	s := start(t, folders, kept(t), func(c *config.Config) { c.HTTP.Requests = 0 })
	if err := os.WriteFile(filepath.Join(images, "slice.png"), encode(t, image.NewGray(image.Rect(0, 0, 9, 9))), 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := []string{"--no-color", "--config-file", settings, "run", document, "--url", s.url, "--phases", *phases, "--max-examples", strconv.Itoa(*examples), "--continue-on-failure"}
	if *seed != "" {
		arguments = append(arguments, "--seed", *seed)
	}
	judge := exec.CommandContext(t.Context(), program, arguments...)
	judge.Dir = t.TempDir() // where it leaves what it found
	if output, err := judge.CombinedOutput(); err != nil {
		t.Errorf("schemathesis: %v\n%s", err, output)
	} else if testing.Verbose() {
		t.Logf("%s", output)
	}
}
