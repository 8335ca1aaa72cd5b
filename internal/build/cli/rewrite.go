package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/build/graphopt"
	"github.com/brainseg/brainseg/internal/build/modelcheck"
	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
	"github.com/brainseg/brainseg/internal/build/provenance"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// rewriter optimises a network and proves each rewrite on the spot: it opens what
// was there before and what is there after as the component would, and compares
// their masks.
type rewriter struct {
	ctx      context.Context
	options  optimiseOptions
	manifest segmentation.Manifest
	work     string
	before   string // folder of the model before the rewrite at hand
	notes    []string
	slices   int
}

// rewrite writes the model in the folder from, made faster, to the folder to. It
// returns the manifest in line with it and what was done, for people. amd64 adds
// the rewrites that are of use on x86-64 alone.
func rewrite(ctx context.Context, from, to string, manifest segmentation.Manifest, o optimiseOptions, amd64 bool) (*segmentation.Manifest, []string, error) {
	model, err := onnx.Read(filepath.Join(from, manifest.File))
	if err != nil {
		return nil, nil, err
	}
	version, err := modelcheck.RuntimeVersion(from, findLibrary(o.Library))
	if err != nil {
		return nil, nil, fmt.Errorf("try it before anything is changed: %w", err)
	}
	work, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(work)
	r := &rewriter{ctx: ctx, options: o, manifest: manifest, work: work, before: from}
	after, steps, err := graphopt.Optimise(model, graphopt.Options{Layout: amd64, KeepPRelu: fastPRelu(version), AfterStep: r.prove})
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
func (r *rewriter) prove(step graphopt.Step, _, model *onnxpb.ModelProto) error {
	after := filepath.Join(r.work, step.Name)
	if err := os.Mkdir(after, 0o750); err != nil {
		return err
	}
	manifest, err := writeModel(after, model, r.manifest)
	if err != nil {
		return err
	}
	if err := provenance.Write(after, manifest, provenance.Record{}); err != nil {
		return err
	}
	c, err := modelcheck.Compare(r.ctx, r.before, after, r.options.Golden, findLibrary(r.options.Library))
	if err != nil {
		return fmt.Errorf("compare the masks before and after: %w", err)
	}
	if c.Agreement() < r.options.MinAgreement {
		return fmt.Errorf("%w: %d of %d pixels on %d slices have another class", errAgreement, c.Different, c.Pixels, c.Slices)
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
func writeModel(dir string, model *onnxpb.ModelProto, manifest segmentation.Manifest) (*segmentation.Manifest, error) {
	path := filepath.Join(dir, networkName)
	if err := onnx.Write(path, model); err != nil {
		return nil, err
	}
	var err error
	manifest.File = networkName
	if manifest.SHA256, err = provenance.FileSHA256(path); err != nil {
		return nil, err
	}
	if manifest.Input.Type == typeFloat32 && graphopt.TakesBytes(model) {
		manifest.Input.Name, manifest.Input.Type = model.GetGraph().GetInput()[0].GetName(), typeUint8
	}
	if manifest.Output.Type == typeFloat32 && graphopt.GivesMask(model) {
		manifest.Output = segmentation.Output{Name: model.GetGraph().GetOutput()[0].GetName(), Type: typeUint8, Layout: "NHW"}
	}
	return &manifest, checkTensors(model, &manifest)
}
