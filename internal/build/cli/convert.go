package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/artifactfolder"
	"github.com/brainseg/brainseg/internal/build/modelfolder"
	"github.com/brainseg/brainseg/internal/model"
)

// convertOptions are the flags of convert.
type convertOptions struct {
	// Manifest is the path of a manifest for models that have none, "" for that
	// of their kind.
	Manifest string
	// Outputs of an MXNet model to keep; default all that are no losses.
	Outputs []string
	// InputShapes of an MXNet model; see modelfolder.ParseShapes.
	InputShapes []string
}

func (o *convertOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Manifest, "manifest", "", "manifest.json for a model that has none; file and sha256 are filled in")
	cmd.Flags().StringArrayVar(&o.InputShapes, "input-shape", nil, "shape of an input of an MXNet model without NAME-shapes.json, like data=1,1,256,256: batch, channels, height, width; the converted network takes any height and width where its operators let it")
	cmd.Flags().StringSliceVar(&o.Outputs, "output", nil, "output of an MXNet model to keep (default: all that are no losses)")
}

func (o *convertOptions) check() error {
	if _, err := modelfolder.ParseShapes(o.InputShapes); err != nil {
		return usageError{fmt.Errorf("--input-shape: %w", err)}
	}
	return present(map[string]string{"manifest": o.Manifest})
}

func convertCommand(s *settings) *cobra.Command {
	var o convertOptions
	var file, out string
	var limits archive.Limits
	cmd := &cobra.Command{
		Use:   "convert --file PATH --out DIR",
		Short: "Convert a model to ONNX with a manifest",
		Long: "Convert an MXNet model (NAME-symbol.json and NAME-0000.params) to ONNX, or check one that is ONNX already.\n" +
			"PATH is an artifact (.tar.gz, .zip), a folder, what pull made, NAME-symbol.json, or NAME.onnx.\n\n" +
			modelfolder.Cures,
		Example: "  model-build convert --file pulled --out converted\n" +
			"  model-build convert --file model.tar.gz --input-shape data=1,1,256,256 --out converted",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"file": file, "out": out}); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			err := fill(out, func(dir string) error {
				return artifactfolder.Use(cmd.Context(), file, dir, limits, s.console.say, func(path string, origin artifactfolder.Origin) error {
					return s.convert(path, origin, dir, o)
				})
			})
			if errors.Is(err, artifactfolder.ErrPart) {
				return usagef("--file %s is a part of a model; give its NAME%s, its NAME%s or its folder", file, modelfolder.SymbolSuffix, modelfolder.ONNXSuffix)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "artifact, folder, symbol or network (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to make (required)")
	limitFlags(cmd, &limits)
	o.flags(cmd)
	return cmd
}

// convert writes the model at path, a folder or a symbol, to the folder out.
func (s *settings) convert(path string, origin artifactfolder.Origin, out string, o convertOptions) error {
	shapes, err := modelfolder.ParseShapes(o.InputShapes)
	if err != nil {
		return err
	}
	task := s.console.display.Begin()
	defer task.End()
	task.Spin("converting")
	record := model.Record{Tool: tool(), TrainingJob: origin.TrainingJob, Artifact: origin.Artifact}
	return modelfolder.Convert(path, out, record, modelfolder.ConvertOptions{
		Manifest: o.Manifest, Outputs: o.Outputs, Shapes: shapes, Version: Version, Say: s.console.say,
	})
}
