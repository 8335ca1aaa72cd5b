package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/scanfolder"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/scan"
)

type volumeFlags struct {
	version       string // of the program
	out           string
	model         string
	library       string
	workers       int
	describe      bool
	at            []string
	json          bool
	options       volume.Options
	plane         string
	seg           bool
	overlay       bool
	probabilities bool
	sr            bool
	// deidentify leaves the patient out of the SEG.
	deidentify bool
}

// VolumeCommand segments whole scans, or says what is read of one. version is that of
// the program, for what the results say of their origin.
func VolumeCommand(version string) *cobra.Command {
	f := volumeFlags{version: version}
	cmd := &cobra.Command{
		Use:   "volume (--out DIR SCAN... | --describe SCAN)",
		Short: "Segment whole scans, NIfTI or DICOM, or say what is read of one",
		Long: "Segment each SCAN, a NIfTI file or a folder, zip or file of DICOM images, in three planes. DIR gets the labels on the scan's own grid\n" +
			"(NAME" + scans.LabelsSuffix + "), what they mean, the tissues' volumes in ml (NAME_volumes.json, and a line of " + scanfolder.TableName + "), and a page to look at\n" +
			"(NAME" + scans.ReportSuffix + "). With --seg, a DICOM series gets a DICOM Segmentation object too (NAME" + scans.SEGSuffix + ");\n" +
			"--overlay and --sr add a picture of each slice and the volumes as a report, for a PACS.\n" +
			"With --describe, say what was read of SCAN, without running the model. Nothing of the patient is told but in DICOM objects,\n" +
			"which belong to the study. Results are called after SCAN's file or folder: give it a name that may be seen.\n" +
			"A SCAN that is a BIDS data set stands for all T1w of it; DIR becomes a derivative data set.\n" +
			"A scan that cannot be read right is refused with the reason; the exit code is 2 where all were.",
		Example: "  brainseg volume --out out head.nii.gz\n  brainseg volume --out out --seg series/\n  brainseg volume --out out series/ other.zip\n  brainseg volume --describe --at=0,0,0 --json series/",
		Args:    command.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.describe && f.out != "":
				return command.Misused(errors.New("--describe and --out exclude each other"))
			case f.describe && (f.seg || f.overlay || f.sr || f.probabilities):
				return command.Misused(errors.New("--seg, --overlay, --sr and --probabilities go with --out"))
			case f.describe && len(args) > 1:
				return command.Misused(errors.New("--describe takes one SCAN"))
			case f.describe:
				return f.run(cmd, args[0])
			case f.out == "":
				return command.Misused(errors.New("--out DIR is required, or --describe"))
			case len(f.at) > 0 || f.json:
				return command.Misused(errors.New("--at and --json go with --describe"))
			case f.deidentify && !f.seg && !f.overlay:
				return command.Misused(errors.New("--deidentify goes with --seg and --overlay; the other results never name the patient"))
			}
			return f.segmentScans(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.out, "out", "", "folder for the results")
	cmd.Flags().BoolVar(&f.seg, "seg", false, "also write a DICOM SEG of each DICOM series, for PACS and viewers")
	cmd.Flags().BoolVar(&f.overlay, "overlay", false, "also write the slices of each DICOM series with the tissues in colour, a DICOM Secondary Capture")
	cmd.Flags().BoolVar(&f.probabilities, "probabilities", false, "also write how likely each tissue is in each voxel (NAME_probseg.nii.gz), with models that give scores")
	cmd.Flags().BoolVar(&f.sr, "sr", false, "beside --seg, also write the volumes as a DICOM Structured Report")
	cmd.Flags().BoolVar(&f.deidentify, "deidentify", false, "leave patient and study out of DICOM objects; UIDs stay")
	command.ModelFlags(cmd.Flags(), &f.model, &f.library)
	cmd.Flags().IntVar(&f.workers, "workers", runtime.NumCPU(), "slices in work at the same time")
	cmd.Flags().StringVar(&f.plane, "plane", "", "run this plane alone, in a third of the time: axial, coronal or sagittal")
	cmd.Flags().BoolVar(&f.describe, "describe", false, "say what is read, and segment nothing")
	cmd.Flags().StringArrayVar(&f.at, "at", nil, "also tell the value at X,Y,Z in mm to the right, front and top (can be repeated)")
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON instead of a table (the default where the output is no terminal)")
	cmd.Flags().StringVar(&f.options.Assume, "assume", "", "orientation of a scan that records none: RAS")
	cmd.Flags().StringVar(&f.options.Series, "series", "", "SeriesInstanceUID to read, where there are several")
	cmd.Flags().IntVar(&f.options.Volume, "volume", 0, "which volume to read, from 1, where there are several")
	return cmd
}

func (f *volumeFlags) run(cmd *cobra.Command, path string) error {
	var places []volume.Vector
	for _, at := range f.at {
		p, err := parsePlace(at)
		if err != nil {
			return command.Misused(err)
		}
		places = append(places, p)
	}
	s, _, err := scan.Read(cmd.Context(), path, f.options)
	var refusal *volume.Refusal
	if errors.As(err, &refusal) {
		fmt.Fprintf(cmd.ErrOrStderr(), "brainseg: refused (%s): %v\n", refusal.Code, refusal)
		return command.ExitError{Code: command.ExitUsage}
	}
	if err != nil {
		return fmt.Errorf("read the scan: %w", err)
	}
	d := scan.Describe(s, places)
	if f.json || !isTerminal(cmd.OutOrStdout()) {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetEscapeHTML(false)
		return encoder.Encode(d)
	}
	return d.Table(cmd.OutOrStdout())
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// parsePlace parses X,Y,Z.
func parsePlace(s string) (volume.Vector, error) {
	var p volume.Vector
	parts := strings.Split(s, ",")
	if len(parts) != len(p) {
		return p, fmt.Errorf("--at %q: three numbers X,Y,Z are needed", s)
	}
	for i, part := range parts {
		v, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return p, fmt.Errorf("--at %q: %q is no number", s, part)
		}
		p[i] = v
	}
	return p, nil
}
