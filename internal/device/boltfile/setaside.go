package boltfile

import (
	"errors"
	"fmt"
	"os"

	"github.com/brainseg/brainseg/internal/syncedfolder"
	"golang.org/x/sys/unix"
)

// unusable tells whether a new file must take the place of one that met err. What
// another process holds, or may not be read, is not damaged. A disk that does not
// read keeps nobody from starting, but later it may read again.
func unusable(err error, again bool) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, errFault) || !again && errors.Is(err, unix.EIO)
}

// setAside gives the file a name of its own, which is never used again.
func (f *File) setAside(cause error) error {
	for i := 1; ; i++ {
		path := fmt.Sprintf("%s.damaged-%d", f.Path, i)
		if _, err := os.Lstat(path); err == nil {
			continue
		}
		if err := os.Rename(f.Path, path); err != nil {
			return err
		}
		if err := syncedfolder.Sync(f.folder()); err != nil {
			return err
		}
		f.Damaged(path, cause)
		return nil
	}
}
