package container

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// provided are the libraries of each base image that is known, by what their
// names begin with: glibc, and for cc those of gcc.
var provided = map[string]*regexp.Regexp{
	"gcr.io/distroless/cc-debian12:nonroot": regexp.MustCompile(`^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s|gomp))\.so\.`),
}

var needed = regexp.MustCompile(`(?m)^\s*(?:\S+ => )?(/\S+) \(0x`)

// Root returns the root folder of the image: what the base image gives as far as
// programs that is copied needs it, and what is copied. Nothing in it can be
// written but /tmp.
func (i *Image) Root(t testing.TB, context string) string {
	t.Helper()
	root := t.TempDir()
	t.Cleanup(func() { writable(root) }) // so that it can be removed
	if err := i.CopyTo(root, context); err != nil {
		t.Fatal(err)
	}
	if err := i.addBase(root); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"proc", "opt/ml", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// addBase adds the libraries that the programs and libraries in root need, where
// the base image has them.
func (i *Image) addBase(root string) error {
	allowed := provided[i.Base]
	if allowed == nil {
		return fmt.Errorf("what the base image %s gives is not known", i.Base)
	}
	libraries := make(map[string]bool)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		output, err := exec.Command("ldd", path).Output()
		if err != nil {
			return nil // neither a program nor a library
		}
		for _, match := range needed.FindAllStringSubmatch(string(output), -1) {
			libraries[match[1]] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	for library := range libraries {
		if !allowed.MatchString(filepath.Base(library)) {
			return fmt.Errorf("the base image %s has no %s", i.Base, filepath.Base(library))
		}
		if err := copyFile(library, filepath.Join(root, library)); err != nil {
			return err
		}
	}
	return nil
}

// protect takes the right to write from all but /tmp.
func protect(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == filepath.Join(root, "tmp") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()&^0o222)
	})
}

func writable(root string) {
	filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			os.Chmod(path, 0o755)
		}
		return nil
	})
}
