package store

import (
	"errors"
	"io/fs"
	"os"

	"github.com/brainseg/brainseg/internal/device/store/outputs"
)

// occupied reports whether something has the name, and fails where that must not
// be replaced.
func (o *outputFolder) occupied(root *os.Root, name string, source func() fs.FileInfo, overwrite bool) (bool, error) {
	there, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if image := source(); image != nil {
		if os.SameFile(there, image) {
			return true, failure{kind: ErrIsSource}
		}
		// By a link too, as far as that stays below the folder: one that leads
		// out is replaced itself, and its target is not touched.
		if there.Mode()&fs.ModeSymlink != 0 {
			if target, err := root.Stat(name); err == nil && os.SameFile(target, image) {
				return true, failure{kind: ErrIsSource}
			}
		}
	}
	switch {
	case there.IsDir():
		return true, failure{kind: ErrNotRegular}
	case overwrite, there.Mode().IsRegular() && outputs.Marked(root, name):
		return true, nil
	}
	return true, failure{kind: ErrExists, hint: "it was not written by this program, or it was changed since"}
}
