package segmentation

import (
	"errors"
	"fmt"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/brainseg/brainseg/internal/segmentation/libraryfile"
)

// LibraryVariable is the environment variable that names libonnxruntime.so.1
// where Options.Library does not.
const LibraryVariable = libraryfile.Variable

// environment is the process' one instance of ONNX Runtime. It is never taken
// down: threads and sessions of a library that is unloaded would crash.
var environment struct {
	mu      sync.Mutex
	library string // the file that is loaded, "" before; guarded by mu
}

// loadRuntime loads the library once for the process.
func loadRuntime(option string) error {
	path, err := libraryfile.Find(option)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRuntime, err)
	}
	environment.mu.Lock()
	defer environment.mu.Unlock()
	if loaded := environment.library; loaded != "" {
		if loaded != path {
			return fmt.Errorf("%w: %s is already loaded in this process, so %s cannot be", ErrRuntime, loaded, path)
		}
		return nil
	}
	if err := libraryfile.Check(path); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRuntime, path, err)
	}
	mapLargeC()
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("%w: load %s (1.24 or later is needed): %w", ErrRuntime, path, err)
	}
	environment.library = path
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
