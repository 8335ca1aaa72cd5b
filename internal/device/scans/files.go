package scans

import (
	"encoding/json"
	"io"
	"slices"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

// Kind names a result of a scan, as requests do.
type Kind = request.Kind

// The kinds of results.
const (
	Labels        = request.KindLabels
	Volumes       = request.KindVolumes
	Probabilities = request.KindProbabilities
	Report        = request.KindReport
	Picture       = request.KindPicture
	SEG           = request.KindSEG
	Overlay       = request.KindOverlay
	SR            = request.KindSR
)

// Usual are the kinds that nobody has to ask for.
var Usual = []Kind{Labels, Volumes, Report, Picture}

// The ends of the names of results.
const (
	LabelsSuffix = "_dseg.nii.gz"
	ReportSuffix = "_report.html"
	SEGSuffix    = "_seg.dcm"

	OverlaySuffix = "_overlay.dcm"
	SRSuffix      = "_sr.dcm"

	ProbabilitiesSuffix = "_probseg.nii.gz"
)

// File is one result.
type File struct {
	Kind Kind
	// Suffix is the end of its name.
	Suffix string
	// Write makes its content, the same each time.
	Write func(io.Writer) error
}

// files lists all that can be made of a result, in the order in which it is to be
// written. The label map comes last: where it is, the rest is.
func (r *Result) files(title string) []File {
	return []File{
		{SEG, SEGSuffix, r.writeSEG},
		{Overlay, OverlaySuffix, r.writeOverlay},
		{SR, SRSuffix, r.writeSR},
		{Labels, "_dseg.tsv", func(w io.Writer) error { return report.WriteBIDS(w, r.input.Classes) }},
		{Labels, "_dseg.label.txt", func(w io.Writer) error { return report.WriteITKSnap(w, r.input.Classes) }},
		{Probabilities, "_probseg.json", r.writeProbabilityNames},
		{Probabilities, ProbabilitiesSuffix, r.writeProbabilities},
		{Report, ReportSuffix, func(w io.Writer) error { return r.Report.WritePage(w, title, r.input) }},
		{Picture, "_report.png", func(w io.Writer) error { return report.WritePicture(w, r.input) }},
		{Volumes, "_volumes.json", func(w io.Writer) error { return r.Report.WriteJSON(w) }},
		{Labels, LabelsSuffix, func(w io.Writer) error { return nifti.WriteLabels(w, &r.input.Labels, r.origin.NIfTI) }},
	}
}

func (r *Result) writeProbabilities(w io.Writer) error {
	return nifti.WriteProbabilities(w, r.input.Labels.Grid, len(r.input.Classes), func(class int) []byte { return r.probability(uint8(class)) }, r.origin.NIfTI)
}

// writeProbabilityNames says what the volumes of the probabilities are, as BIDS has it.
func (r *Result) writeProbabilityNames(w io.Writer) error {
	var names struct{ LabelMap []string }
	for _, c := range r.input.Classes {
		names.LabelMap = append(names.LabelMap, c.Name)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(names)
}

// Files are the results of the kinds that were asked for, in the order in which
// they are to be written. title heads the page.
func (r *Result) Files(title string) []File {
	return slices.DeleteFunc(r.files(title), func(f File) bool { return !slices.Contains(r.opts.Kinds, f.Kind) })
}

// Suffixes are the ends of the names of the results of some kinds.
func Suffixes(kinds []Kind) []string {
	var list []string
	for _, f := range new(Result).files("") {
		if slices.Contains(kinds, f.Kind) {
			list = append(list, f.Suffix)
		}
	}
	return list
}
