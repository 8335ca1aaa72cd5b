// Package scans carries a whole scan from its path to its results: it reads it,
// has a network segment its planes, judges what came out, and makes the files
// that people and other programs use.
//
// It takes no requests, decides nothing about places and names, and opens no
// model: the command volume and the engine do, and call Segment and Result.Files.
// What is wrong with a scan is a *volume.Refusal, whoever asks. Nothing that
// names a patient leaves but in the DICOM objects, which belong to the study.
package scans

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/brainseg/brainseg/internal/device/memory"
	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
	"github.com/brainseg/brainseg/internal/volume/scan"
	"github.com/brainseg/brainseg/internal/volume/threeplane"
)

// Network segments slices and says what its classes mean; a segmentation.Model
// is one. It is used from several goroutines.
type Network interface {
	threeplane.Segmenter
	Manifest() *model.Manifest
}

// Options are the settings of Segment. The zero value works.
type Options struct {
	// Read decides where the files leave a choice. Default: nothing.
	Read volume.Options
	// Kinds are the results that Files makes. Default: Usual.
	Kinds []Kind
	// Deidentify leaves patient and study out of DICOM objects. Default: they are
	// those of the images.
	Deidentify bool
	// Planes are the planes to run. Default: all that have resolution.
	Planes []volume.Plane
	// Workers is the number of slices in work at once. Default: one a processor.
	Workers int
	// Progress, if not nil, is told from one goroutine at a time how many slices
	// are done.
	Progress func(done, total int)
	// Version of the program, for DICOM objects. Default "".
	Version string
	// Memory tells how many bytes of memory there are. Default: memory.Available.
	Memory func() int64
}

// Result is a segmented scan. It keeps the scan and its labels in memory.
type Result struct {
	// Report has the figures, and whether they can be trusted.
	Report report.Report

	input report.Input
	// probability is nil unless the kinds have Probabilities.
	probability func(class uint8) []uint8
	origin      scan.Origin
	manifest    *model.Manifest
	opts        Options
}

// Check tells before any scan is read whether results of these kinds can be made
// with a model. The error is one sentence for whoever asked.
func Check(kinds []Kind, manifest *model.Manifest) error {
	for _, k := range kinds {
		if !slices.Contains(request.Kinds, k) {
			return fmt.Errorf("there is no result called %q", string(k))
		}
	}
	if slices.Contains(kinds, SEG) {
		if err := seg.CheckClasses(segClasses(manifest)); err != nil {
			return fmt.Errorf("%s: %w", SEG, err)
		}
	}
	if slices.Contains(kinds, Probabilities) && (manifest.Scores == nil || len(manifest.Classes) > threeplane.MaxScored) {
		return fmt.Errorf("%s: the model gives no scores of at most %d classes, of which they are made", Probabilities, threeplane.MaxScored)
	}
	if slices.Contains(kinds, SR) && !slices.Contains(kinds, SEG) {
		return fmt.Errorf("%s: it refers to the segments of %s, so ask for both", SR, SEG)
	}
	return nil
}

// Segment reads the scan at path, a NIfTI file or a folder, zip or file of DICOM
// images, and segments it. The error is a *volume.Refusal, the network's, or the
// context's.
func Segment(ctx context.Context, path string, network Network, opts Options) (*Result, error) {
	if len(opts.Kinds) == 0 {
		opts.Kinds = Usual
	}
	if opts.Memory == nil {
		opts.Memory = memory.Available
	}
	defer frugal()()
	start := time.Now()
	allowed := opts.Read.Limit()
	opts.Read.MaxVoxels = fitting(allowed, opts.Memory(), bytesPerVoxel)
	s, origin, err := scan.Read(ctx, path, opts.Read)
	if err != nil {
		return nil, forWantOfMemory(err, opts.Read.MaxVoxels < allowed)
	}
	if err := checkOrigin(opts.Kinds, origin.DICOM); err != nil {
		return nil, err
	}
	manifest := network.Manifest()
	most := fitting(volume.MaxVoxels, opts.Memory(), bytesPerNetworkVoxel)
	segmented, err := threeplane.Segment(ctx, &s.Volume, segmentation.Scorer{Segmenter: network}, threeplane.Options{
		Classes: len(manifest.Classes), Scored: manifest.Scores != nil, Probabilities: slices.Contains(opts.Kinds, Probabilities), Planes: opts.Planes, Workers: opts.Workers, Progress: opts.Progress, MaxVoxels: most,
	})
	switch {
	case errors.Is(err, threeplane.ErrEmpty):
		return nil, volume.Refuse(volume.CodeNoSignal, err.Error(), "look at the scan in a viewer")
	case errors.Is(err, threeplane.ErrTooLarge):
		err = volume.Refuse(volume.CodeTooLarge, err.Error(), "correct the voxel sizes if they are wrong, or cut the scan to the head")
		return nil, forWantOfMemory(err, most < volume.MaxVoxels)
	case err != nil:
		return nil, err
	}
	in := report.Input{
		Scan: &s.Volume, Labels: segmented.Labels, Classes: reportClasses(manifest),
		Planes: segmented.Planes, Slices: segmented.Slices, Agreement: segmented.Agreement, Thick: segmented.Thick,
		Confidence: segmented.Confidence, Known: segmented.Known,
		Model:    report.Model{Name: manifest.Name, Version: manifest.Version, SHA256: manifest.SHA256},
		Warnings: s.Warnings, Seconds: time.Since(start).Seconds(),
	}
	return &Result{Report: report.Make(in), input: in, probability: segmented.Probability, origin: origin, manifest: manifest, opts: opts}, nil
}

// WriteFolder writes the results to files in a folder that exists, called after
// name, each whole or not at all.
func (r *Result) WriteFolder(folder, name string) error {
	for _, file := range r.Files(name) {
		if err := report.WriteFile(filepath.Join(folder, name+file.Suffix), file.Write); err != nil {
			return err
		}
	}
	return nil
}

func reportClasses(manifest *model.Manifest) []report.Class {
	var classes []report.Class
	for _, c := range manifest.Classes {
		classes = append(classes, report.Class{Value: c.Value, Name: c.Name, Colour: c.Colour})
	}
	return classes
}
