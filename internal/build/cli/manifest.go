package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/brainseg/brainseg/internal/build/mxnet"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/provenance"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// fillManifest reads a manifest that somebody wrote for a network with the digest
// sum.
func fillManifest(path, sum string) (*segmentation.Manifest, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", segmentation.ErrManifest, err)
	}
	var fields map[string]any
	err = json.Unmarshal(document, &fields)
	if err == nil && fields == nil {
		err = errors.New("it is null")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not a JSON object: %w", segmentation.ErrManifest, path, err)
	}
	fields["file"], fields["sha256"] = networkName, sum
	if document, err = json.Marshal(fields); err != nil {
		return nil, fmt.Errorf("%w: %w", segmentation.ErrManifest, err)
	}
	manifest, err := segmentation.ParseManifest(document)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return manifest, nil
}

// convertMXNet converts the model of a symbol. Its manifest is that of the
// seed's kind: grey values 0 to 255 as they are, scores for each class.
func convertMXNet(symbol, out string, o convertOptions) (*segmentation.Manifest, []string, error) {
	source, err := mxnet.Load(symbol)
	if err != nil {
		return nil, nil, err
	}
	model, report, err := source.ToONNX(mxnet.Options{Outputs: o.Outputs, Version: Version})
	if err != nil {
		return nil, nil, err
	}
	network := filepath.Join(out, networkName)
	if err := onnx.Write(network, model); err != nil {
		return nil, nil, err
	}
	sum, err := provenance.FileSHA256(network)
	if err != nil {
		return nil, nil, err
	}
	var manifest *segmentation.Manifest
	if o.Manifest != "" {
		manifest, err = fillManifest(o.Manifest, sum)
	} else {
		manifest, err = seedManifest(model, report, sum)
	}
	if err != nil {
		return nil, nil, err
	}
	return manifest, conversionNotes(report), checkTensors(model, manifest)
}

// conversionNotes say what was done, for people.
func conversionNotes(report *mxnet.Report) []string {
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

// tissues are the classes of the seed's models.
var tissues = []segmentation.Class{
	{Value: 0, Name: "background", Colour: "#000000"},
	{Value: 1, Name: "csf", Colour: "#3b7dd8"},
	{Value: 2, Name: "grey-matter", Colour: "#7f7f7f"},
	{Value: 3, Name: "white-matter", Colour: "#f2f2f2"},
}

// seedManifest is the manifest of a converted model that keeps to what the seed's
// have: one image of one channel in, scores of four classes out.
func seedManifest(model *onnxpb.ModelProto, report *mxnet.Report, sum string) (*segmentation.Manifest, error) {
	const cure = "; give a manifest that fits by --manifest, or name the output by --output"
	inputs, outputs := model.GetGraph().GetInput(), model.GetGraph().GetOutput()
	if len(inputs) != 1 || len(outputs) != 1 {
		return nil, fmt.Errorf("%w: the network has %d inputs and %d outputs instead of one each%s", segmentation.ErrModel, len(inputs), len(outputs), cure)
	}
	in, out := onnx.Dims(inputs[0]), onnx.Dims(outputs[0])
	if len(in) != 4 || in[1].Size != 1 {
		return nil, fmt.Errorf("%w: input %s is not 1 x 1 x height x width%s", segmentation.ErrModel, inputs[0].GetName(), cure)
	}
	if len(out) != 4 || out[1].Size != int64(len(tissues)) {
		return nil, fmt.Errorf("%w: output %s is not 1 x %d x height x width, scores of background, CSF, grey and white matter%s", segmentation.ErrModel, outputs[0].GetName(), len(tissues), cure)
	}
	if !report.Dynamic {
		return nil, fmt.Errorf("%w: the network takes images of one size only, because of %s; the component needs any size", segmentation.ErrModel, report.FixedBecause)
	}
	return &segmentation.Manifest{
		SchemaVersion: segmentation.SchemaVersion,
		Name:          "brain-segmentation-mxnet",
		Version:       "1.0.0",
		File:          networkName,
		SHA256:        sum,
		Input:         segmentation.Input{Name: inputs[0].GetName(), Type: typeFloat32, Layout: "NCHW", Channels: 1, SizeMultiple: max(report.SizeMultiple, 1)},
		Normalisation: segmentation.Normalisation{Kind: "none"},
		Output:        segmentation.Output{Name: outputs[0].GetName(), Type: typeFloat32, Layout: "NCHW"},
		Classes:       tissues,
		Parameters:    report.Parameters,
	}, nil
}
