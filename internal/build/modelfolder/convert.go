package modelfolder

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/build/archive"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/model"
)

// ConvertOptions are the settings of Convert.
type ConvertOptions struct {
	// Manifest is the path of a manifest for models that have none; default that of
	// their kind.
	Manifest string
	// Outputs of an MXNet model to keep; default all that are no losses.
	Outputs []string
	// Shapes of inputs of an MXNet model by name, which go before those in its
	// NAME-shapes.json; default none.
	Shapes map[string][]int64
	// Version of the program, for the network; default none.
	Version string
	// Say is told what was done, for people; required.
	Say func(format string, a ...any)
}

// Convert writes the model at path, a folder or a symbol, to the folder out.
// record says where it comes from; what was done is added to it.
func Convert(path, out string, record model.Record, o ConvertOptions) error {
	kind, at, ignored, err := findModel(path)
	if err != nil {
		return err
	}
	SayLitter(o.Say, ignored)
	step := model.Step{Name: "convert"}
	var manifest *model.Manifest
	if kind == kindMXNet {
		manifest, step.Notes, err = convertMXNet(at, out, o)
	} else {
		manifest, err = passONNX(at, out, o)
		step.Notes = []string{"ONNX already; checked"}
	}
	if err != nil {
		return err
	}
	folder := filepath.Dir(at)
	if record.Metrics, err = model.ReadMetrics(filepath.Join(folder, "metrics.json")); err != nil {
		o.Say("the trainer's metrics are left out: %v", err)
	}
	step.SHA256 = manifest.SHA256
	record.Steps = []model.Step{step}
	if err := copyDocuments(folder, out); err != nil {
		return err
	}
	for _, note := range step.Notes {
		o.Say("  %s", note)
	}
	return WriteManifest(out, manifest, record)
}

// SayLitter names what is ignored, where there is something.
func SayLitter(say func(format string, a ...any), names []string) {
	if len(names) > 0 {
		say("  ignored, left by other programs: %s", some(names))
	}
}

// The kinds of models, and how the names of their files end.
const (
	kindONNX  = "ONNX"
	kindMXNet = "MXNet"

	// ONNXSuffix ends the name of a network, SymbolSuffix that of MXNet's graph.
	ONNXSuffix   = ".onnx"
	SymbolSuffix = "-symbol.json"
)

// findModel finds the one model at path or below it: the network of an ONNX
// model, the symbol of an MXNet model. ignored is what it did not look at.
func findModel(path string) (kind, at string, ignored []string, err error) {
	found := make(map[string]string) // kind by path
	err = filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
		relative, relErr := filepath.Rel(path, at)
		switch {
		case errors.Join(err, relErr) != nil:
			return errors.Join(err, relErr)
		case archive.IsLitter(filepath.ToSlash(relative)):
			ignored = append(ignored, relative)
			if entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir():
		case strings.HasSuffix(at, ONNXSuffix):
			found[at] = kindONNX
		case strings.HasSuffix(at, SymbolSuffix):
			found[at] = kindMXNet
		}
		return nil
	})
	if err != nil {
		return "", "", nil, fmt.Errorf("find the model: %w", err)
	}
	if len(found) == 0 {
		return "", "", nil, fmt.Errorf("there is no model in %s, neither NAME.onnx nor NAME-symbol.json; a training script must leave one in SM_MODEL_DIR", path)
	}
	if len(found) > 1 {
		return "", "", nil, fmt.Errorf("there are several models in %s (%s); leave the one to convert", path, strings.Join(slices.Sorted(maps.Keys(found)), ", "))
	}
	for at, kind := range found {
		return kind, at, ignored, nil
	}
	return "", "", nil, nil
}

// passONNX takes an ONNX model over as it is, if it keeps the rules.
func passONNX(network, out string, o ConvertOptions) (*model.Manifest, error) {
	graph, err := onnx.Read(network)
	if err != nil {
		return nil, err
	}
	sum, err := model.FileSHA256(network)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	var manifest *model.Manifest
	own := filepath.Join(filepath.Dir(network), model.ManifestName)
	switch _, statErr := os.Stat(own); {
	case o.Manifest != "":
		manifest, err = fillManifest(o.Manifest, sum)
	case errors.Is(statErr, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: there is no %s beside %s; give one by --manifest", model.ErrManifest, model.ManifestName, filepath.Base(network))
	default:
		manifest, _, err = model.Read(filepath.Dir(network))
		if err == nil && (manifest.File != filepath.Base(network) || manifest.SHA256 != sum) {
			err = fmt.Errorf("%w: the manifest is of %s with sha256 %s, and %s has %s", model.ErrChecksum, manifest.File, manifest.SHA256, filepath.Base(network), sum)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := checkTensors(graph, manifest); err != nil {
		return nil, err
	}
	manifest.File = networkName
	return manifest, copyFile(network, filepath.Join(out, networkName))
}

// checkTensors compares the graph's inputs and outputs with the manifest.
func checkTensors(graph *onnxpb.ModelProto, manifest *model.Manifest) error {
	have := make(map[string]int32)
	for _, info := range graph.GetGraph().GetInput() {
		have["input "+info.GetName()] = info.GetType().GetTensorType().GetElemType()
	}
	for _, info := range graph.GetGraph().GetOutput() {
		have["output "+info.GetName()] = info.GetType().GetTensorType().GetElemType()
	}
	want := map[string]string{"input " + manifest.Input.Name: manifest.Input.Type, "output " + manifest.Output.Name: manifest.Output.Type}
	if name := manifest.Normalisation.Input; name != "" {
		want["input "+name] = model.TypeFloat32
	}
	if s := manifest.Scores; s != nil {
		want["output "+s.Name], want["input "+s.Switch] = s.Type, typeBool
	}
	if j := manifest.Judgement; j != nil {
		want["output "+j.Name] = model.TypeFloat32
	}
	for name, kind := range want {
		got, ok := have[name]
		if !ok {
			return fmt.Errorf("%w: the network has no %s, but %s", model.ErrNetwork, name, strings.Join(slices.Sorted(maps.Keys(have)), ", "))
		}
		if elementTypes[got] != kind {
			return fmt.Errorf("%w: %s has elements of type %v, and the manifest says %s", model.ErrNetwork, name, onnxpb.TensorProto_DataType(got), kind)
		}
	}
	return nil
}

// typeBool is the type of a switch, which no manifest has to name.
const typeBool = "bool"

// elementTypes are the manifest's names.
var elementTypes = map[int32]string{
	int32(onnxpb.TensorProto_FLOAT): model.TypeFloat32, int32(onnxpb.TensorProto_UINT8): model.TypeUint8, int32(onnxpb.TensorProto_BOOL): typeBool,
}
