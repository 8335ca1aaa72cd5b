package modelbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// temporaryPrefix begins the names of folders that are being filled.
const temporaryPrefix = ".model-build-"

// fill makes the folder out by calling make with an empty one beside it, which
// takes out's name when everything has worked: out appears whole or not at all.
// It must not exist, or be empty.
func fill(out string, make func(dir string) error) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at the output folder: %w", err)
	case len(entries) > 0:
		return usagef("the folder %s is not empty; remove it, or name another by --out", out)
	}
	parent := filepath.Dir(filepath.Clean(out))
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	work, err := os.MkdirTemp(parent, temporaryPrefix)
	if err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o750); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	if err := make(work); err != nil {
		return err
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the output folder: %w", err)
	}
	if err := os.Rename(work, out); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	return nil
}

// copyFile copies a file that is small enough to be read at once, as all of a
// model's are.
func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o640)
}
