package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/modelfolder"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/model"
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
	var folder string
	cmd := &cobra.Command{
		Use:   "verify --model DIR",
		Short: "Try a model as the component would run it, and write what was found into its manifest",
		Long: "Open a model with ONNX Runtime exactly as the component does, run golden slices, compare with labels, and measure\n" +
			"time and memory. What was found becomes part of the manifest, as the model's card. A model that passes gets the slice\n" +
			"and the mask by which each device tests itself.",
		Example: "  model-build verify --model optimised --labels validation --min-dice 0.8",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": folder}); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			if err := s.verifyAll(cmd.Context(), folder, o); err != nil {
				return fmt.Errorf("verify %s: %w", folder, err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&folder, "model", "", "folder with model.onnx and manifest.json (required)")
	goldenFlag(cmd, &o.Golden)
	o.labelFlags(cmd)
	libraryFlag(cmd, &o.Library)
	return cmd
}

// verifyAll checks the model in folder and its variant.
func (s *settings) verifyAll(ctx context.Context, folder string, o verifyOptions) error {
	if err := s.verify(ctx, folder, o); err != nil {
		return err
	}
	variant := filepath.Join(folder, modelpackage.AMD64Dir)
	if _, err := os.Stat(variant); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.console.say("  for x86-64:")
	return s.verify(ctx, variant, o)
}

// verify checks the model in folder and writes the report into its
// manifest, also where the model is not accurate enough.
func (s *settings) verify(ctx context.Context, folder string, o verifyOptions) error {
	manifest, record, err := model.Read(folder)
	if err != nil {
		return err
	}
	task := s.console.display.Begin()
	defer task.End()
	report, err := modelcheck.Check(ctx, folder, modelcheck.Options{
		Library: modelcheck.FindLibrary(o.Library), Golden: o.Golden, Labels: o.Labels, MinDice: o.MinDice, Progress: task.Count,
	})
	if err != nil && !errors.Is(err, modelcheck.ErrDice) {
		return err
	}
	task.Spin("measuring time and memory")
	var measureErr error
	if report.Measured, measureErr = measure(ctx, folder, modelcheck.FindLibrary(o.Library)); measureErr != nil {
		return measureErr
	}
	task.End()
	modelcheck.Print(s.console.progress, report)
	record.Tool, record.Verification = tool(), report
	if writeErr := modelfolder.WriteManifest(folder, manifest, record); writeErr != nil {
		return writeErr
	}
	if err != nil {
		return err
	}
	return modelcheck.WriteSelfTest(ctx, folder, modelcheck.FindLibrary(o.Library))
}

// measureCommand is how the program calls itself: what a model needs of memory is
// told best by a process that does nothing else.
func measureCommand(s *settings) *cobra.Command {
	var folder, library string
	cmd := &cobra.Command{
		Use:    "measure --model DIR",
		Short:  "Measure time and memory of a model, as JSON",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": folder}); err != nil {
				return err
			}
			measured, err := modelcheck.Measure(cmd.Context(), folder, modelcheck.FindLibrary(library), 0)
			if err != nil {
				return err
			}
			return json.NewEncoder(s.console.out).Encode(measured)
		},
	}
	cmd.Flags().StringVar(&folder, "model", "", "folder with model.onnx and manifest.json (required)")
	libraryFlag(cmd, &library)
	return cmd
}

// measure runs measureCommand in a process of its own.
func measure(ctx context.Context, folder, library string) (*model.Measured, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("measure time and memory: %w", err)
	}
	command := exec.CommandContext(ctx, executable, "measure", "--model", folder, "--library", library)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("measure time and memory: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	measured := new(model.Measured)
	if err := json.Unmarshal(output, measured); err != nil {
		return nil, fmt.Errorf("measure time and memory: %w", err)
	}
	return measured, nil
}
