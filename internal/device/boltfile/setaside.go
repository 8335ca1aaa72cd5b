package boltfile

import (
	"fmt"
	"os"

	"github.com/brainseg/brainseg/internal/syncedfolder"
)

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
