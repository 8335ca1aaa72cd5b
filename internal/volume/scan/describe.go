package scan

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/brainseg/brainseg/internal/volume"
)

// Description is what was read, without a word about the patient.
type Description struct {
	Format         string           `json:"format"`
	TransferSyntax string           `json:"transfer_syntax,omitempty"`
	Series         string           `json:"series,omitempty"`
	Shape          [3]int           `json:"shape"`
	Affine         [4][4]float64    `json:"affine"`      // index to mm RAS
	Spacing        [3]float64       `json:"spacing"`     // mm
	Orientation    string           `json:"orientation"` // such as "RAS"
	Unit           string           `json:"unit"`        // of the file; everything here is in mm
	DataType       string           `json:"data_type"`
	Scaling        *volume.Scaling  `json:"scaling"` // null if there is none
	Padding        *[2]float64      `json:"padding"` // null if the file names none
	Sum            float64          `json:"sum"`     // of all finite values
	Range          [2]float64       `json:"range"`   // lowest and highest finite value
	NotFinite      int              `json:"not_finite"`
	Samples        []Sample         `json:"samples"`
	Warnings       []volume.Warning `json:"warnings"`
	LeftOut        []volume.LeftOut `json:"left_out"`
}

// Sample is the value at a place in mm RAS, null outside the scan and where
// there is no finite number.
type Sample struct {
	At    [3]float64 `json:"at"`
	Value *float64   `json:"value"`
}

// Describe describes s, with its values at some places.
func Describe(s *volume.Scan, places []volume.Vector) Description {
	statistics := s.Statistics()
	d := Description{
		Format: s.Format, TransferSyntax: s.TransferSyntax, Series: s.Series,
		Shape: s.Size, Spacing: s.Spacing(), Orientation: s.Orientation().Letters(),
		Unit: s.Unit, DataType: s.DataType, Scaling: s.Scaling,
		Sum: statistics.Sum, Range: [2]float64{widen(statistics.Low), widen(statistics.High)}, NotFinite: len(s.Values) - statistics.Finite,
		Samples: []Sample{}, Warnings: s.Warnings, LeftOut: s.LeftOut,
	}
	for row := range 3 {
		d.Affine[row] = s.Affine[row]
	}
	d.Affine[3][3] = 1
	if s.Padding != nil {
		d.Padding = &[2]float64{widen(s.Padding.Low), widen(s.Padding.High)}
	}
	for _, at := range places {
		sample := Sample{At: at}
		if v, ok := s.At(at); ok && !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) {
			wide := widen(v)
			sample.Value = &wide
		}
		d.Samples = append(d.Samples, sample)
	}
	if d.Warnings == nil {
		d.Warnings = []volume.Warning{}
	}
	if d.LeftOut == nil {
		d.LeftOut = []volume.LeftOut{}
	}
	return d
}

// widen returns the shortest decimal that is v in single precision: 0.1, not
// 0.10000000149.
func widen(v float32) float64 {
	wide, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	return wide
}

// Table writes the description for a person.
func (d Description) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, a...)) }
	row("format", "%s", d.Format)
	if d.TransferSyntax != "" {
		row("stored as", "%s", d.TransferSyntax)
	}
	if d.Series != "" {
		row("series", "%s", d.Series)
	}
	row("shape", "%d x %d x %d voxels", d.Shape[0], d.Shape[1], d.Shape[2])
	row("spacing", "%.4g x %.4g x %.4g mm", d.Spacing[0], d.Spacing[1], d.Spacing[2])
	row("orientation", "%s", d.Orientation)
	for i, name := range []string{"affine (to mm RAS)", "", ""} {
		row(name, "%10.4f %10.4f %10.4f %10.4f", d.Affine[i][0], d.Affine[i][1], d.Affine[i][2], d.Affine[i][3])
	}
	row("unit in the file", "%s", d.Unit)
	row("data type", "%s", d.DataType)
	switch {
	case d.Scaling == nil:
		row("scaling", "none")
	case d.Scaling.Varies:
		row("scaling", "differs between slices")
	default:
		row("scaling", "x %.6g + %.6g", d.Scaling.Slope, d.Scaling.Intercept)
	}
	row("values", "%.6g to %.6g, sum %.10g", d.Range[0], d.Range[1], d.Sum)
	if d.NotFinite > 0 {
		row("not finite", "%d voxels", d.NotFinite)
	}
	for _, s := range d.Samples {
		value := "none (outside, or not finite)"
		if s.Value != nil {
			value = fmt.Sprintf("%.8g", *s.Value)
		}
		row(fmt.Sprintf("at %.4g, %.4g, %.4g", s.At[0], s.At[1], s.At[2]), "%s", value)
	}
	for _, warning := range d.Warnings {
		row("warning", "%s", warning)
	}
	for _, l := range d.LeftOut {
		more := ""
		if n := l.Count - len(l.Files); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		row("left out", "%s: %s%s", l.Reason, strings.Join(l.Files, ", "), more)
	}
	return t.Flush()
}
