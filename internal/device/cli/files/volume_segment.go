package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/scanfolder"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/output"
	"github.com/brainseg/brainseg/internal/progress"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/volume"
)

// kinds are the results that were asked for.
func (f *volumeFlags) kinds() []scans.Kind {
	kinds := slices.Clone(scans.Usual)
	for kind, wanted := range map[scans.Kind]bool{scans.SEG: f.seg, scans.Overlay: f.overlay, scans.SR: f.sr, scans.Probabilities: f.probabilities} {
		if wanted {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// segmentScans segments scans one after the other. One that is refused or fails
// does not keep the others from being done.
func (f *volumeFlags) segmentScans(ctx context.Context, paths []string, stdout, stderr io.Writer) error {
	if _, known := volume.PlaneNamed(f.plane); f.plane != "" && !known {
		return command.Misused(fmt.Errorf("--plane %q: it is axial, coronal or sagittal", f.plane))
	}
	plan, err := scanfolder.Make(f.out, paths)
	if err != nil {
		return command.Misused(err)
	}
	network, err := segmentation.Open(f.model, segmentation.Options{Library: f.library})
	if err != nil {
		return fmt.Errorf("open the model: %w", err)
	}
	defer network.Close()
	if err := scans.Check(f.kinds(), network.Manifest()); err != nil {
		return command.Misused(fmt.Errorf("--%w", err))
	}
	if err := plan.Begin(network.Manifest(), f.version); err != nil {
		return err
	}
	display := progress.New(stdout, stderr)
	defer display.Close()
	refused, failed := 0, 0
	for i, item := range plan.Items {
		err := f.segmentScan(ctx, item, network, display)
		var refusal *volume.Refusal
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted after %d of %d scans", i, len(plan.Items))
		case errors.As(err, &refusal):
			refused++
			fmt.Fprintf(display.Messages(), "brainseg: %s: refused (%s): %s\n", output.Name(item.Path), refusal.Code, output.Printable(refusal.Error()))
		default:
			failed++
			fmt.Fprintf(display.Messages(), "brainseg: %s: %s\n", output.Name(item.Path), output.Printable(err.Error()))
		}
	}
	switch {
	case refused == len(plan.Items):
		return command.ExitError{Code: command.ExitUsage}
	case refused+failed > 0:
		return fmt.Errorf("%d of %d scans were not segmented", refused+failed, len(plan.Items))
	}
	return nil
}

// segmentScan segments one scan and writes all that there is of it.
func (f *volumeFlags) segmentScan(ctx context.Context, item scanfolder.Item, network *segmentation.Model, display *progress.Display) error {
	var planes []volume.Plane
	if plane, known := volume.PlaneNamed(f.plane); known {
		planes = []volume.Plane{plane}
	}
	bar := display.Begin()
	result, err := scans.Segment(ctx, item.Path, network, scans.Options{
		Read: f.options, Kinds: f.kinds(), Planes: planes, Deidentify: f.deidentify, Workers: f.workers, Version: f.version,
		Progress: func(done, total int) { bar.Count("segmenting", done, total) },
	})
	bar.End()
	if err != nil {
		return err
	}
	if err := item.Write(result); err != nil {
		return err
	}
	return f.tell(display.Out(), result.Report, output.Name(command.Relative(item.Stem)))
}

// tell prints what a person wants to know first, and where the rest is.
func (f *volumeFlags) tell(w io.Writer, r report.Report, stem string) error {
	extra := ""
	for _, object := range []struct {
		name   string
		suffix string
		wanted bool
	}{{"seg", scans.SEGSuffix, f.seg}, {"overlay", scans.OverlaySuffix, f.overlay}, {"sr", scans.SRSuffix, f.sr}, {"probable", scans.ProbabilitiesSuffix, f.probabilities}} {
		if object.wanted {
			extra += fmt.Sprintf("%-9s %s%s\n", object.name, stem, object.suffix)
		}
	}
	_, err := fmt.Fprintf(w, "%s%slabels    %s%s\nreport    %s%s\ntime      %.1f s for %d slices, model %s %s\n",
		r.Text(), extra, stem, scans.LabelsSuffix, stem, scans.ReportSuffix, r.Seconds, r.Slices, r.Model.Name, r.Model.Version)
	return err
}
