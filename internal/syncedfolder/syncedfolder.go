// Package syncedfolder makes folders, and the names in them, outlive a power cut: a
// name is on the disk only once the folder that holds it is synced.
//
// It syncs no files: who writes one does that first. Packages that say that
// something is stored call it.
package syncedfolder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Make makes a folder with those above it that are missing, all with the same
// permissions, and syncs the names that it makes.
func Make(path string, permissions fs.FileMode) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(path)
	if above == path { // the root, which cannot be looked at
		return &fs.PathError{Op: "mkdir", Path: path, Err: fs.ErrNotExist}
	}
	if err := Make(above, permissions); err != nil {
		return err
	}
	if err := os.Mkdir(path, permissions); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return Sync(above)
}

// Sync syncs the names in a folder.
func Sync(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
