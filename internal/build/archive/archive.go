// Package archive unpacks model archives, .tar.gz and .zip, that may have been
// made to do harm: it writes plain files and folders below one new folder, and
// nothing else, in bounded memory.
//
// It restores no owners, modes or times, and makes no archives. Package
// cli calls it.
package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// Errors by which a caller decides.
var (
	// ErrFormat: not a .tar.gz or .zip, or one that is damaged or cut short.
	ErrFormat = errors.New("the archive cannot be read")
	// ErrUnsafe: an entry that could reach outside the target folder, is not a
	// plain file or folder, or would overwrite another.
	ErrUnsafe = errors.New("the archive has an entry that is not allowed")
	// ErrLimit: more bytes or files than Limits allow.
	ErrLimit = errors.New("the archive is over the limit")
)

// Limits bound what is unpacked. The zero value has the defaults.
type Limits struct {
	// Bytes of all files together, unpacked; default 4 GiB.
	Bytes int64
	// Entries is the number of files and folders; default 10,000.
	Entries int
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 4 << 30
	}
	if l.Entries <= 0 {
		l.Entries = 10_000
	}
	return l
}

const (
	maxNameBytes = 1024
	maxDepth     = 16
)

// Contents are what was in an archive: paths relative to its top, sorted, with
// slashes.
type Contents struct {
	// Files were unpacked.
	Files []string
	// Litter was left out: see IsLitter.
	Litter []string
}

// Unpack unpacks the archive file at name to the folder dir, which must not
// exist or be empty. dir appears when everything has been unpacked, or not at
// all. Files get mode 0640 and folders 0750, less the umask. Errors do not say
// which archive it was: the caller may know it by a better name.
func Unpack(ctx context.Context, name, dir string, limits Limits) (Contents, error) {
	contents, err := unpack(ctx, name, dir, limits)
	slices.Sort(contents.Files)
	slices.Sort(contents.Litter)
	return contents, err
}

func unpack(ctx context.Context, name, dir string, limits Limits) (Contents, error) {
	limits = limits.withDefaults()
	source, err := os.Open(name)
	if err != nil {
		return Contents{}, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return Contents{}, err
	}
	if !info.Mode().IsRegular() {
		return Contents{}, fmt.Errorf("%w: it is not a file", ErrFormat)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o750); err != nil {
		return Contents{}, err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".unpack-")
	if err != nil {
		return Contents{}, err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o750); err != nil {
		return Contents{}, err
	}
	// What leads out of the folder is refused by name; os.Root makes sure that
	// a name that was overlooked cannot either.
	root, err := os.OpenRoot(work)
	if err != nil {
		return Contents{}, err
	}
	defer root.Close()
	t := &target{ctx: ctx, root: root, limits: limits, seen: make(map[string]bool)}
	if err := t.unpackAny(source, info.Size()); err != nil {
		return Contents{}, err
	}
	// An empty folder is in the way of a rename only where it is not empty.
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Contents{}, fmt.Errorf("make room at the target: %w", err)
	}
	if err := os.Rename(work, dir); err != nil {
		return Contents{}, err
	}
	return t.contents, nil
}

// unpackAny looks at the first bytes.
func (t *target) unpackAny(source *os.File, size int64) error {
	var magic [4]byte
	n, err := source.ReadAt(magic[:], 0)
	if err != nil && err != io.EOF {
		return err
	}
	switch head := magic[:n]; {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return t.unpackTarGz(source)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return t.unpackZip(source, size)
	}
	return fmt.Errorf("%w: it is neither a .tar.gz nor a .zip", ErrFormat)
}

// target is a folder that is being filled.
type target struct {
	ctx    context.Context
	root   *os.Root
	limits Limits

	contents Contents
	seen     map[string]bool // clean names in lower case: true for a file
	entries  int
	bytes    int64
}

// local returns the clean form of an entry's name, "" for the top folder itself.
func local(name string) (string, error) {
	switch {
	case name == "" || len(name) > maxNameBytes:
		return "", fmt.Errorf("%w: a name of %d bytes", ErrUnsafe, len(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r == '\\' || r == unicode.ReplacementChar || unicode.IsControl(r) }):
		return "", fmt.Errorf("%w: %q has a character that no name needs", ErrUnsafe, name)
	case path.IsAbs(name):
		return "", fmt.Errorf("%w: %q is absolute", ErrUnsafe, name)
	}
	parts := strings.Split(name, "/")
	if slices.ContainsFunc(parts, func(part string) bool { return len(part) > 255 }) {
		return "", fmt.Errorf("%w: a name of more than 255 bytes", ErrUnsafe)
	}
	if slices.Contains(parts, "..") {
		return "", fmt.Errorf("%w: %q leads upwards", ErrUnsafe, name)
	}
	clean := path.Clean(name)
	if clean == "." {
		return "", nil
	}
	if len(strings.Split(clean, "/")) > maxDepth || !filepath.IsLocal(filepath.FromSlash(clean)) {
		return "", fmt.Errorf("%w: %q is too deep or not a name here", ErrUnsafe, name)
	}
	return clean, nil
}

// skip counts an entry that is litter, and reports whether it is.
func (t *target) skip(name string) (bool, error) {
	clean, err := local(name)
	if err != nil || !IsLitter(clean) {
		return false, err
	}
	if t.entries++; t.entries > t.limits.Entries {
		return false, fmt.Errorf("%w: more than %d files and folders", ErrLimit, t.limits.Entries)
	}
	t.contents.Litter = append(t.contents.Litter, clean)
	return true, context.Cause(t.ctx)
}

// admit counts an entry and returns its clean name.
func (t *target) admit(name string, isFile bool) (string, error) {
	if err := t.ctx.Err(); err != nil {
		return "", context.Cause(t.ctx)
	}
	if t.entries++; t.entries > t.limits.Entries {
		return "", fmt.Errorf("%w: more than %d files and folders", ErrLimit, t.limits.Entries)
	}
	clean, err := local(name)
	if err != nil {
		return "", err
	}
	if clean == "" {
		if isFile {
			return "", fmt.Errorf("%w: %q is the folder itself", ErrUnsafe, name)
		}
		return "", nil
	}
	// Two names that differ in case alone are one file on some systems.
	key := strings.ToLower(clean)
	if was, ok := t.seen[key]; ok && (isFile || was) {
		return "", fmt.Errorf("%w: %q comes twice", ErrUnsafe, name)
	}
	t.seen[key] = isFile
	for parent := path.Dir(key); parent != "."; parent = path.Dir(parent) {
		if t.seen[parent] {
			return "", fmt.Errorf("%w: %q lies in a file", ErrUnsafe, name)
		}
		t.seen[parent] = false
	}
	return clean, nil
}

// folder makes a folder.
func (t *target) folder(name string) error {
	clean, err := t.admit(name, false)
	if err != nil || clean == "" {
		return err
	}
	return t.root.MkdirAll(clean, 0o750)
}

// file writes a file from content.
func (t *target) file(name string, content io.Reader) error {
	clean, err := t.admit(name, true)
	if err != nil {
		return err
	}
	if dir := path.Dir(clean); dir != "." {
		if err := t.root.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	f, err := t.root.OpenFile(clean, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return err
	}
	// One byte more than is left tells a file that ends just there from a bomb.
	left := t.limits.Bytes - t.bytes
	n, err := io.Copy(f, io.LimitReader(&interruptible{t.ctx, content}, left+1))
	t.bytes += n
	switch closeErr := f.Close(); {
	case n > left:
		return fmt.Errorf("%w: more than %d bytes", ErrLimit, t.limits.Bytes)
	case err != nil:
		return t.unreadable(fmt.Errorf("%s: %w", clean, err))
	case closeErr != nil:
		return closeErr
	}
	t.contents.Files = append(t.contents.Files, clean)
	return nil
}

// unreadable gives an error that came out of the archive its kind; errors of the
// disk and of the context keep theirs.
func (t *target) unreadable(err error) error {
	var disk *fs.PathError
	if t.ctx.Err() != nil {
		return context.Cause(t.ctx)
	}
	if errors.As(err, &disk) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short: %w", ErrFormat, err)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// interruptible ends with its context.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i *interruptible) Read(b []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, context.Cause(i.ctx)
	}
	return i.r.Read(b)
}
