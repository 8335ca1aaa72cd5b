package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/modelpackage"
	"github.com/brainseg/brainseg/internal/build/workfolder"
	"github.com/brainseg/brainseg/internal/model"
)

func packageCommand(s *settings) *cobra.Command {
	var folder, out, gdk, version string
	cmd := &cobra.Command{
		Use:   "package --model DIR (--out DIR | --gdk DIR)",
		Short: "Make the model component: a zip and its recipe",
		Long: "Make the zip with the model and the recipe of the model component. The same model gives the same bytes.\n" +
			"With --gdk both go where `gdk component build` expects them.",
		Example: "  model-build package --model optimised --out package",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"model": folder}); err != nil {
				return err
			}
			options := modelpackage.Options{Version: version}
			switch {
			case (out == "") == (gdk == ""):
				return usagef("give one of --out and --gdk")
			case out != "":
				return fill(out, func(dir string) error { return s.makePackage(folder, dir, options) })
			}
			work, err := os.MkdirTemp("", workfolder.TemporaryPrefix)
			if err != nil {
				return fmt.Errorf("package: %w", err)
			}
			defer os.RemoveAll(work)
			if err := s.makePackage(folder, work, options); err != nil {
				return err
			}
			p, err := modelpackage.Open(work)
			if err != nil {
				return err
			}
			return modelpackage.LayForGDK(p, gdk)
		},
	}
	cmd.Flags().StringVar(&folder, "model", "", "folder with model.onnx and manifest.json (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to make")
	cmd.Flags().StringVar(&gdk, "gdk", "", "the folder greengrass-build that GDK has made")
	cmd.Flags().StringVar(&version, "component-version", "", "version of the component (default 1.0.0; publish sets the next)")
	return cmd
}

func (s *settings) makePackage(folder, out string, options modelpackage.Options) error {
	p, err := modelpackage.Build(folder, out, options)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(folder, model.SelfTestMaskName)); errors.Is(err, fs.ErrNotExist) {
		s.console.say("  the model has no self-test; run model-build verify --model %s before this, and devices can test themselves", folder)
	}
	for _, a := range p.Artifacts {
		s.console.say("  %s %s: %s, sha256 %s", p.Component, p.Version, a.Name(), a.SHA256)
	}
	return nil
}
