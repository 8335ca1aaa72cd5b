// Package segmentation runs a segmentation model: a folder with a network in
// ONNX form and a manifest that says what goes in, what comes out and what the
// classes mean. A grey slice becomes a mask of one class a pixel.
//
// The package decodes and encodes no pictures, fetches and writes no images and
// knows nothing of requests or of Greengrass. Nothing here is particular to
// brains: the manifest, not the code, says what the classes are. It is called
// by packages models and slicejob, by those of whole scans, and by the programs that
// open a model.
package segmentation

import "errors"

// Errors by which a caller decides. Every error of this package wraps one of
// them, one of model's, or the context's; none says anything about the content of an image.
var (
	// ErrRuntime: ONNX Runtime was not found, is not usable here, or failed.
	ErrRuntime = errors.New("ONNX Runtime cannot be used")
	// ErrTooLarge: the image has more pixels than Options.MaxPixels.
	ErrTooLarge = errors.New("the image has too many pixels")
	// ErrTooMuchMemory: a large image, and Options.Memory says that it would not
	// fit.
	ErrTooMuchMemory = errors.New("the image takes more memory to segment than the device has left")
	// ErrSize: the image is empty, or the mask buffer has another number of
	// pixels than the image.
	ErrSize = errors.New("image and mask do not fit together")
	// ErrNoScores: scores were asked for, and the model gives a mask only.
	ErrNoScores = errors.New("the model gives no scores")
	// ErrClosed: the model was closed.
	ErrClosed = errors.New("the model is closed")
)

// DefaultMaxPixels is the default of Options.MaxPixels.
const DefaultMaxPixels = 2048 * 2048

// Options are the settings of Open. The zero value is ready to use.
type Options struct {
	// Library is the path of libonnxruntime.so.1. Default: libonnxruntime.so.1
	// in the folder of the executable, then in lib/ below it. The environment
	// variable BRAINSEG_ONNXRUNTIME, where set, comes before both.
	//
	// A process loads the library once; a later Open that names another file
	// fails with ErrRuntime.
	Library string
	// Threads is the number of threads that work on one slice. Default 1: for
	// a stream of slices, several callers of Segment use several cores better.
	Threads int
	// MaxPixels is the largest width times height that Segment takes. It
	// bounds time, not memory: large slices are run in tiles. Default
	// DefaultMaxPixels.
	MaxPixels int64
	// Memory, if not nil, is asked for the bytes of memory that there are, before
	// a slice is run that takes more than the model keeps anyway: one of more
	// than 320 x 320 pixels. It may be called concurrently. How much that is was
	// measured for the shipped network; others may take more.
	Memory func() int64
}

func (o Options) withDefaults() Options {
	if o.Threads <= 0 {
		o.Threads = 1
	}
	if o.MaxPixels <= 0 {
		o.MaxPixels = DefaultMaxPixels
	}
	return o
}

// Counts tells how many pixels of mask have each value.
func Counts(mask []uint8) [256]int {
	// Four tables, because neighbours are mostly equal and one counter would
	// have to wait for its own last store at every pixel.
	var tables [4][256]uint32
	i := 0
	for ; i+4 <= len(mask); i += 4 {
		m := mask[i : i+4 : i+4]
		tables[0][m[0]]++
		tables[1][m[1]]++
		tables[2][m[2]]++
		tables[3][m[3]]++
	}
	for ; i < len(mask); i++ {
		tables[0][mask[i]]++
	}
	var counts [256]int
	for v := range counts {
		counts[v] = int(tables[0][v]) + int(tables[1][v]) + int(tables[2][v]) + int(tables[3][v])
	}
	return counts
}
