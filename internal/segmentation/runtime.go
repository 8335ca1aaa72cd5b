package segmentation

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// LibraryVariable is the environment variable that names libonnxruntime.so.1
// where Options.Library does not.
const LibraryVariable = "BRAINSEG_ONNXRUNTIME"

const libraryName = "libonnxruntime.so.1"

// environment is the process' one instance of ONNX Runtime. It is never taken
// down: threads and sessions of a library that is unloaded would crash.
var environment struct {
	mu      sync.Mutex
	library string // the file that is loaded, "" before; guarded by mu
}

// loadRuntime loads the library once for the process.
func loadRuntime(option string) error {
	library, err := findLibrary(option)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRuntime, err)
	}
	environment.mu.Lock()
	defer environment.mu.Unlock()
	if loaded := environment.library; loaded != "" {
		if loaded != library {
			return fmt.Errorf("%w: %s is already loaded in this process, so %s cannot be", ErrRuntime, loaded, library)
		}
		return nil
	}
	if err := checkLibrary(library); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRuntime, library, err)
	}
	mapLargeC()
	ort.SetSharedLibraryPath(library)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("%w: load %s (1.24 or later is needed): %w", ErrRuntime, library, err)
	}
	environment.library = library
	return nil
}

// findLibrary returns the real path of the library to load.
func findLibrary(option string) (string, error) {
	var candidates []string
	hint := ""
	if option != "" {
		candidates = []string{option}
	} else if path := os.Getenv(LibraryVariable); path != "" {
		candidates, hint = []string{path}, " (from "+LibraryVariable+")"
	} else {
		executable, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find the folder of the executable: %w", err)
		}
		if resolved, err := filepath.EvalSymlinks(executable); err == nil {
			executable = resolved
		}
		dir := filepath.Dir(executable)
		candidates = []string{filepath.Join(dir, libraryName), filepath.Join(dir, "lib", libraryName)}
		hint = "; bring ONNX Runtime 1.24 or later (for amd64 and arm64 run artifacts/onnxruntime/fetch.sh) and name it by the configuration key model.library or by " + LibraryVariable
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

// checkLibrary finds a file that was cut short. The dynamic linker does not:
// it maps the file, and the process dies at the first access beyond its end.
func checkLibrary(path string) error {
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

// sessionOptions are those that a stream of slices is fastest with, in memory
// that does not grow: one thread a slice unless more are asked for, and none
// that waits by spinning.
func sessionOptions(threads int) (*ort.SessionOptions, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		options.SetIntraOpNumThreads(threads),
		options.SetInterOpNumThreads(1),
		options.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"),
		options.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		options.SetLogSeverityLevel(ort.LoggingLevelFatal),
		// The plan of the memory of a run is kept for every size of image ever
		// seen: 200 sizes up to 512 x 512 took 77 MB with it and 63 MB without,
		// no longer growing, at the same speed. Without the arena it was 280 MB.
		options.SetMemPattern(false),
	)
	if err != nil {
		options.Destroy()
		return nil, err
	}
	return options, nil
}
