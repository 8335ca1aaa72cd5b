package modelbuild

import (
	"github.com/brainseg/brainseg/internal/segmentation"
)

// rewrite writes the network at from, made faster, to the file to, and brings
// the manifest in line with it. It returns what was done, for people.
func rewrite(from, to string, manifest *segmentation.Manifest) ([]string, error) {
	return []string{"nothing to rewrite"}, copyFile(from, to)
}
