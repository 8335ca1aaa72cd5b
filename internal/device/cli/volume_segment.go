package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/progress"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
	"github.com/brainseg/brainseg/internal/volume/nifti"
	"github.com/brainseg/brainseg/internal/volume/scan"
	"github.com/brainseg/brainseg/internal/volume/threeplane"
)

// The ends of the names of a scan's results.
const (
	labelsSuffix  = "_dseg.nii.gz"
	bidsSuffix    = "_dseg.tsv"
	snapSuffix    = "_dseg.label.txt"
	reportSuffix  = "_report.html"
	pictureSuffix = "_report.png"
	figuresSuffix = "_volumes.json"
	segSuffix     = "_seg.dcm"
	tableName     = "volumes.csv"
)

// checkResults refuses scans of which two would share their results, or one would
// be replaced by another's: BIDS and others name files as results are named.
func (f *volumeFlags) checkResults(paths []string) error {
	names := make(map[string]string)
	scans := make(map[inode]string)
	for _, path := range paths {
		name := scan.Name(path)
		if other, taken := names[name]; taken {
			return fmt.Errorf("%s and %s would both be written to %s; use two folders", other, path, filepath.Join(f.out, name+labelsSuffix))
		}
		names[name] = path
		if info, err := os.Stat(path); err == nil { // of others the reader tells
			scans[inodeOf(info)] = path
		}
	}
	for name, path := range names {
		for _, suffix := range []string{labelsSuffix, bidsSuffix, snapSuffix, reportSuffix, pictureSuffix, figuresSuffix, segSuffix} {
			result := filepath.Join(f.out, name+suffix)
			if info, err := os.Stat(result); err == nil && scans[inodeOf(info)] != "" {
				return fmt.Errorf("%s would be overwritten by a result of %s; choose another --out", scans[inodeOf(info)], path)
			}
		}
	}
	return nil
}

// segmentScans segments scans one after the other. One that is refused or fails
// does not keep the others from being done.
func (f *volumeFlags) segmentScans(ctx context.Context, paths []string, stdout, stderr io.Writer) error {
	if err := f.checkResults(paths); err != nil {
		return usageError{err}
	}
	// A scan is a few large pieces of memory: collecting garbage often costs little,
	// and keeps the peak near what is in use.
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	network, err := segmentation.Open(f.model, segmentation.Options{Library: f.library})
	if err != nil {
		return fmt.Errorf("open the model: %w", err)
	}
	defer network.Close()
	if f.seg {
		if err := seg.CheckClasses(f.segOptions(network.Manifest()).Classes); err != nil {
			return usageError{fmt.Errorf("--seg: %w", err)}
		}
	}
	if err := os.MkdirAll(f.out, 0o750); err != nil {
		return fmt.Errorf("make the folder for results: %w", err)
	}
	display := progress.New(stdout, stderr)
	defer display.Close()
	refused, failed := 0, 0
	for i, path := range paths {
		err := f.segmentScan(ctx, path, network, display)
		var refusal *volume.Refusal
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted after %d of %d scans", i, len(paths))
		case errors.As(err, &refusal):
			refused++
			fmt.Fprintf(display.Messages(), "brainseg: %s: refused (%s): %v\n", path, refusal.Code, refusal)
		default:
			failed++
			fmt.Fprintf(display.Messages(), "brainseg: %s: %v\n", path, err)
		}
	}
	switch {
	case refused == len(paths):
		return exitError{ExitUsage}
	case refused+failed > 0:
		return fmt.Errorf("%d of %d scans were not segmented", refused+failed, len(paths))
	}
	return nil
}

// segmentScan segments one scan and writes all that there is of it. The labels
// come last: where they are, the rest is.
func (f *volumeFlags) segmentScan(ctx context.Context, path string, network *segmentation.Model, display *progress.Display) error {
	start := time.Now()
	s, origin, err := scan.Read(ctx, path, f.options)
	if err != nil {
		return err
	}
	if f.seg {
		if err := seg.Check(origin.DICOM); err != nil {
			return err
		}
	}
	name := scan.Name(path)
	manifest := network.Manifest()
	bar := display.Begin()
	result, err := threeplane.Segment(ctx, &s.Volume, network, threeplane.Options{
		Classes: len(manifest.Classes), Workers: f.workers, Progress: func(done, total int) { bar.Count("segmenting", done, total) },
	})
	bar.End()
	switch {
	case errors.Is(err, threeplane.ErrEmpty):
		return volume.Refuse(volume.CodeNoSignal, err.Error(), "look at the scan in a viewer")
	case errors.Is(err, threeplane.ErrTooLarge):
		return volume.Refuse(volume.CodeTooLarge, err.Error(), "correct the voxel sizes if they are wrong, or cut the scan to the head")
	case err != nil:
		return err
	}
	in := report.Input{
		Scan: &s.Volume, Labels: result.Labels, Classes: reportClasses(manifest),
		Planes: result.Planes, Slices: result.Slices, Agreement: result.Agreement, Thick: result.Thick,
		Model:    report.Model{Name: manifest.Name, Version: manifest.Version, SHA256: manifest.SHA256},
		Warnings: s.Warnings, Seconds: time.Since(start).Seconds(),
	}
	r := report.Make(in)
	if f.seg {
		if err := report.WriteFile(filepath.Join(f.out, name+segSuffix), func(w io.Writer) error {
			return seg.Write(w, &result.Labels, origin.DICOM, f.segOptions(manifest))
		}); err != nil {
			return err
		}
	}
	for _, file := range []struct {
		suffix string
		write  func(io.Writer) error
	}{
		{bidsSuffix, func(w io.Writer) error { return report.WriteBIDS(w, in.Classes) }},
		{snapSuffix, func(w io.Writer) error { return report.WriteITKSnap(w, in.Classes) }},
		{reportSuffix, func(w io.Writer) error { return r.WritePage(w, name, in) }},
		{pictureSuffix, func(w io.Writer) error { return report.WritePicture(w, in) }},
		{figuresSuffix, r.WriteJSON},
		{labelsSuffix, func(w io.Writer) error { return nifti.WriteLabels(w, &result.Labels, origin.NIfTI) }},
	} {
		if err := report.WriteFile(filepath.Join(f.out, name+file.suffix), file.write); err != nil {
			return err
		}
	}
	if err := r.AppendCSV(filepath.Join(f.out, tableName), name); err != nil {
		return err
	}
	return f.tell(display.Out(), r, relative(filepath.Join(f.out, name)))
}

// tell prints what a person wants to know first, and where the rest is.
func (f *volumeFlags) tell(w io.Writer, r report.Report, stem string) error {
	extra := ""
	if f.seg {
		extra = fmt.Sprintf("seg       %s%s\n", stem, segSuffix)
	}
	_, err := fmt.Fprintf(w, "%s%slabels    %s%s\nreport    %s%s\ntime      %.1f s for %d slices, model %s %s\n",
		r.Text(), extra, stem, labelsSuffix, stem, reportSuffix, r.Seconds, r.Slices, r.Model.Name, r.Model.Version)
	return err
}

func reportClasses(manifest *model.Manifest) []report.Class {
	var classes []report.Class
	for _, c := range manifest.Classes {
		classes = append(classes, report.Class{Value: c.Value, Name: c.Name, Colour: c.Colour})
	}
	return classes
}

func (f *volumeFlags) segOptions(manifest *model.Manifest) seg.Options {
	options := seg.Options{Model: manifest.Name, ModelVersion: manifest.Version, ModelSHA256: manifest.SHA256, Version: Version, Deidentify: f.deidentify}
	for _, c := range manifest.Classes {
		options.Classes = append(options.Classes, seg.Class(c))
	}
	return options
}
