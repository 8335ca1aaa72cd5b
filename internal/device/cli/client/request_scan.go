package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/scans"
	"github.com/brainseg/brainseg/internal/output"
	"github.com/brainseg/brainseg/internal/volume/scan"
)

// scanFlags are what can be asked for of a scan.
type scanFlags struct {
	kinds          []string
	assume, series string
	volume         int
	deidentify     bool
}

func (f *scanFlags) add(cmd *cobra.Command) {
	var all []string
	for _, k := range request.Kinds {
		all = append(all, string(k))
	}
	cmd.Flags().StringSliceVar(&f.kinds, "kinds", nil, "results of a scan, separated by commas: "+strings.Join(all, ", ")+" (default: all but DICOM objects)")
	cmd.Flags().StringVar(&f.assume, "assume", "", "orientation of a scan that records none: RAS")
	cmd.Flags().StringVar(&f.series, "series", "", "SeriesInstanceUID to read, where there are several")
	cmd.Flags().IntVar(&f.volume, "volume", 0, "which volume to read, from 1, where there are several")
	cmd.Flags().BoolVar(&f.deidentify, "deidentify", false, "leave patient and study out of DICOM objects; UIDs stay")
}

// meant tells whether image is a scan: something was asked for that only scans
// have, or it is a folder, or called as scans are.
func (f scanFlags) meant(image string) bool {
	if len(f.kinds) > 0 || f.assume != "" || f.series != "" || f.volume != 0 || f.deidentify {
		return true
	}
	if info, err := os.Stat(image); err == nil && info.IsDir() || strings.HasPrefix(image, "s3://") && strings.HasSuffix(image, "/") {
		return true
	}
	ending := strings.ToLower(filepath.Ext(strings.TrimSuffix(image, ".gz")))
	return slices.Contains([]string{".nii", ".hdr", ".img", ".dcm", ".zip"}, ending)
}

// document makes the request for a scan.
func (f scanFlags) document(id, path, to string) ([]byte, error) {
	image := map[string]any{"s3": path}
	if !strings.HasPrefix(path, "s3://") {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		image = map[string]any{"path": absolute}
	}
	if f.assume != "" {
		image["assume"] = f.assume
	}
	if f.series != "" {
		image["series"] = f.series
	}
	if f.volume != 0 {
		image["volume"] = f.volume
	}
	if to == "" {
		to = scan.Name(path)
	}
	out := map[string]any{"to": to, "kinds": scans.Usual}
	if len(f.kinds) > 0 {
		out["kinds"] = f.kinds
	}
	if f.deidentify {
		out["deidentify"] = true
	}
	return json.Marshal(map[string]any{"id": id, "image": image, "output": out, "acknowledge": true})
}

// callOff cancels the scan with an id: nobody waits for it any more.
func callOff(client *ggipc.Client, id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if document, err := json.Marshal(map[string]any{"id": id, "cancel": true}); err == nil {
		_ = client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: config.RequestTopic, Binary: document}) // if not, the scan is done for nobody
	}
}

// showScan prints a table of the tissues, what to look at, and where the results
// are.
func showScan(w io.Writer, s *request.ScanResult) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "tissue\tml\tshare\t")
	for _, t := range s.Tissues {
		fmt.Fprintf(table, "%s\t%.1f\t%.1f %%\t\n", t.Name, t.Millilitres, 100*t.Fraction)
	}
	fmt.Fprintf(table, "brain\t%.1f\t\t\n", s.BrainMillilitres)
	table.Flush()
	fmt.Fprintln(w)
	if s.Quality.Score != nil {
		fmt.Fprintf(w, "quality  %.2f, from 0 to 1\n", *s.Quality.Score)
	}
	for _, flag := range s.Quality.Flags {
		fmt.Fprintf(w, "look     %s\n", flag)
	}
	for _, warning := range s.Warnings {
		fmt.Fprintf(w, "note     %s\n", warning)
	}
	for _, file := range s.Files {
		fmt.Fprintf(w, "%-8s %s%s\n", file.Kind, output.Name(command.Relative(file.Path)), output.Name(file.URI))
	}
}
