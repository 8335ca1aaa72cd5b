package scanjob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/brainseg/brainseg/internal/device/request"
)

// maxLooks is how many names below a scan's folder are looked at.
const maxLooks = 200_000

var (
	errNotAllowed = request.NewError(request.CodeImageNotAllowed, "read image: the scan, or a link in its folder, is outside the configured folders", nil)
	errNotFound   = request.NewError(request.CodeImageNotFound, "read image: there is no such file or folder", nil)
)

// locate finds the scan at path below one of roots, and returns its real path.
// Symbolic links are followed as far as they lead below a root; one in a scan's
// folder that leads elsewhere is refused, for the readers would follow it.
//
// Unlike a slice, a scan is opened by its path: whoever can change folders below
// a root while it is read can have other files read.
func locate(roots []string, path string) (string, error) {
	if !filepath.IsAbs(path) {
		if len(roots) == 0 {
			return "", errNotAllowed
		}
		path = filepath.Join(roots[0], path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", errNotAllowed
	}
	var allowed []string
	named := false
	for _, root := range roots {
		if absolute, err := filepath.Abs(root); err == nil {
			named = named || below(absolute, path)
			if real, err := filepath.EvalSymlinks(absolute); err == nil {
				allowed = append(allowed, real)
			}
		}
	}
	if !named {
		return "", errNotAllowed // whether it exists is nobody's business
	}
	real, err := inside(allowed, path)
	if err != nil {
		return "", err
	}
	return real, checkLinks(allowed, readBy(real))
}

// readBy is the file or folder below which everything is that a reader opens for
// path: of a pair the other half, and of a DICOMDIR all images beside it.
func readBy(path string) string {
	name := strings.ToLower(strings.TrimSuffix(filepath.Base(path), ".gz"))
	info, err := os.Stat(path)
	if err != nil || info.IsDir() || strings.HasSuffix(name, ".nii") || strings.HasSuffix(name, ".zip") {
		return path
	}
	return filepath.Dir(path)
}

// inside returns the real path of path, which must be below one of allowed.
func inside(allowed []string, path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errNotFound
	case err != nil:
		return "", request.NewError(request.CodeImageNotAllowed, errNotAllowed.Message, err)
	}
	for _, root := range allowed {
		if below(root, real) {
			return real, nil
		}
	}
	return "", errNotAllowed
}

func below(root, path string) bool {
	return path == root || strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/")
}

// checkLinks refuses a folder with links that lead out of allowed.
func checkLinks(allowed []string, path string) error {
	looks := 0
	seen := make(map[string]bool)
	folders := []string{path}
	for len(folders) > 0 {
		at := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		err := filepath.WalkDir(at, func(name string, entry fs.DirEntry, err error) error {
			if looks++; looks > maxLooks {
				return request.NewError(request.CodeImageTooLarge, "read image: the folder has too many files for a scan", nil)
			}
			if err != nil || entry.Type()&fs.ModeSymlink == 0 {
				return nil // what cannot be read is the reader's to tell
			}
			target, err := inside(allowed, name)
			if errors.Is(err, errNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			if info, err := os.Stat(target); err == nil && info.IsDir() {
				folders = append(folders, target)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
