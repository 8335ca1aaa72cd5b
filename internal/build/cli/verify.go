package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/build/provenance"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	Golden  string
	Labels  string
	MinDice float64
	Library string
}

func (o *verifyOptions) labelFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Labels, "labels", "", "folder of labelled images: NAME.png with NAME_mask.png, NAME_T1w.nii.gz with NAME_seg.nii.gz, NAME.nii.gz with NAME_mask.nii.gz")
	cmd.Flags().Float64Var(&o.MinDice, "min-dice", 0, "least mean Dice of the tissues; below it the model is refused (needs --labels)")
}

func (o *verifyOptions) check() error {
	switch {
	case !(o.MinDice >= 0 && o.MinDice <= 1):
		return usagef("--min-dice is %v and must be 0 to 1", o.MinDice)
	case o.MinDice > 0 && o.Labels == "":
		return usagef("--min-dice needs --labels")
	}
	return present(map[string]string{"golden": o.Golden, "labels": o.Labels, "library": o.Library})
}

func verifyCommand(s *settings) *cobra.Command {
	var o verifyOptions
	var model string
	cmd := &cobra.Command{
		Use:   "verify --model DIR",
		Short: "Try a model as the component would run it, and write what was found into its manifest",
		Long: "Open a model with ONNX Runtime exactly as the component does, run golden slices, compare with labels, and measure\n" +
			"time and memory. What was found becomes part of the manifest, as the model's card. A model that passes gets the slice\n" +
			"and the mask by which each device tests itself.",
		Example: "  model-build verify --model optimised --labels validation --min-dice 0.8",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": model}); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			if err := s.verifyAll(cmd.Context(), model, o); err != nil {
				return fmt.Errorf("verify %s: %w", model, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "folder with model.onnx and manifest.json (required)")
	goldenFlag(cmd, &o.Golden)
	o.labelFlags(cmd)
	libraryFlag(cmd, &o.Library)
	return cmd
}

// verifyAll checks the model in the folder model and its variant.
func (s *settings) verifyAll(ctx context.Context, model string, o verifyOptions) error {
	if err := s.verify(ctx, model, o); err != nil {
		return err
	}
	variant := filepath.Join(model, modelpackage.AMD64Dir)
	if _, err := os.Stat(variant); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.console.say("  for x86-64:")
	return s.verify(ctx, variant, o)
}

// verify checks the model in the folder model and writes the report into its
// manifest, also where the model is not accurate enough.
func (s *settings) verify(ctx context.Context, model string, o verifyOptions) error {
	manifest, record, err := provenance.Read(model)
	if err != nil {
		return err
	}
	spinner := newSpinner(s.console)
	report, err := modelcheck.Check(ctx, model, modelcheck.Options{
		Library: findLibrary(o.Library), Golden: o.Golden, Labels: o.Labels, MinDice: o.MinDice, Progress: spinner.Describe,
	})
	spinner.Exit()
	if err != nil && !errors.Is(err, modelcheck.ErrDice) {
		return err
	}
	var measureErr error
	if report.Measured, measureErr = measure(ctx, model, findLibrary(o.Library)); measureErr != nil {
		return measureErr
	}
	printReport(s.console.progress, report)
	record.Tool, record.Verification = tool(), report
	if writeErr := provenance.Write(model, manifest, record); writeErr != nil {
		return writeErr
	}
	if err != nil {
		return err
	}
	return modelcheck.WriteSelfTest(ctx, model, findLibrary(o.Library))
}

// newSpinner shows what is being done on a terminal, and nothing elsewhere.
func newSpinner(c console) *progressbar.ProgressBar {
	w := io.Discard
	if c.terminal {
		w = c.progress
	}
	return progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionSpinnerType(14), progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(false))
}

func printReport(w io.Writer, r *modelcheck.Report) {
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

// findLibrary adds the repository's own ONNX Runtime to the places where the
// library is looked for.
func findLibrary(library string) string {
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
