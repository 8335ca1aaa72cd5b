package modelfolder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/build/graphopt"
	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/model"
)

// ErrAgreement: the rewritten model gives other masks.
var ErrAgreement = errors.New("the optimised model does not give the same masks")

// OptimiseOptions are the settings of Optimise.
type OptimiseOptions struct {
	// Golden is a folder of slices to compare on besides made ones; default none.
	Golden string
	// Library is as segmentation.Options have it.
	Library string
	// MinAgreement is the least share of pixels that must keep their class.
	MinAgreement float64
	// AMD64 adds the rewrites that are of use on x86-64 alone.
	AMD64 bool
	// Tool names the program in the record.
	Tool string
	// Say is told what was done, for people; required.
	Say func(format string, a ...any)
}

// Optimise writes the model in the folder from, made faster, to the folder to, and
// returns the digest of the network there.
func Optimise(ctx context.Context, from, to string, o OptimiseOptions) (string, error) {
	manifest, record, err := model.Read(from)
	if err != nil {
		return "", fmt.Errorf("optimise: %w", err)
	}
	network := filepath.Join(from, manifest.File)
	step := model.Step{Name: "optimise"}
	if manifest, step.Notes, err = rewrite(ctx, from, to, *manifest, o); err != nil {
		return "", fmt.Errorf("optimise %s: %w", network, err)
	}
	if err := copyDocuments(from, to); err != nil {
		return "", err
	}
	step.SHA256 = manifest.SHA256
	record.Tool, record.Steps = o.Tool, append(record.Steps, step)
	for _, note := range step.Notes {
		o.Say("  %s", note)
	}
	return manifest.SHA256, WriteManifest(to, manifest, record)
}

// rewriter optimises a network and proves each rewrite on the spot: it opens what
// was there before and what is there after as the component would, and compares
// their masks.
type rewriter struct {
	ctx      context.Context
	options  OptimiseOptions
	manifest model.Manifest
	work     string
	before   string // folder of the model before the rewrite at hand
	notes    []string
	slices   int
}

// rewrite writes the model in the folder from, made faster, to the folder to. It
// returns the manifest in line with it and what was done, for people.
func rewrite(ctx context.Context, from, to string, manifest model.Manifest, o OptimiseOptions) (*model.Manifest, []string, error) {
	graph, err := onnx.Read(filepath.Join(from, manifest.File))
	if err != nil {
		return nil, nil, err
	}
	version, err := modelcheck.RuntimeVersion(from, o.Library)
	if err != nil {
		return nil, nil, fmt.Errorf("try it before anything is changed: %w", err)
	}
	work, err := os.MkdirTemp("", "model-build-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(work)
	r := &rewriter{ctx: ctx, options: o, manifest: manifest, work: work, before: from}
	after, steps, err := graphopt.Optimise(graph, graphopt.Options{Layout: o.AMD64, KeepPRelu: fastPRelu(version), AfterStep: r.prove})
	if err != nil {
		return nil, nil, err
	}
	if len(steps) == 0 {
		manifest.File = networkName
		return &manifest, []string{"nothing to rewrite"}, copyFile(filepath.Join(from, r.manifest.File), filepath.Join(to, networkName))
	}
	r.notes = append(r.notes, fmt.Sprintf("compared on %d slices after each; rewritten for ONNX Runtime %s", r.slices, version))
	written, err := writeModel(to, after, manifest)
	return written, r.notes, err
}

// fastPRelu tells whether a version of ONNX Runtime runs PRelu faster than what
// it can be written as.
func fastPRelu(version string) bool {
	var major, minor int
	n, err := fmt.Sscanf(version, "%d.%d", &major, &minor)
	return n == 2 && err == nil && major == 1 && minor < 27
}

// prove is called after each rewrite.
func (r *rewriter) prove(step graphopt.Step, _, graph *onnxpb.ModelProto) error {
	after := filepath.Join(r.work, step.Name)
	if err := os.Mkdir(after, 0o750); err != nil {
		return err
	}
	manifest, err := writeModel(after, graph, r.manifest)
	if err != nil {
		return err
	}
	if err := WriteManifest(after, manifest, model.Record{}); err != nil {
		return err
	}
	c, err := modelcheck.Compare(r.ctx, r.before, after, r.options.Golden, r.options.Library)
	if err != nil {
		return fmt.Errorf("compare the masks before and after: %w", err)
	}
	if c.Agreement() < r.options.MinAgreement {
		return fmt.Errorf("%w: %d of %d pixels on %d slices have another class", ErrAgreement, c.Different, c.Pixels, c.Slices)
	}
	places := "1 place"
	if step.Changed != 1 {
		places = fmt.Sprintf("%d places", step.Changed)
	}
	r.notes = append(r.notes, fmt.Sprintf("%s in %s: %s; %d of %d pixels differ", step.Name, places, step.What, c.Different, c.Pixels))
	r.before, r.slices = after, c.Slices
	return nil
}

// writeModel writes the network to the folder dir and returns the manifest that
// fits it: input and output may have become bytes.
func writeModel(dir string, graph *onnxpb.ModelProto, manifest model.Manifest) (*model.Manifest, error) {
	path := filepath.Join(dir, networkName)
	if err := onnx.Write(path, graph); err != nil {
		return nil, err
	}
	var err error
	manifest.File = networkName
	if manifest.SHA256, err = model.FileSHA256(path); err != nil {
		return nil, err
	}
	if manifest.Input.Type == model.TypeFloat32 && graphopt.TakesBytes(graph) {
		manifest.Input.Name, manifest.Input.Type = graph.GetGraph().GetInput()[0].GetName(), model.TypeUint8
	}
	if manifest.Output.Type == model.TypeFloat32 && graphopt.GivesMask(graph) {
		manifest.Output = model.Output{Name: graph.GetGraph().GetOutput()[0].GetName(), Type: model.TypeUint8, Layout: model.LayoutNHW}
	}
	return &manifest, checkTensors(graph, &manifest)
}
