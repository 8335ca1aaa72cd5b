// Package seg writes a label map as a DICOM Segmentation object (SOP class
// 1.2.840.10008.5.1.4.1.1.66.4), which a PACS stores and a viewer shows over the
// images it was made from.
//
// One segment a tissue, coded by SNOMED CT, one bit a voxel. Every slice of every
// segment is a frame, empty ones too, with the place of its source image and a
// reference to it, since viewers misplace segmentations without. Patient and
// study are those of the source, or are emptied. The same labels, source and
// options give the same bytes: the UIDs follow from a hash of the rest, and the
// clock is not asked.
//
// It reads nothing and sends nothing: package dicom tells where a scan comes from
// (Origin), and the commands call Write. The standard is PS3.3 A.51 and C.8.20 at
// https://dicom.nema.org.
package seg

import (
	"fmt"
	"io"
	"math"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
)

// Class is what a value of the label map means.
type Class struct {
	Value uint8
	// Name is one of those in segment.go. Value 0 is the background, whatever its
	// name.
	Name string
	// Colour is #rrggbb.
	Colour string
}

// Options are what the object says of its making.
type Options struct {
	Classes []Class
	// Model and its version, as in its manifest, and the hash of its file.
	Model, ModelVersion, ModelSHA256 string
	// Version of the program.
	Version string
	// Deidentify leaves the patient and the study without a word. UIDs stay, for
	// without them no viewer finds the images.
	Deidentify bool
}

// Write writes labels, which lie on the grid of the scan with the origin. The
// errors of Check are a *volume.Refusal.
func Write(w io.Writer, labels *volume.Labels, origin *dicom.Origin, opts Options) error {
	o, err := newObject(labels, origin, opts)
	if err != nil {
		return err
	}
	if err := derived.Write(w, class, o.encode); err != nil {
		return fmt.Errorf("write a DICOM SEG: %w", err)
	}
	return nil
}

// Segment is a segment of an object that others refer to.
type Segment struct {
	Value uint8 // in the label map
	Label string
	Type  derived.Code
}

// Reference is how others refer to an object.
type Reference struct {
	Class, Instance, Series string // UIDs
	// Segments in the order of their numbers, which begin at 1.
	Segments []Segment
}

// Refer tells how to refer to what Write would write.
func Refer(labels *volume.Labels, origin *dicom.Origin, opts Options) (Reference, error) {
	o, err := newObject(labels, origin, opts)
	if err != nil {
		return Reference{}, err
	}
	uids, err := derived.Identify(class, o.encode)
	if err != nil {
		return Reference{}, fmt.Errorf("refer to a DICOM SEG: %w", err)
	}
	r := Reference{Class: class.UID, Instance: uids(derived.Instance), Series: uids(derived.Series)}
	for _, s := range o.segments {
		r.Segments = append(r.Segments, Segment{Value: s.value, Label: s.label, Type: s.code})
	}
	return r, nil
}

// Check tells, by a *volume.Refusal, why a segmentation of the scan with the
// origin (nil for one that is no DICOM series) cannot be written.
func Check(origin *dicom.Origin) error { return derived.Check(origin, "a DICOM SEG") }

func newObject(labels *volume.Labels, origin *dicom.Origin, opts Options) (*object, error) {
	if err := Check(origin); err != nil {
		return nil, err
	}
	o := &object{labels: labels, Source: derived.Source{
		Origin: origin, Model: opts.Model, ModelVersion: opts.ModelVersion, ModelSHA256: opts.ModelSHA256, Version: opts.Version, Deidentify: opts.Deidentify,
	}}
	var err error
	if o.segments, err = segmentsOf(opts.Classes); err != nil {
		return nil, err
	}
	if err := o.checkLabels(); err != nil {
		return nil, fmt.Errorf("write a DICOM SEG: %w", err)
	}
	return o, nil
}

// object is what is written.
type object struct {
	derived.Source
	labels   *volume.Labels
	segments []segment
}

// checkLabels refuses labels that do not belong to the origin or the classes.
func (o *object) checkLabels() error {
	size := o.labels.Size
	if size[2] != len(o.Origin.Slices) || len(o.labels.Values) != o.labels.Voxels() {
		return fmt.Errorf("%d labels on a grid of %v for a series of %d slices", len(o.labels.Values), size, len(o.Origin.Slices))
	}
	if size[0] > math.MaxUint16 || size[1] > math.MaxUint16 || o.pixelBytes() > math.MaxUint32-1 {
		return fmt.Errorf("a grid of %v is too large for the format", size)
	}
	var known [256]bool
	known[0] = true
	for _, s := range o.segments {
		known[s.value] = true
	}
	for _, v := range o.labels.Values {
		if !known[v] {
			return fmt.Errorf("the label %d is of no class", v)
		}
	}
	return nil
}

// encode writes the data set.
func (o *object) encode(e *derived.Encoder, uids derived.UIDs) {
	o.header(e, uids)
	o.frames(e)
	o.pixels(e)
}
