package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/internal/device/store/outputs"
)

// outputFolder is the folder for results.
type outputFolder struct {
	folder folder // "" where nothing may be written
	// sync makes the names in an open folder durable; a test looks on.
	sync func(*os.File) error
}

// open makes the folder where it is missing.
func (o *outputFolder) open(path string) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := o.makeRoot(path); err != nil {
		return err
	}
	o.folder, err = openFolder(path)
	return err
}

// write puts a file at path below the folder and returns its absolute path. The
// steps of an atomic write are made through os.Root, which a library that takes
// paths would step around. source looks at the image that data was made from;
// it gives nil where that is no file, and is asked only where something may be
// replaced.
func (o *outputFolder) write(ctx context.Context, path string, data []byte, source func() fs.FileInfo, overwrite bool) (string, error) {
	if err := checkPath(path); err != nil {
		return "", err
	}
	if o.folder == "" {
		return "", fault.Fault{Kind: fault.ErrOutsideRoots, Hint: "no output folder is configured"}
	}
	name, ok := o.folder.within(path)
	if !ok {
		return "", fault.Fault{Kind: fault.ErrOutsideRoots}
	}
	if name == "." || strings.HasSuffix(path, string(filepath.Separator)) {
		return "", fault.Fault{Kind: fault.ErrReference, Hint: "it names a folder"}
	}
	root, err := os.OpenRoot(string(o.folder))
	if errors.Is(err, fs.ErrNotExist) { // removed since the start
		if err = o.makeRoot(string(o.folder)); err == nil {
			root, err = os.OpenRoot(string(o.folder))
		}
	}
	if err != nil {
		return "", fileFailure(err)
	}
	defer root.Close()
	if below := filepath.Dir(name); below != "." {
		// All steps happen in this very folder, whatever becomes of its name
		// meanwhile.
		inner, err := follow(o.folder, root, below, func(below string) (*os.Root, error) { return o.openFolder(root, below) })
		if errors.Is(err, syscall.ENOTDIR) {
			err = fault.Fault{Kind: fault.ErrNotRegular, Cause: err}
		}
		if err != nil {
			return "", fileFailure(err)
		}
		defer inner.Close()
		root = inner
	}
	if err := o.put(ctx, root, filepath.Base(name), data, source, overwrite); err != nil {
		return "", fileFailure(err)
	}
	return filepath.Join(string(o.folder), name), nil
}

// makeRoot makes a folder with all above it, durably.
func (o *outputFolder) makeRoot(path string) error {
	err := os.Mkdir(path, folderMode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := o.makeRoot(filepath.Dir(path)); err != nil {
			return err
		}
		err = os.Mkdir(path, folderMode)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	above, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil // a folder that may not be read cannot be flushed either
	}
	defer above.Close()
	return o.sync(above)
}

// openFolder opens a folder below root, made durably where it is missing.
func (o *outputFolder) openFolder(root *os.Root, name string) (*os.Root, error) {
	opened, err := root.OpenRoot(name)
	if err == nil {
		return opened, nil
	}
	if info, statErr := root.Stat(name); statErr == nil && !info.IsDir() {
		return nil, fault.Fault{Kind: fault.ErrNotRegular, Cause: err}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for at := 0; at >= 0; {
		prefix := name
		if next := strings.IndexByte(name[at:], '/'); next >= 0 {
			prefix, at = name[:at+next], at+next+1
		} else {
			at = -1
		}
		switch err := root.Mkdir(prefix, folderMode); {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil:
			return nil, err
		}
		if err := o.syncFolder(root, filepath.Dir(prefix)); err != nil {
			return nil, err
		}
	}
	return root.OpenRoot(name)
}

func (o *outputFolder) syncFolder(root *os.Root, name string) error {
	folder, err := root.Open(name)
	if err != nil {
		return err
	}
	defer folder.Close()
	return o.sync(folder)
}

// syncFolder flushes an open folder. Some file systems know no such thing.
func syncFolder(folder *os.File) error {
	err := folder.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

// put writes a temporary file, flushes it to the disk, gives it its name and
// flushes the folder: a name that is lost with the power would be of a mask that
// an answer has told of.
func (o *outputFolder) put(ctx context.Context, root *os.Root, name string, data []byte, source func() fs.FileInfo, overwrite bool) error {
	folder, err := root.Open(".")
	if err != nil {
		return err
	}
	defer folder.Close()
	if _, err := o.occupied(root, name, source, overwrite); err != nil {
		return err // before anything is written
	}
	temporary := outputs.TemporaryName()
	file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	defer file.Close() // and with it the lock that says that somebody needs the file
	_ = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err = fillFile(file, data); err == nil && ctx.Err() != nil {
		err = fault.OfContext(ctx.Err()) // nothing is left of a write that was given up
	}
	if err == nil {
		err = o.place(root, folder, temporary, name, source, overwrite)
	}
	if err != nil {
		_ = root.Remove(temporary)
		return err
	}
	return o.sync(folder)
}

func fillFile(file *os.File, data []byte) error {
	if _, err := file.Write(data); err != nil {
		return err
	}
	outputs.Mark(file)
	return file.Sync()
}

// place gives the file temporary its name. What appears under that name between
// the look at it and the rename is looked at again; only where an output or,
// with overwrite, anything is to be replaced does the rename go unguarded.
func (o *outputFolder) place(root *os.Root, folder *os.File, temporary, name string, source func() fs.FileInfo, overwrite bool) error {
	for attempt := 0; ; attempt++ {
		occupied, err := o.occupied(root, name, source, overwrite)
		if err != nil {
			return err
		}
		if occupied {
			return root.Rename(temporary, name)
		}
		err = renameNew(root, folder, temporary, name)
		if !errors.Is(err, fs.ErrExist) || attempt == 10 {
			return err
		}
	}
}

// renameNew renames a file of the folder where nothing has the name yet, and
// fails with fs.ErrExist otherwise.
func renameNew(root *os.Root, folder *os.File, from, to string) error {
	fd := int(folder.Fd())
	err := unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Network file systems know no such rename, and links at most.
		if err = root.Link(from, to); err == nil {
			return root.Remove(from)
		}
		if !errors.Is(err, fs.ErrExist) {
			return root.Rename(from, to)
		}
	}
	return err
}

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
			return true, fault.Fault{Kind: fault.ErrIsSource}
		}
		// By a link too, as far as that stays below the folder: one that leads
		// out is replaced itself, and its target is not touched.
		if there.Mode()&fs.ModeSymlink != 0 {
			if target, err := root.Stat(name); err == nil && os.SameFile(target, image) {
				return true, fault.Fault{Kind: fault.ErrIsSource}
			}
		}
	}
	switch {
	case there.IsDir():
		return true, fault.Fault{Kind: fault.ErrNotRegular}
	case overwrite, there.Mode().IsRegular() && outputs.Marked(root, name):
		return true, nil
	}
	return true, fault.Fault{Kind: fault.ErrExists, Hint: "it was not written by this program, or it was changed since"}
}
