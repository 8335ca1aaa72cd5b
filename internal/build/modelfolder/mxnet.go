package modelfolder

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/mxnet/toonnx"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/model"
)

// fillManifest reads a manifest that somebody wrote for a network with the digest
// sum.
func fillManifest(path, sum string) (*model.Manifest, error) {
	document, err := boundedfile.Read(path, maxDocumentBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrManifest, err)
	}
	var fields map[string]any
	err = json.Unmarshal(document, &fields)
	if err == nil && fields == nil {
		err = errors.New("it is null")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a JSON object: %w", model.ErrManifest, path, err)
	}
	fields["file"], fields["sha256"] = networkName, sum
	if document, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrManifest, err)
	}
	manifest, err := model.ParseManifest(document)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return manifest, nil
}

// convertMXNet converts the model of a symbol. Its manifest is that of the
// kind of 2018: grey values 0 to 255 as they are, scores for each class.
func convertMXNet(symbol, out string, o ConvertOptions) (*model.Manifest, []string, error) {
	source, err := mxnet.Load(symbol)
	if err != nil {
		return nil, nil, err
	}
	for name := range o.Shapes {
		if !source.HasInput(name) {
			return nil, nil, fmt.Errorf("--input-shape %s: the network has no input of that name", name)
		}
	}
	graph, report, err := toonnx.Convert(source, toonnx.Options{Shapes: o.Shapes, Outputs: o.Outputs, Version: o.Version})
	if err != nil {
		return nil, nil, withCure(err)
	}
	network := filepath.Join(out, networkName)
	if err := onnx.Write(network, graph); err != nil {
		return nil, nil, err
	}
	sum, err := model.FileSHA256(network)
	if err != nil {
		return nil, nil, err
	}
	var manifest *model.Manifest
	if o.Manifest != "" {
		manifest, err = fillManifest(o.Manifest, sum)
	} else {
		manifest, err = classic2018Manifest(graph, report, sum)
	}
	if err != nil {
		return nil, nil, err
	}
	return manifest, conversionNotes(report), checkTensors(graph, manifest)
}

// withCure adds to an error of the conversion what can be done about it.
func withCure(err error) error {
	var shape *mxnet.ShapeError
	switch {
	case errors.As(err, &shape):
		return fmt.Errorf("%w; if it is the network's input, say --input-shape %s=1,1,HEIGHT,WIDTH with a size that the network takes; if not, the files are not those of one model", err, shape.Variable)
	case errors.Is(err, mxnet.ErrUnsupported):
		return fmt.Errorf("%w; see model-build convert --help for what to do about it", err)
	}
	return err
}

// conversionNotes say what was done, for people.
func conversionNotes(report *toonnx.Report) []string {
	from := "MXNet"
	if report.MXNetVersion != "" {
		from += " " + report.MXNetVersion
	}
	nodes := 0
	for _, n := range report.Operators {
		nodes += n
	}
	notes := []string{fmt.Sprintf("converted from %s: %d nodes, %d parameters", from, nodes, report.Parameters)}
	if len(report.Dropped) > 0 {
		notes = append(notes, "left out, of training only: "+some(report.Dropped))
	}
	if len(report.UnusedParameters) > 0 {
		notes = append(notes, "parameters that nothing uses: "+some(report.UnusedParameters))
	}
	if !report.Dynamic {
		notes = append(notes, "takes one size of image only, because of "+report.FixedBecause)
	}
	return notes
}

// some names the first few.
func some(names []string) string {
	const few = 4
	if len(names) <= few+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// classic2018Manifest is the manifest of a converted model that keeps to what
// those of 2018 have: one image of one channel in, scores of four classes out.
func classic2018Manifest(graph *onnxpb.ModelProto, report *toonnx.Report, sum string) (*model.Manifest, error) {
	const cure = "; give a manifest that fits by --manifest, or name the output by --output"
	inputs, outputs := graph.GetGraph().GetInput(), graph.GetGraph().GetOutput()
	if len(inputs) != 1 || len(outputs) != 1 {
		return nil, fmt.Errorf("%w: the network has %d inputs and %d outputs instead of one each%s", model.ErrNetwork, len(inputs), len(outputs), cure)
	}
	in, out := onnx.Dims(inputs[0]), onnx.Dims(outputs[0])
	if len(in) != 4 || in[1].Size != 1 {
		return nil, fmt.Errorf("%w: input %s is not 1 x 1 x height x width%s", model.ErrNetwork, inputs[0].GetName(), cure)
	}
	if len(out) != 4 || out[1].Size != int64(len(model.Tissues)) {
		return nil, fmt.Errorf("%w: output %s is not 1 x %d x height x width, scores of background, CSF, grey and white matter%s", model.ErrNetwork, outputs[0].GetName(), len(model.Tissues), cure)
	}
	if !report.Dynamic {
		return nil, fmt.Errorf("%w: the network takes images of one size only, and the component needs any size; see model-build convert --help for what to do about it (%s)", model.ErrNetwork, report.FixedBecause)
	}
	return &model.Manifest{
		SchemaVersion: model.SchemaVersion,
		Name:          "brain-segmentation-mxnet",
		Version:       "1.0.0",
		File:          networkName,
		SHA256:        sum,
		Input:         model.Input{Name: inputs[0].GetName(), Type: model.TypeFloat32, Layout: model.LayoutNCHW, Channels: 1, SizeMultiple: max(report.SizeMultiple, 1)},
		Normalisation: model.Normalisation{Kind: model.NormalisationNone},
		Output:        model.Output{Name: outputs[0].GetName(), Type: model.TypeFloat32, Layout: model.LayoutNCHW},
		Classes:       model.Tissues,
		Parameters:    report.Parameters,
	}, nil
}
