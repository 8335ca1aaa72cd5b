package derived

import (
	"strings"

	"github.com/brainseg/brainseg/internal/volume/dicom"
)

// Elements that objects point to or end with.
const (
	TagLevels = 0x00182005 // SliceLocationVector
	TagPixels = 0x7fe00010 // PixelData
)

// Content is when the content was made. That is taken to be the time of the
// study, so that the same input gives the same bytes; where it is not known or
// not to be told, the beginning of 1900.
func (s Source) Content() (date, time string) {
	date, time = "19000101", "000000"
	if d := s.Text(0x00080020, "DA"); d != nil {
		date = string(d)
		if t := s.Text(0x00080030, "TM"); t != nil {
			time = string(t)
		}
	}
	return date, time
}

// ModelName is the model with its version.
func (s Source) ModelName() string {
	return Line(strings.TrimSpace(s.Model+" "+s.ModelVersion), "unknown")
}

// FrameOfReference is that of the images. Where they have none, the object gets
// one that all objects made from the series share.
func (s Source) FrameOfReference() string {
	if s.Origin.FrameOfReferenceUID != "" {
		return s.Origin.FrameOfReferenceUID
	}
	return DerivedUID("frame of reference", []byte(s.Origin.SeriesUID))
}

// Images are the images that the slices come from, each once.
func (s Source) Images() []dicom.Slice {
	var images []dicom.Slice
	seen := make(map[string]bool)
	for _, slice := range s.Origin.Slices {
		if !seen[slice.InstanceUID] {
			seen[slice.InstanceUID] = true
			images = append(images, slice)
		}
	}
	return images
}

// ReferencedSeries lists the images that the slices come from.
func (s Source) ReferencedSeries(e *Encoder) {
	images := s.Images()
	e.One(0x00081115, func() { // ReferencedSeriesSequence
		e.Sequence(0x0008114a, len(images), func(i int) { // ReferencedInstanceSequence
			e.Text(0x00081150, "UI", images[i].ClassUID)
			e.Text(0x00081155, "UI", images[i].InstanceUID)
		})
		e.Text(0x0020000e, "UI", s.Origin.SeriesUID)
	})
}

// RemovedIdentity says that the patient's identity was removed: here, or before.
func (s Source) RemovedIdentity(e *Encoder) {
	before := string(s.Origin.Texts[0x00120062]) == "YES"
	if !s.Deidentify && !before {
		return
	}
	e.Text(0x00120062, "CS", "YES") // PatientIdentityRemoved
	switch method := s.Text(0x00120063, "LO"); {
	case s.Deidentify:
		e.Text(0x00120063, "LO", "brainseg: patient and study emptied, UIDs kept") // DeidentificationMethod
	case method != nil:
		e.Bytes(0x00120063, "LO", method)
	default:
		e.Text(0x00120063, "LO", "as the source images")
	}
}

// Line makes a short text fit for an element: printable ASCII without the
// character that separates values, at most 64 of them.
func Line(s, otherwise string) string {
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

// Header is what the objects say in common, from their character set to where
// their images lie.
type Header struct {
	Class Class
	// ImageType, nil for what is no image.
	ImageType []string
	// Description of the series that the object is alone in.
	Description string
	// Converted is how another picture became this one (ConversionType); "" for
	// what is none.
	Converted string
	// Levels are the places of the frames along their normal in mm, of a picture
	// with several that has no other way to tell.
	Levels []float64
	// References writes the elements between ManufacturerModelName (0008,1090) and
	// PatientName (0010,0010).
	References func(*Encoder)
	// Turned tells that the object is a picture that does not say how it lies.
	Turned bool
	// Placed tells that the object lies in the frame of reference of the images.
	Placed bool
}

// Header writes the elements up to group 0020.
func (s Source) Header(e *Encoder, uids UIDs, h Header) {
	s.Copied(e, 0x00080005, "CS", Optional) // SpecificCharacterSet
	if h.ImageType != nil {
		e.Text(0x00080008, "CS", h.ImageType...)
	}
	e.Text(0x00080016, "UI", h.Class.UID)
	e.Text(0x00080018, "UI", uids(Instance))
	s.Copied(e, 0x00080020, "DA", Required) // StudyDate
	date, time := s.Content()
	e.Text(0x00080023, "DA", date)          // ContentDate
	s.Copied(e, 0x00080030, "TM", Required) // StudyTime
	e.Text(0x00080033, "TM", time)          // ContentTime
	s.Copied(e, 0x00080050, "SH", Required) // AccessionNumber
	e.Text(0x00080060, "CS", h.Class.Modality)
	if h.Converted != "" {
		e.Text(0x00080064, "CS", h.Converted)
	}
	e.Text(0x00080070, "LO", Manufacturer)
	s.Copied(e, 0x00080090, "PN", Required) // ReferringPhysicianName
	s.Copied(e, 0x00081030, "LO", Optional) // StudyDescription
	e.Text(0x0008103e, "LO", h.Description) // SeriesDescription
	e.Text(0x00081090, "LO", Manufacturer)  // ManufacturerModelName
	h.References(e)
	s.Copied(e, 0x00100010, "PN", Required) // PatientName
	s.Copied(e, 0x00100020, "LO", Required) // PatientID
	s.Copied(e, 0x00100021, "LO", Optional) // IssuerOfPatientID
	s.Copied(e, 0x00100030, "DA", Required) // PatientBirthDate
	s.Copied(e, 0x00100040, "CS", Required) // PatientSex
	s.Copied(e, 0x00101010, "AS", Optional) // PatientAge
	s.Copied(e, 0x00101020, "DS", Optional) // PatientSize
	s.Copied(e, 0x00101030, "DS", Optional) // PatientWeight
	s.RemovedIdentity(e)
	e.Text(0x00181000, "LO", Line(s.ModelSHA256, "unknown")) // DeviceSerialNumber
	e.Text(0x00181020, "LO", Line(s.Version, "unknown"), s.ModelName())
	if len(h.Levels) > 0 {
		e.Decimals(TagLevels, h.Levels...)
	}
	e.Text(0x0020000d, "UI", s.Origin.StudyUID)
	e.Text(0x0020000e, "UI", uids(Series))
	s.Copied(e, 0x00200010, "SH", Required) // StudyID
	e.Whole(0x00200011, 1)                  // SeriesNumber
	e.Whole(0x00200013, 1)                  // InstanceNumber
	if h.Turned {
		e.Text(0x00200020, "CS") // PatientOrientation
	}
	if h.Placed {
		e.Text(0x00200052, "UI", s.FrameOfReference())
		e.Text(0x00201040, "LO") // PositionReferenceIndicator
	} else if h.Turned {
		e.Text(0x00200060, "CS") // Laterality
	}
}

// Compression tells whether the images were compressed with loss.
func (s Source) Compression(e *Encoder) {
	if string(s.Origin.Texts[0x00282110]) != "01" {
		e.Text(0x00282110, "CS", "00") // LossyImageCompression
		return
	}
	e.Text(0x00282110, "CS", "01")
	if ratio := Valid("DS", s.Origin.Texts[0x00282112]); ratio != nil {
		e.Bytes(0x00282112, "DS", ratio)
	}
	if method := Valid("CS", s.Origin.Texts[0x00282114]); method != nil {
		e.Bytes(0x00282114, "CS", method)
	}
}

// Code is a coded concept.
type Code struct{ Value, Scheme, Meaning string }

// SCT is a code of SNOMED CT.
func SCT(value, meaning string) Code { return Code{value, "SCT", meaning} }

// DCM is a code of the standard itself (PS3.16).
func DCM(value, meaning string) Code { return Code{value, "DCM", meaning} }

// Coded writes a code sequence.
func Coded(e *Encoder, tag uint32, c Code) {
	e.One(tag, func() {
		e.Text(0x00080100, "SH", c.Value)
		e.Text(0x00080102, "SH", c.Scheme)
		e.Text(0x00080104, "LO", c.Meaning)
	})
}
