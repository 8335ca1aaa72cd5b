// Package libraryfile finds the file of ONNX Runtime, and sees whether it is whole.
//
// It loads nothing. Package segmentation calls it, whose tests cover it too.
package libraryfile

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Variable is the environment variable that names the library where nothing else
// does.
const Variable = "BRAINSEG_ONNXRUNTIME"

const name = "libonnxruntime.so.1"

// Find returns the real path of the library to load: option, where it is not empty,
// else what Variable names, else the one in the folder of the executable or in lib
// below it.
func Find(option string) (string, error) {
	var candidates []string
	hint := ""
	if option != "" {
		candidates = []string{option}
	} else if path := os.Getenv(Variable); path != "" {
		candidates, hint = []string{path}, " (from "+Variable+")"
	} else {
		executable, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find the folder of the executable: %w", err)
		}
		if resolved, err := filepath.EvalSymlinks(executable); err == nil {
			executable = resolved
		}
		dir := filepath.Dir(executable)
		candidates = []string{filepath.Join(dir, name), filepath.Join(dir, "lib", name)}
		hint = "; bring ONNX Runtime 1.24 or later (for amd64 and arm64 run artifacts/onnxruntime/fetch.sh) and name it by the configuration key model.library or by " + Variable
	}
	for _, path := range candidates {
		resolved, err := filepath.EvalSymlinks(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			resolved, err = filepath.Abs(resolved)
		}
		if err != nil {
			return "", fmt.Errorf("find the library: %w", err)
		}
		return resolved, nil
	}
	if len(candidates) == 1 {
		return "", fmt.Errorf("there is no %s%s", candidates[0], hint)
	}
	return "", fmt.Errorf("there is neither %s nor %s%s", candidates[0], candidates[1], hint)
}

// Check finds a file that was cut short. The dynamic linker does not:
// it maps the file, and the process dies at the first access beyond its end.
func Check(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the library: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at the library: %w", err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("is not a file")
	}
	library, err := elf.NewFile(file)
	if err != nil {
		return fmt.Errorf("is cut short or not a shared library: %w", err)
	}
	for _, segment := range library.Progs {
		if segment.Type == elf.PT_LOAD && int64(segment.Off+segment.Filesz) > info.Size() {
			return errors.New("is cut short; fetch it again")
		}
	}
	return nil
}
