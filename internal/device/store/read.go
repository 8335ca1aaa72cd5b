package store

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/brainseg/brainseg/internal/device/store/fault"
)

// checkPath refuses what no file name can be. The cause of such an error would
// otherwise be an obscure one of the system.
func checkPath(path string) error {
	switch {
	case path == "":
		return fault.Fault{Kind: fault.ErrReference, Hint: "it is empty"}
	case strings.ContainsRune(path, 0):
		return fault.Fault{Kind: fault.ErrReference, Hint: "it holds a zero byte"}
	case strings.Contains(path, "://"):
		return fault.Fault{Kind: fault.ErrReference, Hint: "only paths and s3:// are read"}
	}
	return nil
}

// find returns the root below which path is, and its name there.
func find(roots []folder, path string) (root folder, name string, err error) {
	if err := checkPath(path); err != nil {
		return "", "", err
	}
	if len(roots) == 0 {
		return "", "", fault.Fault{Kind: fault.ErrOutsideRoots, Hint: "no input folder is configured"}
	}
	if !filepath.IsAbs(path) {
		roots = roots[:1]
	}
	for _, root := range roots {
		if name, ok := root.within(path); ok {
			return root, name, nil
		}
	}
	return "", "", fault.Fault{Kind: fault.ErrOutsideRoots}
}

// statFile looks at the file at path below one of roots.
func statFile(roots []folder, path string) (fs.FileInfo, error) {
	folder, name, err := find(roots, path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(string(folder))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return follow(folder, root, name, root.Stat)
}

// readFile reads a regular file below one of roots.
func readFile(ctx context.Context, roots []folder, ref Reference, limit int64) ([]byte, error) {
	folder, name, err := find(roots, ref.Location)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(string(folder))
	if err != nil {
		return nil, fileFailure(err)
	}
	defer root.Close()
	file, err := follow(folder, root, name, func(name string) (*os.File, error) { return openRegular(root, name, limit) })
	if err != nil {
		return nil, fileFailure(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err == nil {
		err = checkFile(info, limit)
	}
	if err != nil {
		return nil, fileFailure(err)
	}
	data, err := readBounded(ctx, ref.Room, &interruptible{ctx, file}, info.Size(), limit)
	if err != nil {
		return nil, fileFailure(err)
	}
	return data, nil
}

// openRegular opens a file. Merely opening a pipe or a device can have effects,
// so the kind of file is looked at before; the second look, at the open file, is
// the one that counts.
func openRegular(root *os.Root, name string, limit int64) (*os.File, error) {
	info, err := root.Stat(name)
	if err == nil {
		err = checkFile(info, limit)
	}
	if err != nil {
		return nil, err
	}
	// O_NONBLOCK keeps the open of a pipe from waiting for its writer.
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

// interruptible ends with its context, between two reads.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (i *interruptible) Read(b []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, fault.OfContext(err)
	}
	return i.r.Read(b)
}

func checkFile(info fs.FileInfo, limit int64) error {
	if !info.Mode().IsRegular() {
		return fault.Fault{Kind: fault.ErrNotRegular}
	}
	if info.Size() > limit {
		return fault.TooLarge(limit)
	}
	return nil
}
