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
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
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
	if err := Check(origin); err != nil {
		return err
	}
	o := &object{labels: labels, origin: origin, opts: opts}
	var err error
	if o.segments, err = segmentsOf(opts.Classes); err != nil {
		return err
	}
	if err := o.checkLabels(); err != nil {
		return fmt.Errorf("write a DICOM SEG: %w", err)
	}
	digest := sha256.New()
	if err := o.encode(digest, identity{}); err != nil {
		return fmt.Errorf("write a DICOM SEG: %w", err)
	}
	if err := o.encode(w, identityOf(digest.Sum(nil))); err != nil {
		return fmt.Errorf("write a DICOM SEG: %w", err)
	}
	return nil
}

// Check tells, by a *volume.Refusal, why a segmentation of the scan with the
// origin (nil for one that is no DICOM series) cannot be written.
func Check(origin *dicom.Origin) error {
	if origin == nil {
		return volume.Refuse(volume.CodeNoSeries, "a DICOM SEG refers to the images of a DICOM series, and this scan is none", "give the DICOM series, or do without the SEG")
	}
	cure := "export the series again, or do without the SEG"
	missing := func(what string) error {
		return volume.Refuse(volume.CodeBadHeader, "a DICOM SEG refers to its images by their UIDs, and "+what+" is missing or none", cure)
	}
	switch {
	case !validUID(origin.StudyUID):
		return missing("StudyInstanceUID (0020,000d)")
	case !validUID(origin.SeriesUID):
		return missing("SeriesInstanceUID (0020,000e)")
	case origin.FrameOfReferenceUID != "" && !validUID(origin.FrameOfReferenceUID):
		return missing("FrameOfReferenceUID (0020,0052)")
	}
	type image struct {
		uid   string
		frame int
	}
	seen := make(map[image]bool)
	for _, s := range origin.Slices {
		if !validUID(s.InstanceUID) || !validUID(s.ClassUID) {
			return missing("SOPInstanceUID (0008,0018) or SOPClassUID (0008,0016) of an image")
		}
		if i := (image{s.InstanceUID, s.Frame}); seen[i] {
			return volume.Refuse(volume.CodeBadHeader, "a DICOM SEG refers to its images by their UIDs, and two images have the same SOPInstanceUID (0008,0018)", cure)
		} else {
			seen[i] = true
		}
	}
	return nil
}

func validUID(uid string) bool {
	return uid != "" && len(uid) <= 64 && strings.Trim(uid, "0123456789.") == ""
}

// object is what is written.
type object struct {
	labels   *volume.Labels
	origin   *dicom.Origin
	opts     Options
	segments []segment
}

// checkLabels refuses labels that do not belong to the origin or the classes.
func (o *object) checkLabels() error {
	size := o.labels.Size
	if size[2] != len(o.origin.Slices) || len(o.labels.Values) != o.labels.Voxels() {
		return fmt.Errorf("%d labels on a grid of %v for a series of %d slices", len(o.labels.Values), size, len(o.origin.Slices))
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

// encode writes the file.
func (o *object) encode(w io.Writer, id identity) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	e := &encoder{w: buffered}
	o.meta(e, id)
	o.header(e, id)
	o.frames(e)
	o.pixels(e)
	if e.err != nil {
		return e.err
	}
	return buffered.Flush()
}
