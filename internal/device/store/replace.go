package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// occupied reports whether something has the name, and fails where that must not
// be replaced.
func (o *outputs) occupied(root *os.Root, name string, source func() fs.FileInfo, overwrite bool) (bool, error) {
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
	case overwrite, there.Mode().IsRegular() && marked(root, name):
		return true, nil
	}
	return true, failure{kind: ErrExists, hint: "it was not written by this program, or it was changed since"}
}

// markName is the extended attribute of each output. Its value is the time of
// the file's last change and its length, so that a mask which somebody corrected
// is theirs.
const markName = "user.brainseg.output"

// mark marks an open file as an output. On a file system without extended
// attributes nothing is known as an output later, and so nothing is replaced.
func mark(file *os.File) {
	if info, err := file.Stat(); err == nil {
		_ = unix.Fsetxattr(int(file.Fd()), markName, markOf(info), 0)
	}
}

// checkMarks tries whether outputs can be told from other files.
func (o *outputs) checkMarks() error {
	root, err := os.OpenRoot(string(o.folder))
	if err != nil {
		return err // without an output folder too
	}
	defer root.Close()
	name := temporaryName()
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer root.Remove(name)
	mark(file)
	if err := file.Close(); err != nil {
		return err
	}
	if !marked(root, name) {
		return errors.New("the file system keeps no extended attributes, by which outputs are told from other files; choose a folder on another, or keep all outputs")
	}
	return nil
}

// marked reports whether a file is an output as it was written.
func marked(root *os.Root, name string) bool {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false
	}
	value := make([]byte, 64)
	n, err := unix.Fgetxattr(int(file.Fd()), markName, value)
	return err == nil && string(value[:n]) == string(markOf(info))
}

func markOf(info fs.FileInfo) []byte {
	return fmt.Appendf(nil, "%s %d", info.ModTime().UTC().Format(time.RFC3339Nano), info.Size())
}
