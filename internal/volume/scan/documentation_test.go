package scan_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEachWarningAndEachCodeIsDocumented looks for the names in the sources.
func TestEachWarningAndEachCodeIsDocumented(t *testing.T) {
	whole, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "scans.md"))
	if err != nil {
		t.Fatal(err)
	}
	// What comes before is of the segmentation.
	_, page, ok := strings.Cut(string(whole), "\n# What is read, and what is not\n")
	if !ok {
		t.Fatal("docs/scans.md has no part on what is read")
	}
	var sources []string
	for _, pattern := range []string{"*.go", "*/*.go", "*/*/*.go"} {
		found, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, found...)
	}
	name := regexp.MustCompile(`(?:Warn|Note|warn)\("([a-z0-9-]+)"|Code\w+ +Code += "([a-z-]+)"`)
	found := map[string]bool{"first-volume-of-N": true}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		code, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range name.FindAllStringSubmatch(string(code), -1) {
			found[match[1]+match[2]] = true
		}
	}
	if len(found) < 45 {
		t.Errorf("only %d names were found", len(found))
	}
	for name := range found {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/scans.md does not tell %s", name)
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z0-9`, -]+) \\|").FindAllStringSubmatch(page, -1) {
		for _, name := range strings.FieldsFunc(row[1], func(r rune) bool { return strings.ContainsRune("`, ", r) }) {
			if !found[name] {
				t.Errorf("docs/scans.md tells %s, which is in no source", name)
			}
		}
	}
}
