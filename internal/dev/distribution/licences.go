package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// module is a Go module whose code is in the program.
type module struct {
	Path    string
	Version string
	Dir     string
	Main    bool
}

// licenceFile matches the names under which licences and notices are kept.
var licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|notice|patents)([.-].*)?$`)

// collectLicences joins the licences of everything in an archive: the project's
// own where the repository has one, Go's, those of every module that is compiled
// into the program, and the files given. A module without a licence is an error.
func collectLicences(root, architecture string, files []string) ([]byte, error) {
	modules, err := linkedModules(root, architecture)
	if err != nil {
		return nil, err
	}
	goroot, err := goCommand(root, architecture, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	version, err := goCommand(root, architecture, "env", "GOVERSION")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("The licences and notices of what is in this archive.\n")
	for _, m := range modules {
		title := m.Path + " " + m.Version
		if m.Main {
			title = m.Path
		}
		found, err := addLicences(&b, title, m.Dir)
		if err != nil {
			return nil, err
		}
		if !found && !m.Main {
			return nil, fmt.Errorf("module %s has no file with its licence in %s: it cannot be distributed", title, m.Dir)
		}
	}
	title := "Go runtime and standard library, " + strings.TrimSpace(string(version))
	switch found, err := addLicences(&b, title, strings.TrimSpace(string(goroot))); {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("find the licence of Go: none is in %s; use a Go from go.dev", bytes.TrimSpace(goroot))
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a licence of ONNX Runtime: %w", err)
		}
		addText(&b, "ONNX Runtime: "+filepath.Base(path), text)
	}
	return b.Bytes(), nil
}

// addLicences adds the licences in a folder and reports whether there are any.
func addLicences(b *bytes.Buffer, title, dir string) (found bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("find the licence of %s: %w", title, err)
	}
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return false, fmt.Errorf("read the licence of %s: %w", title, err)
		}
		addText(b, title+": "+entry.Name(), text)
		found = true
	}
	return found, nil
}

func addText(b *bytes.Buffer, title string, text []byte) {
	line := strings.Repeat("=", 80)
	fmt.Fprintf(b, "\n%s\n%s\n%s\n\n%s\n", line, title, line, bytes.TrimSpace(text))
}

// linkedModules lists the modules of all packages that the program is built
// from, this one first, the others by path.
func linkedModules(root, architecture string) ([]module, error) {
	output, err := goCommand(root, architecture, "list", "-deps", "-json=Module", "./component")
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	var modules []module
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var p struct{ Module *module }
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the list of packages: %w", err)
		}
		if p.Module != nil && !seen[p.Module.Path] {
			seen[p.Module.Path] = true
			modules = append(modules, *p.Module)
		}
	}
	slices.SortFunc(modules, func(a, b module) int {
		if a.Main != b.Main {
			if a.Main {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Path, b.Path)
	})
	return modules, nil
}

func goCommand(root, architecture string, args ...string) ([]byte, error) {
	c := exec.Command("go", args...)
	c.Dir = root
	c.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+architecture, "CGO_ENABLED=1")
	var failure bytes.Buffer
	c.Stderr = &failure
	output, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(failure.Bytes()))
	}
	return output, nil
}
