package config

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryKeyIsDocumentedOnceAndNoOther(t *testing.T) {
	keys := func(path, pattern string) (found []string) {
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
	read := keys("config.go", `r\.[a-z]+\("([a-zA-Z0-9.]+\.[a-zA-Z0-9.]+)", `)
	read = slices.Compact(read)
	documented := keys("../../../docs/configuration.md", "(?m)^\\| `([a-zA-Z0-9.]+\\.[a-zA-Z0-9.]+)` \\|")
	if len(read) < 15 {
		t.Fatalf("only %q are read", read)
	}
	if diff := cmp.Diff(read, documented); diff != "" {
		t.Errorf("keys (-read +documented):\n%s", diff)
	}
}
