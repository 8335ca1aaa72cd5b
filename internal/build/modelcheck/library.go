package modelcheck

import (
	"os"
	"path/filepath"
	"runtime"

	"github.com/brainseg/brainseg/internal/segmentation"
)

// FindLibrary adds the repository's own ONNX Runtime to the places where the
// library is looked for.
func FindLibrary(library string) string {
	if library != "" || os.Getenv(segmentation.LibraryVariable) != "" {
		return library
	}
	own := filepath.Join("artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1")
	for _, path := range []string{own, filepath.Join("..", own)} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}
