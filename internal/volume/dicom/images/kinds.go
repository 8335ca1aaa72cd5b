package images

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
)

// SOP classes that matter by themselves, with those below them.
const (
	// ClassMR is of MR images; enhanced ones are below it.
	ClassMR = "1.2.840.10008.5.1.4.1.1.4"
	// ClassCapture is of secondary captures: screenshots.
	ClassCapture  = "1.2.840.10008.5.1.4.1.1.7"
	classCT       = "1.2.840.10008.5.1.4.1.1.2"
	classSegments = "1.2.840.10008.5.1.4.1.1.66"
	classDose     = "1.2.840.10008.5.1.4.1.1.481"
)

// Within tells whether the object's class is this one or below it.
func (o *Object) Within(class string) bool {
	return o.SOPClass == class || strings.HasPrefix(o.SOPClass, class+".")
}

// IsMR tells whether the object is from magnetic resonance, by modality or class.
func (o *Object) IsMR() bool { return o.Modality == "MR" || o.Within(ClassMR) }

// NotAnImage says why the object is no image of a scan; "" if it is one, be it
// damaged or, which it then notes, without its pixels.
func (o *Object) NotAnImage() string {
	switch {
	case o.SOPClass == files.ClassDirectory:
		return "DICOMDIR"
	case o.Within(classSegments), o.Within(classDose), o.Modality == "SEG":
		return "a segmentation, raw data or a dose, not a scan"
	case o.Err != nil:
		return ""
	case o.FloatPixels:
		return "a map of floating-point numbers, not a scan"
	case o.HasPixels && o.Length != 0:
		return ""
	case o.SOPClass == "":
		o.Err = volume.Refuse(volume.CodeDamaged, "the file is truncated: it is too short and ends before it says what it is", "copy or export it again")
		return ""
	case !o.IsMR() && !o.Within(classCT) && o.Rows == 0:
		return "no image (report, presentation state, document or the like)"
	}
	o.Err = volume.Refuse(volume.CodeNoImage, "it has no pixel data: there is no image in it", "copy or export the file again")
	return ""
}

// Check refuses an image whose pixels are of a kind that is not read.
func (o *Object) Check() *volume.Refusal {
	cure := "give the original grey images"
	switch {
	case o.Mosaic:
		return volume.Refuse(volume.CodeMosaic, "the image is a mosaic: many slices in one picture, whose places are told only by the maker's private header", "export the series as one image for each slice, or as enhanced MR")
	case o.Samples != 1 || o.Photometric != "" && !strings.HasPrefix(o.Photometric, "MONOCHROME"):
		return volume.Refuse(volume.CodeColour, fmt.Sprintf("the image is in colour (PhotometricInterpretation %s)", knownPhotometric(o.Photometric)), cure)
	case o.ModalityLUT:
		return volume.Refuse(volume.CodeBadHeader, "its values follow from a table (ModalityLUTSequence), which is not read", "export the series with RescaleSlope")
	}
	return o.Format.Check()
}

func knownPhotometric(p string) string {
	for _, known := range []string{"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "HSV", "ARGB", "CMYK", "MONOCHROME1", "MONOCHROME2"} {
		if p == known {
			return p
		}
	}
	return "of another kind"
}

// Named tells whether the names of the object's sequence hold one of the words, in
// lower case. Words of up to three letters count only where a word begins.
func (o *Object) Named(words []string) bool {
	const short = 3
	return slices.ContainsFunc(words, func(word string) bool {
		if len(word) > short {
			return strings.Contains(o.Words, word)
		}
		return slices.ContainsFunc(strings.FieldsFunc(o.Words, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }),
			func(begun string) bool { return strings.HasPrefix(begun, word) })
	})
}
