// Package sc writes the slices of a series with its tissues in colour as a DICOM
// Secondary Capture (Multi-frame True Color, SOP class
// 1.2.840.10008.5.1.4.1.1.7.4): a picture for viewers that show no segmentations.
//
// One frame a slice, in the order and the orientation of the images, compressed
// without loss (RLE). It is a picture to look at: it lies in no frame of
// reference, and nothing can be measured in it. Patient and study are those of
// the source, or are emptied. The same input gives the same bytes.
//
// Package derived has what it shares with other objects; package scans of the
// device calls Write. The standard is PS3.3 A.8.5.
package sc

import (
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
)

var class = derived.Class{UID: "1.2.840.10008.5.1.4.1.1.7.4", Modality: "OT", Syntax: derived.RLE}

// opacity of the tissues' colours over the slice.
const opacity = 0.45

// Class is the colour of a value of the label map.
type Class struct {
	Value uint8
	// Colour is #rrggbb. Value 0, the background, has none.
	Colour string
}

// Check tells, by a *volume.Refusal, why a capture of the scan with the origin
// (nil for one that is no DICOM series) cannot be written.
func Check(origin *dicom.Origin) error { return derived.Check(origin, "a DICOM Secondary Capture") }

// Write writes the slices of scan under its labels, which lie on the grid of the
// series of source. The errors of Check are a *volume.Refusal.
func Write(w io.Writer, scan *volume.Volume, labels *volume.Labels, source derived.Source, classes []Class) error {
	if err := Check(source.Origin); err != nil {
		return err
	}
	o := &object{Source: source, size: labels.Size, spacing: labels.Spacing(), labels: labels.Values}
	if n := labels.Voxels(); o.size != scan.Size || len(o.labels) != n || len(scan.Values) != n || o.size[2] != len(source.Origin.Slices) || max(o.size[0], o.size[1]) > math.MaxUint16 {
		return fmt.Errorf("write a DICOM Secondary Capture: labels of %v for a scan of %v in %d slices", o.size, scan.Size, len(source.Origin.Slices))
	}
	for i := range o.colours {
		o.colours[i] = nil
	}
	for _, c := range classes {
		rgb, err := hex.DecodeString(strings.TrimPrefix(c.Colour, "#"))
		if err != nil || len(rgb) != 3 {
			return fmt.Errorf("write a DICOM Secondary Capture: the colour %q is not #rrggbb", c.Colour)
		}
		if c.Value != 0 {
			o.colours[c.Value] = rgb
		}
	}
	o.grey = scan.Grey()
	if err := derived.Write(w, class, o.encode); err != nil {
		return fmt.Errorf("write a DICOM Secondary Capture: %w", err)
	}
	return nil
}

type object struct {
	derived.Source
	size    [3]int
	spacing [3]float64 // mm
	grey    []uint8
	labels  []uint8
	colours [256][]byte // red, green, blue; nil for none
}

func (o *object) encode(e *derived.Encoder, uids derived.UIDs) {
	levels := make([]float64, o.size[2])
	for i := range levels {
		levels[i] = float64(i) * o.spacing[2]
	}
	o.Header(e, uids, derived.Header{
		Class: class, ImageType: []string{"DERIVED", "SECONDARY"}, Description: "Brain tissues in colour", Converted: "WSD",
		Levels: levels, References: o.sources, Turned: true,
	})
	e.US(0x00280002, 3) // SamplesPerPixel
	e.Text(0x00280004, "CS", "RGB")
	e.US(0x00280006, 0)                 // PlanarConfiguration
	e.Whole(0x00280008, o.size[2])      // NumberOfFrames
	e.AT(0x00280009, derived.TagLevels) // FrameIncrementPointer
	e.US(0x00280010, uint16(o.size[1])) // Rows
	e.US(0x00280011, uint16(o.size[0])) // Columns
	if across, down := micrometres(o.spacing[0]), micrometres(o.spacing[1]); across != down {
		e.Text(0x00280034, "IS", fmt.Sprint(down), fmt.Sprint(across)) // PixelAspectRatio
	}
	e.US(0x00280100, 8)            // BitsAllocated
	e.US(0x00280101, 8)            // BitsStored
	e.US(0x00280102, 7)            // HighBit
	e.US(0x00280103, 0)            // PixelRepresentation
	e.Text(0x00280301, "CS", "NO") // BurnedInAnnotation
	o.Compression(e)
	next := e.Fragments(derived.TagPixels)
	n := o.size[0] * o.size[1]
	planes := [3][]byte{make([]byte, n), make([]byte, n), make([]byte, n)}
	for slice := range o.size[2] {
		o.draw(slice, planes)
		next(rle(planes[:], o.size[0]))
	}
	next(nil)
}

func micrometres(mm float64) int { return max(1, int(math.Round(mm*1000))) }

// sources lists the images of the slices.
func (o *object) sources(e *derived.Encoder) {
	images := o.Images()
	e.Text(0x00082111, "ST", "Tissues of the brain by an automatic method, over the images") // DerivationDescription
	e.Sequence(0x00082112, len(images), func(i int) {
		e.Text(0x00081150, "UI", images[i].ClassUID)
		e.Text(0x00081155, "UI", images[i].InstanceUID)
		derived.Coded(e, 0x0040a170, derived.DCM("121322", "Source image for image processing operation"))
	})
}

// draw makes the picture of a slice, by colour.
func (o *object) draw(slice int, planes [3][]byte) {
	n := len(planes[0])
	for i := range n {
		grey := o.grey[slice*n+i]
		colour := o.colours[o.labels[slice*n+i]]
		for k := range planes {
			planes[k][i] = grey
			if colour != nil {
				planes[k][i] = uint8(float64(float64(grey)*(1-opacity)) + float64(float64(colour[k])*opacity) + 0.5)
			}
		}
	}
}
