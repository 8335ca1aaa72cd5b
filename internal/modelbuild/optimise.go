package modelbuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/modelcheck"
	"github.com/brainseg/brainseg/internal/modelpackage"
	"github.com/brainseg/brainseg/internal/provenance"
)

// errAgreement: the rewritten model gives other masks.
var errAgreement = errors.New("the optimised model does not give the same masks")

// optimiseOptions are the flags of optimize.
type optimiseOptions struct {
	Golden  string
	Library string
	// MinAgreement is the least share of pixels that must keep their class.
	MinAgreement float64
}

func (o *optimiseOptions) agreementFlag(cmd *cobra.Command) {
	cmd.Flags().Float64Var(&o.MinAgreement, "min-agreement", 0.9999, "least share of pixels that keep their class when the model is optimised")
}

func optimiseCommand(s *settings) *cobra.Command {
	var o optimiseOptions
	var model, out string
	cmd := &cobra.Command{
		Use:     "optimize --model DIR --out DIR",
		Aliases: []string{"optimise"},
		Short:   "Make a model faster, and prove that it gives the same masks",
		Example: "  model-build optimize --model converted --out optimised",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": model, "out": out}); err != nil {
				return err
			}
			if o.MinAgreement < 0 || o.MinAgreement > 1 {
				return usagef("--min-agreement is %v and must be 0 to 1", o.MinAgreement)
			}
			return fill(out, func(dir string) error { return s.optimise(cmd.Context(), model, dir, o) })
		},
	}
	cmd.Flags().StringVar(&model, "model", "", "folder with model.onnx and manifest.json (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to make (required)")
	goldenFlag(cmd, &o.Golden)
	libraryFlag(cmd, &o.Library)
	o.agreementFlag(cmd)
	return cmd
}

// optimise writes the model in the folder model, rewritten, to the folder out.
func (s *settings) optimise(ctx context.Context, model, out string, o optimiseOptions) error {
	manifest, record, err := provenance.Read(model)
	if err != nil {
		return fmt.Errorf("optimise: %w", err)
	}
	step := provenance.Step{Name: "optimise"}
	before := filepath.Join(model, manifest.File)
	manifest.File = networkName
	if step.Notes, err = rewrite(before, filepath.Join(out, networkName), manifest); err != nil {
		return fmt.Errorf("optimise %s: %w", before, err)
	}
	if manifest.SHA256, err = provenance.FileSHA256(filepath.Join(out, networkName)); err != nil {
		return fmt.Errorf("optimise: %w", err)
	}
	for _, name := range modelpackage.Documents {
		if err := copyFile(filepath.Join(model, name), filepath.Join(out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("optimise: %w", err)
		}
	}
	// The manifest first: the proof opens the model as the component would.
	if err := provenance.Write(out, manifest, record); err != nil {
		return err
	}
	c, err := modelcheck.Compare(ctx, model, out, o.Golden, findLibrary(o.Library))
	if err != nil {
		return fmt.Errorf("compare the masks before and after: %w", err)
	}
	if c.Agreement() < o.MinAgreement {
		return fmt.Errorf("%w: %d of %d pixels on %d slices have another class", errAgreement, c.Different, c.Pixels, c.Slices)
	}
	step.SHA256 = manifest.SHA256
	step.Notes = append(step.Notes, fmt.Sprintf("masks before and after: %d of %d pixels on %d slices differ", c.Different, c.Pixels, c.Slices))
	record.Tool, record.Steps = tool(), append(record.Steps, step)
	for _, note := range step.Notes {
		s.console.say("  %s", note)
	}
	return provenance.Write(out, manifest, record)
}
