package scan

import (
	"path/filepath"
	"strings"
)

// Name is what the scan at path is called: the name of its file or folder
// without the ending.
func Name(path string) string {
	name := filepath.Base(path)
	if absolute, err := filepath.Abs(path); err == nil { // "." has a name too
		name = filepath.Base(absolute)
	}
	for _, ending := range []string{".nii.gz", ".nii", ".hdr.gz", ".hdr", ".img.gz", ".img", ".zip", ".dcm"} {
		if len(name) > len(ending) && strings.EqualFold(name[len(name)-len(ending):], ending) {
			return name[:len(name)-len(ending)]
		}
	}
	return name
}
