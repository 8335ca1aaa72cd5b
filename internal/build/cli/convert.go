package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/provenance"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// networkName is the network's file name after every step.
const networkName = "model.onnx"

// convertOptions are the flags of convert.
type convertOptions struct {
	// Manifest is the path of a manifest for models that have none, "" for that
	// of their kind.
	Manifest string
	// Outputs of an MXNet model to keep; default all that are no losses.
	Outputs []string
}

func (o *convertOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.Manifest, "manifest", "", "manifest.json for a model that has none; file and sha256 are filled in")
	cmd.Flags().StringSliceVar(&o.Outputs, "output", nil, "output of an MXNet model to keep (default: all that are no losses)")
}

func (o *convertOptions) check() error { return present(map[string]string{"manifest": o.Manifest}) }

func convertCommand(s *settings) *cobra.Command {
	var o convertOptions
	var file, out string
	var limits archive.Limits
	cmd := &cobra.Command{
		Use:   "convert --file PATH --out DIR",
		Short: "Convert a model to ONNX with a manifest",
		Long: "Convert an MXNet model (NAME-symbol.json and NAME-0000.params) to ONNX, or check one that is ONNX already.\n" +
			"PATH is an artifact (.tar.gz, .zip), a folder, what pull made, NAME-symbol.json, or NAME.onnx.",
		Example: "  model-build convert --file pulled --out converted",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := required(map[string]string{"file": file, "out": out}); err != nil {
				return err
			}
			if err := o.check(); err != nil {
				return err
			}
			return fill(out, func(dir string) error { return s.convertAny(cmd.Context(), file, dir, o, limits) })
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "artifact, folder, symbol or network (required)")
	cmd.Flags().StringVar(&out, "out", "", "folder to make (required)")
	limitFlags(cmd, &limits)
	o.flags(cmd)
	return cmd
}

// convertAny finds out what path is.
func (s *settings) convertAny(ctx context.Context, path, out string, o convertOptions, limits archive.Limits) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("convert: %w", err)
	}
	var origin pulled
	switch {
	case info.IsDir():
		document, err := os.ReadFile(filepath.Join(path, pulledName))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err == nil {
			err = json.Unmarshal(document, &origin)
		}
		if err != nil {
			return fmt.Errorf("convert: read where the artifact comes from: %w", err)
		}
		path = filepath.Join(path, artifactDir)
	case strings.HasSuffix(path, symbolSuffix), strings.HasSuffix(path, onnxSuffix):
	case strings.HasSuffix(path, ".params"), strings.HasSuffix(path, ".json"):
		return usagef("--file %s is a part of a model; give its NAME%s, its NAME%s or its folder", path, symbolSuffix, onnxSuffix)
	default:
		sum, err := provenance.FileSHA256(path)
		if err != nil {
			return fmt.Errorf("convert: %w", err)
		}
		origin.Artifact = &provenance.Artifact{Source: filepath.Base(path), SHA256: sum, Bytes: info.Size()}
		unpacked, err := os.MkdirTemp(filepath.Dir(out), temporaryPrefix)
		if err != nil {
			return fmt.Errorf("convert: %w", err)
		}
		defer os.RemoveAll(unpacked)
		if _, err := unpackArchive(ctx, path, path, unpacked, limits); err != nil {
			return err
		}
		path = unpacked
	}
	return s.convert(path, origin, out, o)
}

// convert writes the model at path, a folder or a symbol, to the folder out.
func (s *settings) convert(path string, origin pulled, out string, o convertOptions) error {
	kind, at, err := findModel(path)
	if err != nil {
		return err
	}
	step := provenance.Step{Name: "convert"}
	var manifest *segmentation.Manifest
	if kind == kindMXNet {
		manifest, step.Notes, err = convertMXNet(at, out, o)
	} else {
		manifest, err = passONNX(at, out, o)
		step.Notes = []string{"ONNX already; checked"}
	}
	if err != nil {
		return err
	}
	record := provenance.Record{Tool: tool(), TrainingJob: origin.TrainingJob, Artifact: origin.Artifact}
	folder := filepath.Dir(at)
	if record.Metrics, err = provenance.ReadMetrics(filepath.Join(folder, "metrics.json")); err != nil {
		s.console.say("the trainer's metrics are left out: %v", err)
	}
	step.SHA256 = manifest.SHA256
	record.Steps = []provenance.Step{step}
	if err := copyDocuments(folder, out); err != nil {
		return err
	}
	for _, note := range step.Notes {
		s.console.say("  %s", note)
	}
	return provenance.Write(out, manifest, record)
}

// The kinds of models, and how the names of their files end.
const (
	kindONNX     = "ONNX"
	kindMXNet    = "MXNet"
	onnxSuffix   = ".onnx"
	symbolSuffix = "-symbol.json"
)

// findModel finds the one model at path or below it: the network of an ONNX
// model, the symbol of an MXNet model.
func findModel(path string) (kind, at string, err error) {
	found := make(map[string]string) // kind by path
	err = filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil || entry.IsDir():
			return err
		case strings.HasSuffix(path, onnxSuffix):
			found[path] = kindONNX
		case strings.HasSuffix(path, symbolSuffix):
			found[path] = kindMXNet
		}
		return nil
	})
	if err != nil {
		return "", "", fmt.Errorf("find the model: %w", err)
	}
	if len(found) == 0 {
		return "", "", fmt.Errorf("find the model in %s: there is neither NAME.onnx nor NAME-symbol.json; a training script must leave one in SM_MODEL_DIR", path)
	}
	if len(found) > 1 {
		return "", "", fmt.Errorf("find the model in %s: there are several (%s); leave the one to convert", path, strings.Join(slices.Sorted(maps.Keys(found)), ", "))
	}
	for at, kind := range found {
		return kind, at, nil
	}
	return "", "", nil
}

// passONNX takes an ONNX model over as it is, if it keeps the rules.
func passONNX(network, out string, o convertOptions) (*segmentation.Manifest, error) {
	model, err := onnx.Read(network)
	if err != nil {
		return nil, err
	}
	sum, err := provenance.FileSHA256(network)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	var manifest *segmentation.Manifest
	own := filepath.Join(filepath.Dir(network), segmentation.ManifestName)
	switch _, statErr := os.Stat(own); {
	case o.Manifest != "":
		manifest, err = fillManifest(o.Manifest, sum)
	case errors.Is(statErr, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no %s beside %s; give one by --manifest", segmentation.ErrManifest, segmentation.ManifestName, filepath.Base(network))
	default:
		manifest, _, err = provenance.Read(filepath.Dir(network))
		if err == nil && (manifest.File != filepath.Base(network) || manifest.SHA256 != sum) {
			err = fmt.Errorf("%w: the manifest is of %s with sha256 %s, and %s has %s", segmentation.ErrChecksum, manifest.File, manifest.SHA256, filepath.Base(network), sum)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := checkTensors(model, manifest); err != nil {
		return nil, err
	}
	manifest.File = networkName
	return manifest, copyFile(network, filepath.Join(out, networkName))
}

// checkTensors compares the graph's inputs and outputs with the manifest.
func checkTensors(model *onnxpb.ModelProto, manifest *segmentation.Manifest) error {
	have := make(map[string]int32)
	for _, info := range model.GetGraph().GetInput() {
		have["input "+info.GetName()] = info.GetType().GetTensorType().GetElemType()
	}
	for _, info := range model.GetGraph().GetOutput() {
		have["output "+info.GetName()] = info.GetType().GetTensorType().GetElemType()
	}
	want := map[string]string{"input " + manifest.Input.Name: manifest.Input.Type, "output " + manifest.Output.Name: manifest.Output.Type}
	if name := manifest.Normalisation.Input; name != "" {
		want["input "+name] = typeFloat32
	}
	for name, kind := range want {
		got, ok := have[name]
		if !ok {
			return fmt.Errorf("%w: the network has no %s, but %s", segmentation.ErrModel, name, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
		}
		if elementTypes[got] != kind {
			return fmt.Errorf("%w: %s has elements of type %v, and the manifest says %s", segmentation.ErrModel, name, onnxpb.TensorProto_DataType(got), kind)
		}
	}
	return nil
}

const (
	typeFloat32 = "float32"
	typeUint8   = "uint8"
)

// elementTypes are the manifest's names.
var elementTypes = map[int32]string{int32(onnxpb.TensorProto_FLOAT): typeFloat32, int32(onnxpb.TensorProto_UINT8): typeUint8}
