package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/scan"
)

type volumeFlags struct {
	describe bool
	at       []string
	json     bool
	options  volume.Options
}

func volumeCommand() *cobra.Command {
	var f volumeFlags
	cmd := &cobra.Command{
		Use:   "volume --describe SCAN",
		Short: "Say what is read of a whole scan: its grid, values and every choice made",
		Long: "Read SCAN, a NIfTI file or a folder, zip or file of DICOM images, and say what was read, without running the model.\n" +
			"Nothing of the patient is told. A scan that cannot be read right is refused with the reason (exit code 2).",
		Example: "  brainseg volume --describe head.nii.gz\n  brainseg volume --describe --at=0,0,0 --json series/",
		Args:    arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.describe {
				return usageError{errors.New("whole scans are not segmented yet; --describe says what is read of one")}
			}
			return f.run(cmd, args[0])
		},
	}
	cmd.Flags().BoolVar(&f.describe, "describe", false, "say what is read (required)")
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
			return usageError{err}
		}
		places = append(places, p)
	}
	s, _, err := scan.Read(cmd.Context(), path, f.options)
	var refusal *volume.Refusal
	if errors.As(err, &refusal) {
		fmt.Fprintf(cmd.ErrOrStderr(), "brainseg: refused (%s): %v\n", refusal.Code, refusal)
		return exitError{ExitUsage}
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
