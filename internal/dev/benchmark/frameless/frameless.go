// Package frameless makes of a model one that is shown slices as they are. The
// benchmark's contestants in C, JavaScript and Python know no frames, and all must do
// the same work.
package frameless

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/model"
)

// Write makes the folder to with the model of the folder from, whose manifest m is,
// without its frame. Its self-test goes, for the mask is another.
func Write(m model.Manifest, from, to string) (*model.Manifest, error) {
	m.Frame, m.Requires = nil, nil
	document, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write a manifest: %w", err)
	}
	if err := os.Mkdir(to, 0o750); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(to, "manifest.json"), document, 0o640); err != nil {
		return nil, err
	}
	if err := os.Symlink(filepath.Join(from, m.File), filepath.Join(to, m.File)); err != nil {
		return nil, err
	}
	return model.ReadManifest(to)
}
