package archive

import "strings"

// litter are the folders and files that programs leave in archives beside what
// was meant: those of macOS, Windows, Jupyter, and of a tar that was unpacked by
// a program which does not know its extended headers.
var litter = map[string]bool{
	"__MACOSX": true, ".DS_Store": true, ".Spotlight-V100": true, ".Trashes": true, ".fseventsd": true,
	"Thumbs.db": true, "desktop.ini": true,
	".ipynb_checkpoints": true,
	"PaxHeader":          true, "PaxHeaders": true, "@PaxHeader": true,
}

// IsLitter reports whether the file or folder at name, with slashes, is none that
// anybody meant to put there, by itself or because it lies in such a folder.
func IsLitter(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		// ._NAME is what macOS knows of NAME; PaxHeaders.123 is of the process 123.
		if litter[part] || strings.HasPrefix(part, "._") || strings.HasPrefix(part, "PaxHeaders.") {
			return true
		}
	}
	return false
}
