// Package outputs knows which files of the output folder the store wrote: it marks
// them, tells them from other files, and removes what is too old or was left half
// written. It writes no output itself. Package store calls it.
package outputs

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TemporaryName returns a name for a file that is being written. Whoever writes it
// holds a lock on it (flock), which tells it from one that a killed process left.
func TemporaryName() string { return "." + rand.Text() + ".tmp" }

// markName is the extended attribute of each output. Its value is the time of
// the file's last change and its length, so that a mask which somebody corrected
// is theirs.
const markName = "user.brainseg.output"

// Mark marks an open file as an output. On a file system without extended
// attributes nothing is known as an output later, and so nothing is replaced.
func Mark(file *os.File) {
	if info, err := file.Stat(); err == nil {
		_ = unix.Fsetxattr(int(file.Fd()), markName, markOf(info), 0)
	}
}

// Marked reports whether a file is an output as it was written.
func Marked(root *os.Root, name string) bool {
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

// CheckMarks tries whether outputs in a folder can be told from other files.
func CheckMarks(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	name := TemporaryName()
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer root.Remove(name)
	Mark(file)
	if err := file.Close(); err != nil {
		return err
	}
	if !Marked(root, name) {
		return errors.New("the file system keeps no extended attributes, by which outputs are told from other files; choose a folder on another, or keep all outputs")
	}
	return nil
}
