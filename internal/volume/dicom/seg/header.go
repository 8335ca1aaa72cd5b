package seg

import "github.com/brainseg/brainseg/internal/volume/dicom/derived"

// class is the SOP class and how it is written.
var class = derived.Class{UID: "1.2.840.10008.5.1.4.1.1.66.4", Modality: "SEG", Syntax: derived.ExplicitLE}

const (
	contentLabel = "BRAIN_TISSUES"
	byPlace      = "dimensions" // a purpose of UIDs
)

// header writes the data set up to the functional groups.
func (o *object) header(e *derived.Encoder, uids derived.UIDs) {
	o.Header(e, uids, derived.Header{
		Class: class, ImageType: []string{"DERIVED", "PRIMARY"}, Description: "Brain tissue segmentation", References: o.ReferencedSeries, Placed: true,
	})
	dimensions(e, uids)
	o.imagePixel(e)
	e.Text(0x00620001, "CS", "BINARY") // SegmentationType
	e.Sequence(0x00620002, len(o.segments), func(i int) { o.describe(e, i) })
	e.Text(0x00620013, "CS", "NO") // SegmentsOverlap
	e.Text(0x00700080, "CS", contentLabel)
	e.Text(0x00700081, "LO", "Brain tissues by an automatic method") // ContentDescription
	e.Text(0x00700084, "PN")                                         // ContentCreatorName
}

// The elements by which frames are ordered.
const (
	tagSegmentIdentification = 0x0062000a
	tagReferencedSegment     = 0x0062000b
	tagPlanePosition         = 0x00209113
	tagImagePosition         = 0x00200032
)

// dimensions says that frames are ordered by segment, and then by place.
func dimensions(e *derived.Encoder, uids derived.UIDs) {
	e.One(0x00209221, func() { e.Text(0x00209164, "UI", uids(byPlace)) }) // DimensionOrganizationSequence
	indices := []struct {
		element, group uint32
		label          string
	}{{tagReferencedSegment, tagSegmentIdentification, "Segment"}, {tagImagePosition, tagPlanePosition, "Position"}}
	e.Sequence(0x00209222, len(indices), func(i int) { // DimensionIndexSequence
		e.Text(0x00209164, "UI", uids(byPlace))
		e.AT(0x00209165, indices[i].element)
		e.AT(0x00209167, indices[i].group)
		e.Text(0x00209421, "LO", indices[i].label)
	})
}

// imagePixel describes the pixels: one bit each.
func (o *object) imagePixel(e *derived.Encoder) {
	e.US(0x00280002, 1) // SamplesPerPixel
	e.Text(0x00280004, "CS", "MONOCHROME2")
	e.Whole(0x00280008, len(o.segments)*o.labels.Size[2]) // NumberOfFrames
	e.US(0x00280010, uint16(o.labels.Size[1]))            // Rows
	e.US(0x00280011, uint16(o.labels.Size[0]))            // Columns
	e.US(0x00280100, 1)                                   // BitsAllocated
	e.US(0x00280101, 1)                                   // BitsStored
	e.US(0x00280102, 0)                                   // HighBit
	e.US(0x00280103, 0)                                   // PixelRepresentation
	o.Compression(e)
}
