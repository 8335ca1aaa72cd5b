package seg

import (
	"bytes"
	"strings"
)

const (
	classSegmentation = "1.2.840.10008.5.1.4.1.1.66.4"
	explicitLE        = "1.2.840.10008.1.2.1"
	// implementation names this writer.
	implementation = "2.25.236049487104529017410424311243086419275"
	manufacturer   = "brainseg"
	contentLabel   = "BRAIN_TISSUES"
)

// meta writes the file's meta header.
func (o *object) meta(e *encoder, id identity) {
	var group bytes.Buffer
	m := &encoder{w: &group}
	m.bytes(0x00020001, "OB", []byte{0, 1})
	m.text(0x00020002, "UI", classSegmentation)
	m.text(0x00020003, "UI", id.instance)
	m.text(0x00020010, "UI", explicitLE)
	m.text(0x00020012, "UI", implementation)
	m.text(0x00020013, "SH", strings.ToUpper(manufacturer))
	e.write(make([]byte, 128))
	e.write([]byte("DICM"))
	e.ul(0x00020000, uint32(group.Len()))
	e.write(group.Bytes())
	e.last = 0x00020013
}

// header writes the data set up to the functional groups.
func (o *object) header(e *encoder, id identity) {
	o.copied(e, 0x00080005, "CS", optional)        // SpecificCharacterSet
	e.text(0x00080008, "CS", "DERIVED", "PRIMARY") // ImageType
	e.text(0x00080016, "UI", classSegmentation)
	e.text(0x00080018, "UI", id.instance)
	o.copied(e, 0x00080020, "DA", required) // StudyDate
	date, time := o.content()
	e.text(0x00080023, "DA", date)          // ContentDate
	o.copied(e, 0x00080030, "TM", required) // StudyTime
	e.text(0x00080033, "TM", time)          // ContentTime
	o.copied(e, 0x00080050, "SH", required) // AccessionNumber
	e.text(0x00080060, "CS", "SEG")
	e.text(0x00080070, "LO", manufacturer)
	o.copied(e, 0x00080090, "PN", required)               // ReferringPhysicianName
	o.copied(e, 0x00081030, "LO", optional)               // StudyDescription
	e.text(0x0008103e, "LO", "Brain tissue segmentation") // SeriesDescription
	e.text(0x00081090, "LO", manufacturer)                // ManufacturerModelName
	o.referencedSeries(e)
	o.copied(e, 0x00100010, "PN", required) // PatientName
	o.copied(e, 0x00100020, "LO", required) // PatientID
	o.copied(e, 0x00100021, "LO", optional) // IssuerOfPatientID
	o.copied(e, 0x00100030, "DA", required) // PatientBirthDate
	o.copied(e, 0x00100040, "CS", required) // PatientSex
	o.copied(e, 0x00101010, "AS", optional) // PatientAge
	o.copied(e, 0x00101020, "DS", optional) // PatientSize
	o.copied(e, 0x00101030, "DS", optional) // PatientWeight
	o.removedIdentity(e)
	e.text(0x00181000, "LO", line(o.opts.ModelSHA256, "unknown")) // DeviceSerialNumber
	e.text(0x00181020, "LO", line(o.opts.Version, "unknown"), o.modelName())
	e.text(0x0020000d, "UI", o.origin.StudyUID)
	e.text(0x0020000e, "UI", id.series)
	o.copied(e, 0x00200010, "SH", required) // StudyID
	e.whole(0x00200011, 1)                  // SeriesNumber
	e.whole(0x00200013, 1)                  // InstanceNumber
	e.text(0x00200052, "UI", o.frameOfReference())
	e.text(0x00201040, "LO") // PositionReferenceIndicator
	dimensions(e, id)
	o.imagePixel(e)
	e.text(0x00620001, "CS", "BINARY") // SegmentationType
	e.sequence(0x00620002, len(o.segments), func(i int) { o.describe(e, i) })
	e.text(0x00620013, "CS", "NO") // SegmentsOverlap
	e.text(0x00700080, "CS", contentLabel)
	e.text(0x00700081, "LO", "Brain tissues by an automatic method") // ContentDescription
	e.text(0x00700084, "PN")                                         // ContentCreatorName
}

// content is when the content was made. That is taken to be the time of the
// study, so that the same input gives the same bytes; where it is not known or
// not to be told, the beginning of 1900.
func (o *object) content() (date, time string) {
	date, time = "19000101", "000000"
	if d := o.text(0x00080020, "DA"); d != nil {
		date = string(d)
		if t := o.text(0x00080030, "TM"); t != nil {
			time = string(t)
		}
	}
	return date, time
}

func (o *object) modelName() string {
	return line(strings.TrimSpace(o.opts.Model+" "+o.opts.ModelVersion), "unknown")
}

// frameOfReference is that of the images. Where they have none, the object gets
// one that all segmentations of the series share.
func (o *object) frameOfReference() string {
	if o.origin.FrameOfReferenceUID != "" {
		return o.origin.FrameOfReferenceUID
	}
	return derivedUID("frame of reference", []byte(o.origin.SeriesUID))
}

// referencedSeries lists the images that the slices come from.
func (o *object) referencedSeries(e *encoder) {
	var images []int
	seen := make(map[string]bool)
	for i, s := range o.origin.Slices {
		if !seen[s.InstanceUID] {
			seen[s.InstanceUID] = true
			images = append(images, i)
		}
	}
	e.one(0x00081115, func() { // ReferencedSeriesSequence
		e.sequence(0x0008114a, len(images), func(i int) { // ReferencedInstanceSequence
			s := o.origin.Slices[images[i]]
			e.text(0x00081150, "UI", s.ClassUID)
			e.text(0x00081155, "UI", s.InstanceUID)
		})
		e.text(0x0020000e, "UI", o.origin.SeriesUID)
	})
}

// removedIdentity says that the patient's identity was removed: here, or before.
func (o *object) removedIdentity(e *encoder) {
	before := string(o.origin.Texts[0x00120062]) == "YES"
	if !o.opts.Deidentify && !before {
		return
	}
	e.text(0x00120062, "CS", "YES") // PatientIdentityRemoved
	switch method := o.text(0x00120063, "LO"); {
	case o.opts.Deidentify:
		e.text(0x00120063, "LO", "brainseg: patient and study emptied, UIDs kept") // DeidentificationMethod
	case method != nil:
		e.bytes(0x00120063, "LO", method)
	default:
		e.text(0x00120063, "LO", "as the source images")
	}
}

// The elements by which frames are ordered.
const (
	tagSegmentIdentification = 0x0062000a
	tagReferencedSegment     = 0x0062000b
	tagPlanePosition         = 0x00209113
	tagImagePosition         = 0x00200032
)

// dimensions says that frames are ordered by segment, and then by place.
func dimensions(e *encoder, id identity) {
	e.one(0x00209221, func() { e.text(0x00209164, "UI", id.dimensions) }) // DimensionOrganizationSequence
	indices := []struct {
		element, group uint32
		label          string
	}{{tagReferencedSegment, tagSegmentIdentification, "Segment"}, {tagImagePosition, tagPlanePosition, "Position"}}
	e.sequence(0x00209222, len(indices), func(i int) { // DimensionIndexSequence
		e.text(0x00209164, "UI", id.dimensions)
		e.at(0x00209165, indices[i].element)
		e.at(0x00209167, indices[i].group)
		e.text(0x00209421, "LO", indices[i].label)
	})
}

// imagePixel describes the pixels: one bit each.
func (o *object) imagePixel(e *encoder) {
	e.us(0x00280002, 1) // SamplesPerPixel
	e.text(0x00280004, "CS", "MONOCHROME2")
	e.whole(0x00280008, len(o.segments)*o.labels.Size[2]) // NumberOfFrames
	e.us(0x00280010, uint16(o.labels.Size[1]))            // Rows
	e.us(0x00280011, uint16(o.labels.Size[0]))            // Columns
	e.us(0x00280100, 1)                                   // BitsAllocated
	e.us(0x00280101, 1)                                   // BitsStored
	e.us(0x00280102, 0)                                   // HighBit
	e.us(0x00280103, 0)                                   // PixelRepresentation
	if string(o.origin.Texts[0x00282110]) != "01" {
		e.text(0x00282110, "CS", "00") // LossyImageCompression
		return
	}
	e.text(0x00282110, "CS", "01")
	if ratio := valid("DS", o.origin.Texts[0x00282112]); ratio != nil {
		e.bytes(0x00282112, "DS", ratio)
	}
	if method := valid("CS", o.origin.Texts[0x00282114]); method != nil {
		e.bytes(0x00282114, "CS", method)
	}
}

// line makes a short text fit for an element: printable ASCII without the
// character that separates values, at most 64 of them.
func line(s, otherwise string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '\\' {
			return '_'
		}
		return r
	}, s))
	if len(s) > 64 {
		s = strings.TrimSpace(s[:64])
	}
	if s == "" {
		return otherwise
	}
	return s
}
