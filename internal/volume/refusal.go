package volume

import (
	"fmt"
	"strings"
)

// Warning tells of a choice that a reader made, by a name that does not change
// and a sentence.
type Warning struct {
	Name string
	Text string
}

// Warn makes a warning.
func Warn(name, format string, a ...any) Warning { return Warning{name, fmt.Sprintf(format, a...)} }

// String is the name and the sentence.
func (w Warning) String() string { return w.Name + ": " + w.Text }

// MarshalText makes the warning one string in JSON.
func (w Warning) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// Code is the reason of a refusal, for programs.
type Code string

// The reasons, alphabetically. docs/scans.md tells each with its cure.
const (
	CodeAmbiguousVolume     Code = "ambiguous-volume"     // two images for one place
	CodeArchive             Code = "bad-archive"          // a zip that is damaged, locked or hostile
	CodeBadGeometry         Code = "bad-geometry"         // an affine, a spacing or a position that cannot be
	CodeBadHeader           Code = "bad-header"           // a field of the header that cannot be
	CodeColour              Code = "colour"               // a colour picture
	CodeDamaged             Code = "damaged"              // cut off, or a checksum that fails
	CodeMissingSlices       Code = "missing-slices"       // a gap, or spacing that varies
	CodeMixedSeries         Code = "mixed-series"         // images in one series that are of no one volume
	CodeMosaic              Code = "mosaic"               // many slices in one picture
	CodeNoImage             Code = "no-image"             // nothing there to read
	CodeNoOrientation       Code = "no-orientation"       // left and right cannot be told
	CodeNoSeries            Code = "no-series"            // nothing that a DICOM SEG can refer to
	CodeNoSignal            Code = "no-signal"            // empty or constant
	CodeNotAVolume          Code = "not-a-volume"         // one slice, a vector field
	CodeNotAScan            Code = "not-a-scan"           // another format
	CodeSeveralSeries       Code = "several-series"       // the caller must choose
	CodeTooLarge            Code = "too-large"            // beyond a bound
	CodeUnsupportedSyntax   Code = "unsupported-syntax"   // a DICOM transfer syntax that cannot be decoded
	CodeUnsupportedDataType Code = "unsupported-datatype" // a type of voxels
)

// Refusal is the error of a scan that is not read: nothing is wrong with the
// program or the device. Readers return no other error for what is in a file.
type Refusal struct {
	Code Code
	// Reason says what is wrong, and Cure what to do: neither begins with a
	// capital or ends with a stop, and neither holds anything of a patient.
	Reason string
	Cure   string
	// File is the file at fault where there are many, as named below the scan's
	// path.
	File string
}

// Refuse makes a refusal.
func Refuse(code Code, reason, cure string) *Refusal {
	return &Refusal{Code: code, Reason: reason, Cure: cure}
}

// In returns the refusal with the file at fault, unless it has one.
func (r *Refusal) In(file string) *Refusal {
	if r.File != "" {
		return r
	}
	named := *r
	named.File = file
	return &named
}

// Error is the whole sentence.
func (r *Refusal) Error() string {
	var b strings.Builder
	if r.File != "" {
		b.WriteString(r.File + ": ")
	}
	b.WriteString(r.Reason)
	if r.Cure != "" {
		b.WriteString("; " + r.Cure)
	}
	return b.String()
}
