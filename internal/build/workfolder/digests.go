package workfolder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/model"
)

// ContentOf is the digest of a file or of all files of a folder, "" for "".
func ContentOf(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.IsDir() {
		return model.FileSHA256(path)
	}
	files, err := digests(path)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", path, err)
	}
	return digestOf(files), nil
}

// ListingOf is the digest of the names, sizes and times of a folder's files:
// labelled volumes are too many to be read each time.
func ListingOf(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files[path] = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("look at the labels: %w", err)
	}
	return digestOf(files), nil
}

// digests returns those of the files below dir, by path.
func digests(dir string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(relative)], err = model.FileSHA256(path)
		return err
	})
	return files, err
}

// digestOf is that of a whole folder.
func digestOf(files map[string]string) string {
	document, _ := json.Marshal(files) // texts, in order of the keys
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:])
}
