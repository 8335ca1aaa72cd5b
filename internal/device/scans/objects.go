package scans

import (
	"io"
	"slices"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
	"github.com/brainseg/brainseg/internal/volume/dicom/sc"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
	"github.com/brainseg/brainseg/internal/volume/dicom/sr"
)

// checkOrigin tells, by a *volume.Refusal, why DICOM objects of some kinds cannot
// be made of a scan.
func checkOrigin(kinds []Kind, origin *dicom.Origin) error {
	for kind, check := range map[Kind]func(*dicom.Origin) error{SEG: seg.Check, Overlay: sc.Check, SR: sr.Check} {
		if slices.Contains(kinds, kind) {
			if err := check(origin); err != nil {
				return err
			}
		}
	}
	return nil
}

func segClasses(manifest *model.Manifest) []seg.Class {
	var classes []seg.Class
	for _, c := range manifest.Classes {
		classes = append(classes, seg.Class(c))
	}
	return classes
}

func (r *Result) segOptions() seg.Options {
	m := r.manifest
	return seg.Options{
		Classes: segClasses(m), Model: m.Name, ModelVersion: m.Version, ModelSHA256: m.SHA256,
		Version: r.opts.Version, Deidentify: r.opts.Deidentify,
	}
}

// source says of DICOM objects where they come from.
func (r *Result) source() derived.Source {
	m := r.manifest
	return derived.Source{
		Origin: r.origin.DICOM, Model: m.Name, ModelVersion: m.Version, ModelSHA256: m.SHA256,
		Version: r.opts.Version, Deidentify: r.opts.Deidentify,
	}
}

func (r *Result) writeSEG(w io.Writer) error {
	return seg.Write(w, &r.input.Labels, r.origin.DICOM, r.segOptions())
}

func (r *Result) writeOverlay(w io.Writer) error {
	var classes []sc.Class
	for _, c := range r.manifest.Classes {
		classes = append(classes, sc.Class{Value: c.Value, Colour: c.Colour})
	}
	return sc.Write(w, r.input.Scan, &r.input.Labels, r.source(), classes)
}

func (r *Result) writeSR(w io.Writer) error {
	segmentation, err := seg.Refer(&r.input.Labels, r.origin.DICOM, r.segOptions())
	if err != nil {
		return err
	}
	return sr.Write(w, r.source(), segmentation, func(value uint8) float64 {
		for _, t := range r.Report.Tissues {
			if t.Value == value {
				return t.Millilitres
			}
		}
		return 0
	})
}
