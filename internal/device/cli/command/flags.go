package command

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/brainseg/brainseg/internal/device/request"
)

// ModelFlags adds --model and --library.
func ModelFlags(flags *pflag.FlagSet, model, library *string) {
	flags.StringVar(model, "model", DefaultModel(), "folder with model.onnx and manifest.json")
	flags.StringVar(library, "library", "", "path of libonnxruntime (default: beside the executable)")
}

// DefaultModel finds the model that came with the program: in the repository,
// next to the executable, or in the current folder.
func DefaultModel() string {
	places := []string{filepath.Join("artifacts", "model")}
	if executable, err := os.Executable(); err == nil {
		dir := filepath.Dir(executable)
		places = append(places, filepath.Join(dir, "..", "artifacts", "model"), filepath.Join(dir, "model"))
	}
	for _, dir := range places {
		if _, err := os.Stat(filepath.Join(dir, "manifest.json")); err == nil {
			return dir
		}
	}
	return places[0]
}

// SpacingFlag adds --spacing, which Spacing reads.
func SpacingFlag(flags *pflag.FlagSet, spacing *[]float64) {
	flags.Float64SliceVar(spacing, "spacing", nil, "size of a pixel in mm, or across,down (default: what the file states; otherwise guessed where a head would be too large or small)")
}

// Spacing is what a --spacing flag says, across and down in mm; zero where it is not
// given.
func Spacing(flag []float64) (mm [2]float64, err error) {
	switch len(flag) {
	case 0:
		return mm, nil
	case 1:
		mm = [2]float64{flag[0], flag[0]}
	case 2:
		mm = [2]float64{flag[0], flag[1]}
	default:
		return mm, Misused(errors.New("--spacing takes one number of millimetres, or two"))
	}
	for _, v := range mm {
		if !(v >= request.MinSpacing && v <= request.MaxSpacing) {
			return mm, Misused(fmt.Errorf("--spacing is %g to %g mm", request.MinSpacing, request.MaxSpacing))
		}
	}
	return mm, nil
}
