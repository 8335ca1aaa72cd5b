package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/brainseg/brainseg/internal/device/store/fault"
)

const (
	fileMode   = 0o640
	folderMode = 0o750
)

// maxLinks is how many symbolic links a path may lead through, as in Linux.
const maxLinks = 40

// folder is a configured root as a clean absolute path. It is opened for every
// operation, so that it may be mounted again or replaced while the process runs.
type folder string

func openFolder(path string) (folder, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(absolute)
	if err != nil {
		return "", err
	}
	return folder(absolute), root.Close()
}

// within returns path relative to f. ok is false where an absolute path is not
// below f, or a relative one climbs out of it.
func (f folder) within(path string) (name string, ok bool) {
	name = filepath.Clean(path)
	if !filepath.IsAbs(name) {
		return name, filepath.IsLocal(name)
	}
	if name == string(f) {
		return ".", true
	}
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(string(f), "/"))
	if !ok || rest[0] != '/' { // not as filepath.Rel: there may be thousands of roots
		return "", false
	}
	return rest[1:], true
}

// below returns what follows the folder in the absolute path target, by its name
// or by the one that it has without symbolic links. What follows may hold "..".
func (f folder) below(target string) (rest string, ok bool) {
	names := []string{string(f)}
	if real, err := filepath.EvalSymlinks(string(f)); err == nil {
		names = append(names, real)
	}
	for _, name := range names {
		rest, ok = strings.CutPrefix(target, strings.TrimSuffix(name, "/"))
		if ok && (rest == "" || rest[0] == '/') {
			return rest, true
		}
	}
	return "", false
}

// follow calls action with name, a path below root. os.Root refuses absolute
// symbolic links wherever they lead; where it does, action gets the path that
// leads to the same place without them. That path is subject to root as any
// other: a link that changed meanwhile leads nowhere else.
func follow[T any](f folder, root *os.Root, name string, action func(string) (T, error)) (T, error) {
	result, err := action(name)
	if err == nil || !escapes(err) {
		return result, err
	}
	resolved, ok := f.resolve(root, name)
	if !ok {
		return result, err
	}
	return action(resolved)
}

// escapes reports whether err is os.Root's own refusal of a path that leads out.
// It has no type; every other error that os.Root returns comes from the system.
func escapes(err error) bool {
	var number syscall.Errno
	var known fault.Fault
	return err != nil && !errors.As(err, &number) && !errors.As(err, &known)
}

// resolve follows the symbolic links of name, absolute ones as far as they lead
// below f. ok is false where a link leads out, or there are too many.
func (f folder) resolve(root *os.Root, name string) (resolved string, ok bool) {
	pending := strings.Split(name, "/")
	done := "." // leads through no link
	for links := 0; len(pending) > 0; {
		part := pending[0]
		pending = pending[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if done == "." {
				return "", false
			}
			done = filepath.Dir(done)
			continue
		}
		next := filepath.Join(done, part)
		target, err := root.Readlink(next)
		if err != nil { // no link, or nothing: whoever uses the path will see
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(target) {
			if target, ok = f.below(target); !ok {
				return "", false
			}
			done = "."
		}
		pending = append(strings.Split(target, "/"), pending...)
	}
	return done, true
}

// fileFailure gives an error of the file system its kind.
func fileFailure(err error) error {
	var known fault.Fault
	if errors.As(err, &known) {
		return err
	}
	if escapes(err) {
		return fault.Fault{Kind: fault.ErrOutsideRoots, Cause: err}
	}
	var number syscall.Errno
	errors.As(err, &number)
	f := fault.Fault{Kind: fault.ErrStorage, Cause: err}
	switch number {
	case syscall.ENOENT, syscall.ENOTDIR:
		f.Kind = fault.ErrNotFound
	case syscall.EACCES, syscall.EPERM:
		f.Kind, f.Hint = fault.ErrDenied, "let the component's user have the file"
	case syscall.EISDIR, syscall.EEXIST, syscall.ENXIO, syscall.ENODEV:
		f.Kind = fault.ErrNotRegular
	case syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EILSEQ:
		f.Kind, f.Hint = fault.ErrReference, "the name is too long or not allowed by the file system"
	case syscall.ELOOP:
		f.Kind, f.Hint = fault.ErrNotFound, "too many symbolic links"
	case syscall.ENOSPC, syscall.EDQUOT:
		f.Hint = "no space left on the device"
	case syscall.EROFS:
		f.Hint = "the file system is read-only"
	default:
		f.Hint = fmt.Sprintf("%s", number)
	}
	return f
}
