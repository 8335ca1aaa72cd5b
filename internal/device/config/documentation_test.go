package config

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// keysIn finds the keys in a file of the repository, sorted.
func keysIn(t *testing.T, path, pattern string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return found
}

func documentedKeys(t *testing.T) []string {
	t.Helper()
	return keysIn(t, "../../../docs/configuration.md", "(?m)^\\| `([a-zA-Z0-9.]+\\.[a-zA-Z0-9.]+)` \\|")
}

func TestEveryKeyIsDocumentedOnceAndNoOther(t *testing.T) {
	read := slices.Compact(keysIn(t, "config.go", `r\.[a-z]+\("([a-zA-Z0-9.]+\.[a-zA-Z0-9.]+)", `))
	if len(read) < 15 {
		t.Fatalf("only %q are read", read)
	}
	if diff := cmp.Diff(read, documentedKeys(t)); diff != "" {
		t.Errorf("keys (-read +documented):\n%s", diff)
	}
}
