// Package sr writes the volumes of tissues as a DICOM Structured Report: a
// Measurement Report by template TID 1500, with a measurement group for each
// segment of a DICOM SEG (TID 1411). The SOP class is Enhanced SR
// (1.2.840.10008.5.1.4.1.1.88.22).
//
// The report refers to the segmentation, so it is of use only with that. Patient
// and study are those of the source, or are emptied; nobody has verified it, and
// it says so. The same input gives the same bytes.
//
// Package derived has what it shares with other objects; package scans of the
// device calls Write. The standard is PS3.3 A.35.2 and PS3.16 TID 1500.
package sr

import (
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
	"github.com/brainseg/brainseg/internal/volume/dicom/seg"
)

var class = derived.Class{UID: "1.2.840.10008.5.1.4.1.1.88.22", Modality: "SR", Syntax: derived.ExplicitLE}

// Check tells, by a *volume.Refusal, why a report on the scan with the origin (nil
// for one that is no DICOM series) cannot be written.
func Check(origin *dicom.Origin) error { return derived.Check(origin, "a DICOM SR") }

// Write writes the millilitres of each segment of a segmentation that was made
// from source. The errors of Check are a *volume.Refusal.
func Write(w io.Writer, source derived.Source, segmentation seg.Reference, millilitres func(value uint8) float64) error {
	if err := Check(source.Origin); err != nil {
		return err
	}
	o := &object{Source: source, seg: segmentation, millilitres: millilitres}
	if err := derived.Write(w, class, o.encode); err != nil {
		return fmt.Errorf("write a DICOM SR: %w", err)
	}
	return nil
}

type object struct {
	derived.Source
	seg         seg.Reference
	millilitres func(uint8) float64
}

func (o *object) encode(e *derived.Encoder, uids derived.UIDs) {
	o.Header(e, uids, derived.Header{
		Class: class, Description: "Brain tissue volumes",
		References: func(e *derived.Encoder) { e.Sequence(0x00081111, 0, nil) }, // ReferencedPerformedProcedureStepSequence
	})
	root := o.report(uids)
	root.value(e)
	e.Sequence(0x0040a372, 0, nil) // PerformedProcedureCodeSequence
	o.evidence(e)
	e.Text(0x0040a491, "CS", "COMPLETE")   // CompletionFlag
	e.Text(0x0040a493, "CS", "UNVERIFIED") // VerificationFlag
	root.rest(e)
}

// evidence lists what the report refers to.
func (o *object) evidence(e *derived.Encoder) {
	e.One(0x0040a375, func() { // CurrentRequestedProcedureEvidenceSequence
		images := o.Images()
		e.Sequence(0x00081115, 2, func(i int) { // ReferencedSeriesSequence
			if i == 0 {
				e.One(0x00081199, func() { reference(e, o.seg.Class, o.seg.Instance) })
				e.Text(0x0020000e, "UI", o.seg.Series)
				return
			}
			e.Sequence(0x00081199, len(images), func(i int) { reference(e, images[i].ClassUID, images[i].InstanceUID) })
			e.Text(0x0020000e, "UI", o.Origin.SeriesUID)
		})
		e.Text(0x0020000d, "UI", o.Origin.StudyUID)
	})
}

func reference(e *derived.Encoder, class, instance string) {
	e.Text(0x00081150, "UI", class)
	e.Text(0x00081155, "UI", instance)
}

// report makes the tree of the report.
func (o *object) report(uids derived.UIDs) *item {
	measurements := container("CONTAINS", derived.DCM("126010", "Imaging Measurements"), "")
	for i, s := range o.seg.Segments {
		measurements.add(o.group(s, i+1, uids))
	}
	language := codeItem("HAS CONCEPT MOD", derived.DCM("121049", "Language of Content Item and Descendants"), derived.Code{Value: "en", Scheme: "RFC5646", Meaning: "English"})
	root := container("", derived.DCM("126000", "Imaging Measurement Report"), "1500")
	return root.add(
		language,
		codeItem("HAS OBS CONTEXT", derived.DCM("121005", "Observer Type"), derived.DCM("121007", "Device")),
		uidItem("HAS OBS CONTEXT", derived.DCM("121012", "Device Observer UID"), derived.DerivedUID("device", []byte(o.ModelSHA256+"\x00"+o.Version))),
		textItem("HAS OBS CONTEXT", derived.DCM("121013", "Device Observer Name"), derived.Manufacturer),
		textItem("HAS OBS CONTEXT", derived.DCM("121014", "Device Observer Manufacturer"), derived.Manufacturer),
		textItem("HAS OBS CONTEXT", derived.DCM("121015", "Device Observer Model Name"), o.ModelName()),
		codeItem("HAS CONCEPT MOD", derived.DCM("121058", "Procedure reported"), derived.Code{Value: "24590-2", Scheme: "LN", Meaning: "MR Brain"}),
		measurements,
	)
}

// group is the measurement of one segment.
func (o *object) group(s seg.Segment, number int, uids derived.UIDs) *item {
	g := container("CONTAINS", derived.DCM("125007", "Measurement Group"), "1411")
	return g.add(
		textItem("HAS OBS CONTEXT", derived.DCM("112039", "Tracking Identifier"), s.Label),
		uidItem("HAS OBS CONTEXT", derived.DCM("112040", "Tracking Unique Identifier"), uids("segment "+strconv.Itoa(number))),
		codeItem("CONTAINS", derived.DCM("121071", "Finding"), s.Type),
		segmentItem(derived.DCM("121191", "Referenced Segment"), o.seg, number),
		uidItem("CONTAINS", derived.DCM("121232", "Source series for segmentation"), o.Origin.SeriesUID),
		codeItem("HAS CONCEPT MOD", derived.SCT("363698007", "Finding Site"), derived.SCT("12738006", "Brain")),
		numberItem(derived.SCT("118565006", "Volume"), o.millilitres(s.Value), derived.Code{Value: "ml", Scheme: "UCUM", Meaning: "milliliter"}),
	)
}

// plain is a number to two digits as a decimal string.
func plain(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }
