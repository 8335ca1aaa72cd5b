package artifactcache

import (
	"os"
	"path/filepath"
)

// DefaultFolder is where artifacts are kept unless somebody says otherwise: below
// the user's cache folder.
func DefaultFolder() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "brainseg-model-build")
	}
	return filepath.Join(dir, "brainseg", "model-build")
}
