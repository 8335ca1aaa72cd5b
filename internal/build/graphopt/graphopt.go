// Package graphopt makes a segmentation network in ONNX form faster without
// changing what it computes: it folds normalisations into convolutions, writes
// activations in a form that ONNX Runtime runs fast, and puts the class decision
// into the graph, so that grey bytes go in and a mask of bytes comes out.
//
//	optimised, steps, err := graphopt.Optimise(model, graphopt.Options{AfterStep: prove})
//
// Each rewrite is named and can be applied by itself, so that a caller can compare
// masks before and after it. The package runs nothing. It is called by
// model-build.
package graphopt

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/brainseg/brainseg/internal/build/onnx"
	"github.com/brainseg/brainseg/internal/build/onnx/onnxpb"
)

// ErrModel: the model is not one that takes grey slices and gives scores or a
// mask. Every error of this package wraps it or one of package onnx.
var ErrModel = errors.New("the model cannot be optimised")

// Options are the settings of Optimise. The zero value is ready to use.
type Options struct {
	// Layout adds the rewrites that keep the tensors of x86-64 in the blocked
	// layout of its convolutions. They make other processors slower. Default off.
	Layout bool
	// KeepScores leaves the output as it is. Default: a graph that gives scores,
	// 1 x classes x height x width, gets one that gives the mask, 1 x height x
	// width, uint8, named mask.
	KeepScores bool
	// KeepFloats leaves the input as it is. Default: a graph that takes float32
	// gets one that takes uint8.
	KeepFloats bool
	// KeepPRelu leaves PRelu with several slopes as it is, where Layout has not
	// rewritten it. Before ONNX Runtime 1.27 it takes less time than a product and a
	// maximum: 1.6 ms instead of 2.2 in the ENet of 2018 on x86-64; from then on it
	// takes 13 on a real slice, and 6 on a pattern of which the processor can foretell
	// the signs. Default: it is rewritten.
	KeepPRelu bool
	// Scale and Offset make of a grey value what the network was trained with:
	// value * Scale + Offset. Default 1 and 0: the values themselves, 0 to 255.
	Scale, Offset float32
	// AfterStep is called with what a step has made of what was there before it.
	// An error ends Optimise. Input and output of the two may differ in type; see
	// TakesBytes and GivesMask. Default none.
	AfterStep func(step Step, before, after *onnxpb.ModelProto) error
}

// Step is a rewrite that has changed something.
type Step struct {
	// Name of the rewrite, as in fold-batch-norm.
	Name string
	// What it does, in a sentence.
	What string
	// Exact tells that every number stays the same, bit by bit. The others change
	// last bits of sums, so that a pixel between two classes may fall to either.
	Exact bool
	// Changed is the number of places.
	Changed int
}

// Rewrite is one kind of change.
type Rewrite struct {
	Name, What string
	Exact      bool
	apply      func(*graph) (changed bool, err error) // in one place
}

// Rewrites returns the rewrites that Optimise applies, in its order.
func Rewrites(opts Options) []Rewrite {
	var rewrites []Rewrite
	add := func(wanted bool, r Rewrite) {
		if wanted {
			rewrites = append(rewrites, r)
		}
	}
	add(true, Rewrite{"drop-identities", "nodes that pass their input on are left out", true, dropIdentity})
	add(true, Rewrite{"join-transposes", "padding between two transpositions pads the axes where they are", true, joinTransposes})
	add(true, Rewrite{"split-batch-norm", "normalisation of joined channels happens before they are joined", true, splitBatchNorm})
	add(true, Rewrite{"fold-batch-norm", "normalisation goes into the weights of the convolution before it", false, foldBatchNorm})
	add(!opts.KeepScores, Rewrite{"drop-softmax", "the largest score is the largest before softmax too", false, dropSoftmax})
	add(true, Rewrite{"blocks-of-pixels", "a transposed convolution whose kernel is its stride is a convolution that gives blocks of pixels", false, blocksOfPixels})
	add(!opts.KeepScores, Rewrite{"decide-classes", "the graph compares the scores and gives a mask of bytes", true, decideClasses})
	add(!opts.KeepFloats, Rewrite{"take-bytes", "the graph takes grey values as bytes and normalises them", true, takeBytes(opts.Scale, opts.Offset)})
	add(opts.Layout, Rewrite{"convolve-padding", "channels of zeros are added by a convolution", true, convolvePadding})
	add(opts.Layout, Rewrite{"convolve-joins", "channels are joined by the sum of convolutions", false, convolveJoins})
	add(opts.Layout, Rewrite{"convolve-prelu", "PRelu with a slope for each channel is a sum of convolutions of each channel", false, convolvePRelu})
	add(true, Rewrite{"rewrite-prelu", "PRelu is written as LeakyRelu where its slopes are equal, as a maximum where none is above 1, and as a sum otherwise", true, rewritePRelu(opts.KeepPRelu)})
	return rewrites
}

// Apply returns a copy of the model with the rewrite applied wherever it fits, and
// in how many places it was.
func (r Rewrite) Apply(model *onnxpb.ModelProto) (*onnxpb.ModelProto, int, error) {
	g, err := newGraph(proto.Clone(model).(*onnxpb.ModelProto))
	if err != nil {
		return nil, 0, err
	}
	places := 0
	for {
		changed, err := r.apply(g)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %s: %w", ErrModel, r.Name, err)
		}
		if !changed {
			break
		}
		// Every change takes away what it looks for; a mistake must not run forever.
		if places++; places > maxPlaces {
			return nil, 0, fmt.Errorf("%w: %s does not come to an end", ErrModel, r.Name)
		}
		g.tidy()
	}
	if err := onnx.Check(g.model); err != nil {
		return nil, 0, fmt.Errorf("after %s: %w", r.Name, err)
	}
	return g.model, places, nil
}

const maxPlaces = 1 << 16

// Optimise applies all rewrites to a copy of the model, and returns it with the
// steps that changed something.
func Optimise(model *onnxpb.ModelProto, opts Options) (*onnxpb.ModelProto, []Step, error) {
	if err := onnx.Check(model); err != nil {
		return nil, nil, fmt.Errorf("optimise the model: %w", err)
	}
	var steps []Step
	for _, rewrite := range Rewrites(opts) {
		after, changed, err := rewrite.Apply(model)
		if err != nil {
			return nil, nil, fmt.Errorf("optimise the model: %w", err)
		}
		if changed == 0 {
			continue
		}
		step := Step{Name: rewrite.Name, What: rewrite.What, Exact: rewrite.Exact, Changed: changed}
		if opts.AfterStep != nil {
			if err := opts.AfterStep(step, model, after); err != nil {
				return nil, nil, fmt.Errorf("optimise the model: after %s: %w", step.Name, err)
			}
		}
		model, steps = after, append(steps, step)
	}
	return model, steps, nil
}

// TakesBytes tells whether the model's first input is of type uint8.
func TakesBytes(model *onnxpb.ModelProto) bool { return bytesFirst(model.GetGraph().GetInput()) }

// GivesMask tells whether the model's first output is of type uint8.
func GivesMask(model *onnxpb.ModelProto) bool { return bytesFirst(model.GetGraph().GetOutput()) }

func bytesFirst(values []*onnxpb.ValueInfoProto) bool {
	return len(values) > 0 && values[0].GetType().GetTensorType().GetElemType() == onnx.Uint8
}
