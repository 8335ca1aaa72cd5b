package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/output"
	"github.com/brainseg/brainseg/internal/progress"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/scan"
)

// tableName is the table with a line for each scan.
const tableName = "volumes.csv"

// checkResults refuses scans of which two would share their results, or one would
// be replaced by another's: BIDS and others name files as results are named.
func (f *volumeFlags) checkResults(paths []string) error {
	names := make(map[string]string)
	given := make(map[inode]string)
	for _, path := range paths {
		name := scan.Name(path)
		if other, taken := names[name]; taken {
			return fmt.Errorf("%s and %s would both be written to %s; use two folders", other, path, filepath.Join(f.out, name+scans.LabelsSuffix))
		}
		names[name] = path
		if info, err := os.Stat(path); err == nil { // of others the reader tells
			given[inodeOf(info)] = path
		}
	}
	for name, path := range names {
		for _, suffix := range scans.Suffixes(request.Kinds) {
			result := filepath.Join(f.out, name+suffix)
			if info, err := os.Stat(result); err == nil && given[inodeOf(info)] != "" {
				return fmt.Errorf("%s would be overwritten by a result of %s; choose another --out", given[inodeOf(info)], path)
			}
		}
	}
	return nil
}

// kinds are the results that were asked for.
func (f *volumeFlags) kinds() []scans.Kind {
	if f.seg {
		return append([]scans.Kind{scans.SEG}, scans.Usual...)
	}
	return scans.Usual
}

// segmentScans segments scans one after the other. One that is refused or fails
// does not keep the others from being done.
func (f *volumeFlags) segmentScans(ctx context.Context, paths []string, stdout, stderr io.Writer) error {
	if err := f.checkResults(paths); err != nil {
		return usageError{err}
	}
	network, err := segmentation.Open(f.model, segmentation.Options{Library: f.library})
	if err != nil {
		return fmt.Errorf("open the model: %w", err)
	}
	defer network.Close()
	if err := scans.Check(f.kinds(), network.Manifest()); err != nil {
		return usageError{fmt.Errorf("--%w", err)}
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
			fmt.Fprintf(display.Messages(), "brainseg: %s: refused (%s): %s\n", output.Name(path), refusal.Code, output.Printable(refusal.Error()))
		default:
			failed++
			fmt.Fprintf(display.Messages(), "brainseg: %s: %s\n", output.Name(path), output.Printable(err.Error()))
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

// segmentScan segments one scan and writes all that there is of it.
func (f *volumeFlags) segmentScan(ctx context.Context, path string, network *segmentation.Model, display *progress.Display) error {
	bar := display.Begin()
	result, err := scans.Segment(ctx, path, network, scans.Options{
		Read: f.options, Kinds: f.kinds(), Deidentify: f.deidentify, Workers: f.workers, Version: Version,
		Progress: func(done, total int) { bar.Count("segmenting", done, total) },
	})
	bar.End()
	if err != nil {
		return err
	}
	name := scan.Name(path)
	if err := result.WriteFolder(f.out, name); err != nil {
		return err
	}
	if err := result.Report.AppendCSV(filepath.Join(f.out, tableName), name); err != nil {
		return err
	}
	return f.tell(display.Out(), result.Report, output.Name(relative(filepath.Join(f.out, name))))
}

// tell prints what a person wants to know first, and where the rest is.
func (f *volumeFlags) tell(w io.Writer, r report.Report, stem string) error {
	extra := ""
	if f.seg {
		extra = fmt.Sprintf("seg       %s%s\n", stem, scans.SEGSuffix)
	}
	_, err := fmt.Fprintf(w, "%s%slabels    %s%s\nreport    %s%s\ntime      %.1f s for %d slices, model %s %s\n",
		r.Text(), extra, stem, scans.LabelsSuffix, stem, scans.ReportSuffix, r.Seconds, r.Slices, r.Model.Name, r.Model.Version)
	return err
}
