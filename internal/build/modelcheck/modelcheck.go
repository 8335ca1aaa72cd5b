// Package modelcheck tries a model as a device would use it: it opens it with
// ONNX Runtime through package segmentation, runs slices, compares with labels or
// with another model, and measures time and memory.
//
// Only WriteSelfTest changes the model's folder. Package cli calls it, and
// writes the report into the model's manifest as its card.
package modelcheck

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// Errors by which a caller decides; those of opening a model are segmentation's.
var (
	// ErrGolden: a mask is not the golden one, or not the same twice.
	ErrGolden = errors.New("the model does not give the expected masks")
	// ErrNothing: no slice has a pixel of a class other than the background.
	ErrNothing = errors.New("the model finds nothing on any slice")
	// ErrLabels: the labels cannot be read or do not fit the images.
	ErrLabels = errors.New("the labelled images cannot be used")
	// ErrDice: the mean Dice is below Options.MinDice.
	ErrDice = errors.New("the model is not accurate enough")
)

// Options are the settings of Check. The zero value only opens the model.
type Options struct {
	// Library is the path of libonnxruntime.so.1; default as segmentation has it.
	Library string
	// Golden is a folder of PNG slices, searched with its sub-folders; default
	// none. Where NAME_golden.png lies beside NAME.png, at most one pixel in a
	// thousand may differ from it: processors differ in the last bits.
	Golden string
	// Labels is a folder of labelled images, searched with its sub-folders;
	// default none: NAME.png with NAME_mask.png, NAME_T1w.nii[.gz] with
	// NAME_seg.nii[.gz], NAME.nii[.gz] with NAME_mask.nii[.gz]. Label 255 does not
	// count.
	Labels string
	// MinDice is the mean Dice of the tissues below which the check fails;
	// default 0. It needs Labels.
	MinDice float64
	// Progress is told how many of the things called what are done; default nobody.
	Progress func(what string, done, total int)
}

// minAgreement is the share of pixels that must be as in a golden mask.
const minAgreement = 0.999

// Check tries the model in the folder dir. An error wraps one of this package's,
// one of segmentation's or the context's. The report has what was found up to
// then.
func Check(ctx context.Context, dir string, options Options) (*model.Verification, error) {
	report := new(model.Verification)
	if options.MinDice > 0 && options.Labels == "" {
		return report, fmt.Errorf("%w: a least Dice is asked for, and no labels are given", ErrLabels)
	}
	if options.Progress == nil {
		options.Progress = func(string, int, int) {}
	}
	opened, err := segmentation.Open(dir, segmentation.Options{Library: options.Library})
	if err != nil {
		return report, err
	}
	defer opened.Close()
	c := &checker{opened: opened, options: options}
	if options.Golden != "" {
		if report.Golden, err = c.golden(ctx); err != nil {
			return report, err
		}
	}
	if options.Labels != "" {
		if report.Accuracy, err = c.accuracy(ctx); err != nil {
			return report, err
		}
		if mean := report.Accuracy.MeanDice; !(mean >= options.MinDice) {
			return report, fmt.Errorf("%w: mean Dice %.4f, and at least %.4f is asked for", ErrDice, mean, options.MinDice)
		}
	}
	return report, nil
}

type checker struct {
	opened  *segmentation.Model
	options Options
	mask    []uint8 // of the last slice
}

// segment returns the mask of slice, valid until the next call.
func (c *checker) segment(ctx context.Context, slice *image.Gray) ([]uint8, error) {
	n := slice.Rect.Dx() * slice.Rect.Dy()
	if cap(c.mask) < n {
		c.mask = make([]uint8, n)
	}
	c.mask = c.mask[:n]
	return c.mask, c.opened.Segment(ctx, slice, c.mask)
}

// classes of the model's masks.
func (c *checker) classes() []model.Class { return c.opened.Manifest().Classes }

// confusion counts pixels: [label][mask].
type confusion [][]int64

func newConfusion(classes int) confusion {
	m := make(confusion, classes)
	for i := range m {
		m[i] = make([]int64, classes)
	}
	return m
}

func (m confusion) add(other confusion) {
	for i := range m {
		for j := range m[i] {
			m[i][j] += other[i][j]
		}
	}
}

// dice returns that of each class, NaN where a class is in neither.
func (m confusion) dice() []float64 {
	dice := make([]float64, len(m))
	for k := range m {
		var labels, masks int64
		for i := range m {
			labels += m[k][i]
			masks += m[i][k]
		}
		dice[k] = 2 * float64(m[k][k]) / float64(labels+masks)
	}
	return dice
}

// meanDice is that of the classes but the background, without those that are in
// neither; NaN where all are.
func meanDice(dice []float64) float64 {
	sum, n := 0.0, 0
	for _, d := range dice[1:] {
		if !math.IsNaN(d) {
			sum += d
			n++
		}
	}
	return sum / float64(n)
}

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

// Print writes a report for people.
func Print(w io.Writer, r *model.Verification) {
	if m := r.Measured; m != nil {
		fmt.Fprintf(w, "  %d x %d slice in one thread: p50 %.2f ms, p90 %.2f ms, processor time %.2f ms; peak memory %.0f MB (ONNX Runtime %s, %s)\n",
			m.Width, m.Height, m.P50, m.P90, m.CPU, m.PeakMemory, m.ONNXRuntime, m.Processor)
	}
	if len(r.Golden) > 0 {
		compared := 0
		for _, mask := range r.Golden {
			if mask.Agreement != nil {
				compared++
			}
		}
		fmt.Fprintf(w, "  golden slices: %d run, %d compared with their masks\n", len(r.Golden), compared)
	}
	if a := r.Accuracy; a != nil {
		fmt.Fprintf(w, "  Dice on %d slices of %d images:", a.Slices, a.Images)
		for _, name := range slices.Sorted(maps.Keys(a.Dice)) {
			fmt.Fprintf(w, " %s %.3f,", name, a.Dice[name])
		}
		fmt.Fprintf(w, " mean %.3f, worst image %.3f\n", a.MeanDice, a.WorstImage)
	}
}
