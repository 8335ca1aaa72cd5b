package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/modelfolder"
	"github.com/brainseg/brainseg/internal/build/modelpackage"
)

// optimiseOptions are the flags of optimize.
type optimiseOptions struct {
	Golden  string
	Library string
	// MinAgreement is the least share of pixels that must keep their class.
	MinAgreement float64
	// AMD64 makes a variant for x86-64 too, with rewrites that are of use there
	// alone.
	AMD64 bool
}

func (o *optimiseOptions) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.AMD64, "amd64-variant", false, "make a variant for x86-64 too, with rewrites that make other processors slower")
	cmd.Flags().Float64Var(&o.MinAgreement, "min-agreement", 0.9999, "least share of pixels that keep their class when the model is optimised")
}

func (o *optimiseOptions) check() error {
	if !(o.MinAgreement >= 0 && o.MinAgreement <= 1) {
		return usagef("--min-agreement is %v and must be 0 to 1", o.MinAgreement)
	}
	return present(map[string]string{"golden": o.Golden, "library": o.Library})
}

func optimiseCommand(s *settings) *cobra.Command {
	var o optimiseOptions
	var folder, out string
	cmd := &cobra.Command{
		Use:     "optimize --model DIR --out DIR",
		Aliases: []string{"optimise"},
		Short:   "Make a model faster, and prove that it gives the same masks",
		Example: "  model-build optimize --model converted --out optimised",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": folder, "out": out}); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return fill(out, func(dir string) error { return s.optimise(cmd.Context(), folder, dir, o) })
		},
	}
	cmd.Flags().StringVar(&folder, "model", "", "folder with model.onnx and manifest.json (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to make (required)")
	goldenFlag(cmd, &o.Golden)
	libraryFlag(cmd, &o.Library)
	o.flags(cmd)
	return cmd
}

// optimise writes the model in folder, rewritten, to the folder out,
// and its variant for x86-64 to a folder in it.
func (s *settings) optimise(ctx context.Context, folder, out string, o optimiseOptions) error {
	common, err := s.optimiseFor(ctx, folder, out, o, false)
	if err != nil || !o.AMD64 {
		return err
	}
	variant := filepath.Join(out, modelpackage.AMD64Dir)
	if err := os.Mkdir(variant, 0o750); err != nil {
		return fmt.Errorf("optimise for x86-64: %w", err)
	}
	s.console.say("  for x86-64:")
	special, err := s.optimiseFor(ctx, folder, variant, o, true)
	if err != nil {
		return err
	}
	if special == common {
		s.console.say("  the variant is the same network, and is left out")
		return os.RemoveAll(variant)
	}
	return nil
}

// optimiseFor returns the digest of the network that it writes.
func (s *settings) optimiseFor(ctx context.Context, folder, out string, o optimiseOptions, amd64 bool) (string, error) {
	task := s.console.display.Begin()
	defer task.End()
	task.Spin("rewriting, and comparing masks")
	return modelfolder.Optimise(ctx, folder, out, modelfolder.OptimiseOptions{
		Golden: o.Golden, Library: modelcheck.FindLibrary(o.Library), MinAgreement: o.MinAgreement, AMD64: amd64, Tool: tool(), Say: s.console.say,
	})
}
