package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
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

// copyFile copies a file. to must not exist.
func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// maxDocumentBytes is the largest document that goes with a model.
const maxDocumentBytes = 1 << 20

// copyDocuments takes along what lies beside a model for people to read.
func copyDocuments(from, to string) error {
	for _, name := range modelpackage.Documents {
		info, err := os.Stat(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		switch {
		case err != nil:
		case !info.Mode().IsRegular() || info.Size() > maxDocumentBytes:
			err = fmt.Errorf("%s is not a file of at most %d bytes", name, maxDocumentBytes)
		default:
			err = copyFile(filepath.Join(from, name), filepath.Join(to, name))
		}
		if err != nil {
			return fmt.Errorf("take the documents along: %w", err)
		}
	}
	return nil
}
