// Package workfolder makes folders whole or not at all, and takes the steps of a
// pipeline in one work folder: a step is taken again only where something that it
// depends on, or what it left, has changed.
//
// It knows nothing of models. Package cli calls it.
package workfolder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TemporaryPrefix begins the names of folders that are being filled.
const TemporaryPrefix = ".model-build-"

// ErrNotEmpty: there is something in the folder that is to be made.
var ErrNotEmpty = errors.New("the folder is not empty")

// Fill makes the folder out by calling make with an empty one beside it, which
// takes out's name when everything has worked: out appears whole or not at all.
// It must not exist, or be empty; else the error wraps ErrNotEmpty.
func Fill(out string, make func(dir string) error) error {
	entries, err := os.ReadDir(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("look at the output folder: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("%w: %s", ErrNotEmpty, out)
	}
	parent := filepath.Dir(filepath.Clean(out))
	if err := os.MkdirAll(parent, 0o750); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	work, err := os.MkdirTemp(parent, TemporaryPrefix)
	if err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o750); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	if err := make(work); err != nil {
		return Unnamed(err, work, out)
	}
	if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make the output folder: %w", err)
	}
	if err := os.Rename(work, out); err != nil {
		return fmt.Errorf("make the output folder: %w", err)
	}
	return nil
}

// Unnamed makes an error speak of what people know: of known instead of the
// temporary folder work, which is gone when they read of it, and of what lay in it
// without naming it.
func Unnamed(err error, work, known string) error {
	if err == nil || !strings.Contains(err.Error(), filepath.Base(work)) {
		return err
	}
	text := err.Error()
	for _, name := range []string{work, filepath.Clean(work)} { // MkdirTemp gives ./NAME, Join does not
		text = strings.ReplaceAll(strings.ReplaceAll(text, name+string(filepath.Separator), ""), name, known)
	}
	return renamed{err, text}
}

// renamed is an error with another text.
type renamed struct {
	error
	text string
}

func (r renamed) Error() string { return r.text }
func (r renamed) Unwrap() error { return r.error }
