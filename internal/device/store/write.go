package store

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// writeFile replaces the file at path below folder and returns its absolute
// path. The three steps of an atomic write are made through os.Root, which a
// library that takes paths would step around.
func writeFile(folder folder, path string, data []byte) (string, error) {
	if err := checkPath(path); err != nil {
		return "", err
	}
	if folder == "" {
		return "", failure{kind: ErrOutsideRoots, hint: "no output folder is configured"}
	}
	name, ok := folder.within(path)
	if !ok {
		return "", failure{kind: ErrOutsideRoots}
	}
	if name == "." || strings.HasSuffix(path, string(filepath.Separator)) {
		return "", failure{kind: ErrReference, hint: "it names a folder"}
	}
	root, err := os.OpenRoot(string(folder))
	if errors.Is(err, fs.ErrNotExist) { // removed since the start
		if err = os.MkdirAll(string(folder), folderMode); err == nil {
			root, err = os.OpenRoot(string(folder))
		}
	}
	if err != nil {
		return "", fileFailure(err)
	}
	defer root.Close()
	if below := filepath.Dir(name); below != "." {
		// All steps happen in this very folder, whatever becomes of its name
		// meanwhile.
		inner, err := follow(folder, root, below, func(below string) (*os.Root, error) {
			if err := root.MkdirAll(below, folderMode); err != nil {
				return nil, err
			}
			return root.OpenRoot(below)
		})
		if err != nil {
			return "", fileFailure(err)
		}
		defer inner.Close()
		root = inner
	}
	if err := replace(root, filepath.Base(name), data); err != nil {
		return "", fileFailure(err)
	}
	return filepath.Join(string(folder), name), nil
}

// replace writes a temporary file, flushes it to the disk and gives it its name.
// The folder itself is not flushed: that doubles the cost of a write (from 0.17
// to 0.35 ms on a virtual disk, tens of milliseconds on a memory card), and a
// name lost with the power leaves the old file or none, never half of one.
func replace(root *os.Root, name string, data []byte) (err error) {
	temporary := "." + rand.Text() + ".tmp"
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temporary)
		}
	}()
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return root.Rename(temporary, name)
}
