// Package images tells what DICOM objects are: whether they are images of a scan,
// and, frame by frame, their places, directions, scaling, and by what they differ.
//
// It reads no pixels and chooses nothing: what is wrong or missing is kept for the case that the
// object is needed. The texts of the patient and the study, for objects made from the images, are
// the only ones that it keeps. Package dicom calls it.
package images

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
	"github.com/brainseg/brainseg/internal/volume/dicom/pixels"
)

// Object is what is kept of one file.
type Object struct {
	File    *files.File
	Err     *volume.Refusal // why the image is not usable; nil if it is
	Foreign string          // of dataset.ErrNotDICOM: what the file is instead
	Patient []string        // words that must not be shown
	// Texts are the elements of the patient and the study, by tag. They are never
	// shown, and the caller drops them where it keeps the object.
	Texts map[uint32][]byte

	pixels.Format
	Corrected bool // the data are not encoded as the meta header says

	SOPClass, SOPInstance, Modality, Study, Series, FrameOfReference string
	ImageType, Words                                                 string // upper and lower case
	Photometric                                                      string
	Samples                                                          int
	Contrast, Mosaic, ModalityLUT, FloatPixels                       bool
	Padding                                                          *[2]int
	EchoTime, RepetitionTime, InversionTime                          float64 // ms; 0 if not stated

	Frames []Frame
}

// Frame is one picture with its place.
type Frame struct {
	Object *Object
	Index  int // in the object

	Position         volume.Vector // patient coordinates as in DICOM: left, posterior, superior
	Row, Column      volume.Vector // directions
	Spacing          [2]float64    // between rows, between columns
	Slope, Intercept float64
	InStack          int // the place in the stack that an enhanced image states; 0 if it does not
	// What tells images at one place apart, by keyword.
	Contrast [len(ContrastTags)]string
	Err      *volume.Refusal // what is missing or wrong of the geometry
}

// ContrastTags are the elements by which images at one place may differ.
var ContrastTags = [...]dataset.Tag{dataset.TagEchoTime, dataset.TagInversionTime, dataset.TagTriggerTime, dataset.TagTemporalPosition, dataset.TagBValue, dataset.TagFlipAngle, dataset.TagAcquisitionNumber, dataset.TagImageType, dataset.TagRepetitionTime}

// Parse reads an object up to its pixels, which are next in the stream. The
// object holds what could be read even if there is an error.
func Parse(in *files.Input) (*Object, *dataset.Stream, error) {
	o := &Object{Format: pixels.Format{FrameCount: 1, FileSize: in.Size}}
	raw := in.Buffered()
	meta, bare, foreign, err := dataset.ReadMeta(raw)
	if o.Foreign = foreign; err != nil {
		return o, nil, err
	}
	if bare {
		o.Note("no-preamble", "a file has no DICOM preamble; it was recognised by its first element")
	}
	o.Syntax = dataset.SyntaxOf(meta.Text(dataset.TagTransferSyntax))
	o.SOPClass = meta.Text(dataset.TagMediaStorageSOPClass)
	body := raw
	head, _ := raw.Peek(8)
	seen, changed := o.Syntax.Observed(head)
	if o.Syntax.Deflated && !plain(head) {
		body = bufio.NewReaderSize(io.LimitReader(inflate(raw), files.Inflated(in.Size)), 16<<10)
		head, _ = body.Peek(8)
		seen, changed = o.Syntax.Observed(head)
	}
	if changed {
		o.Corrected, o.Syntax.Order, o.Syntax.Explicit = o.Syntax.UID != "", seen.Order, seen.Explicit
	}
	s := dataset.NewStream(body, o.Syntax.Order, o.Syntax.Explicit)
	set, err := o.elements(s)
	o.keep(set)
	if s.Odd {
		o.Note("odd-length", "a file holds an element of odd length, which the standard forbids; it was read as it is")
	}
	if err == nil {
		err = o.groups(set)
	}
	return o, s, err
}

// ParseFormat is Parse for one who needs to know of the pixels alone.
func ParseFormat(in *files.Input) (*pixels.Format, *dataset.Stream, error) {
	o, s, err := Parse(in)
	return &o.Format, s, err
}

// plain tells whether b begins a data set that is not compressed: with group 8,
// where deflate would begin a block that is stored, of which the length follows
// twice, once inverted.
func plain(b []byte) bool {
	return len(b) >= 5 && (b[0] == 8 && b[1] == 0 || b[0] == 0 && b[1] == 8) && (b[1] != ^b[3] || b[2] != ^b[4])
}

// inflate undoes deflate, with or without a zlib header.
func inflate(in *bufio.Reader) io.Reader {
	if b, err := in.Peek(2); err == nil && b[0] == 0x78 && binary.BigEndian.Uint16(b)%31 == 0 {
		in.Discard(2)
	}
	return flate.NewReader(in)
}

// elements reads the data set up to its pixels.
func (o *Object) elements(s *dataset.Stream) (dataset.Set, error) {
	set := dataset.NewSet(s.Order)
	for {
		if s.Ended() {
			return set, nil
		}
		e, err := s.Next()
		if err != nil {
			return set, err
		}
		switch e.Tag {
		case dataset.TagPixelData:
			o.HasPixels, o.VR, o.Length = true, e.VR, e.Length
			return set, nil
		case dataset.TagFloatPixelData, dataset.TagDoubleFloatPixelData:
			o.FloatPixels = true
			return set, nil
		case dataset.TagSharedGroups:
			if set.Items[e.Tag], err = s.ItemList(e, 0); err != nil {
				return set, err
			}
			continue
		case dataset.TagPerFrameGroups:
			if len(o.Frames) > 0 {
				return set, dataset.BadValue(e.Tag, "is there twice")
			}
			// One after the other, because there may be thousands.
			err := s.EachItem(e, 0, func(item dataset.Set) {
				o.Frames = append(o.Frames, o.frame(len(o.Frames), []dataset.Set{item, sharedOf(set), set}))
			})
			if err != nil {
				return set, err
			}
			continue
		case dataset.TagModalityLUT:
			o.ModalityLUT = true
		case 0: // zeros after the end
			return set, nil
		}
		if err := s.Keep(set, e); err != nil {
			return set, err
		}
	}
}

// keep takes over what is needed of the data set.
func (o *Object) keep(set dataset.Set) {
	o.Patient = []string{set.Text(dataset.TagPatientName), set.Text(dataset.TagPatientID)}
	if class := set.Text(dataset.TagSOPClass); class != "" {
		o.SOPClass = class
	}
	o.Texts, o.SOPInstance, o.Study = textsOf(set), set.Text(dataset.TagSOPInstance), set.Text(dataset.TagStudy)
	o.Modality = strings.ToUpper(set.Text(dataset.TagModality))
	o.Series, o.FrameOfReference = set.Text(dataset.TagSeries), set.Text(dataset.TagFrameOfReference)
	o.ImageType = strings.ToUpper(set.Text(dataset.TagImageType))
	o.Words = strings.ToLower(strings.Join([]string{set.Text(dataset.TagSeriesDescription), set.Text(dataset.TagProtocolName), set.Text(dataset.TagSequenceName), set.Text(dataset.TagPulseSequenceName)}, " "))
	o.Photometric = strings.ToUpper(set.Text(dataset.TagPhotometric))
	o.Contrast = set.Has(dataset.TagContrastAgent)
	tiles, _, _ := set.Integer(dataset.TagImagesInMosaic)
	o.Mosaic = strings.Contains(o.ImageType, "MOSAIC") || tiles > 1 && strings.HasPrefix(o.Modality, "MR")
	for table := set.Elements[dataset.TagExtendedOffsetTable].Bytes; len(table) >= 8; table = table[8:] {
		o.Offsets = append(o.Offsets, set.Order.Uint64(table))
	}
	first := func(err error) {
		var r *volume.Refusal
		if o.Err == nil && errors.As(err, &r) {
			o.Err = r
		}
	}
	whole := func(t dataset.Tag, otherwise int) int {
		n, ok, err := set.Integer(t)
		if first(err); !ok || err != nil {
			return otherwise
		}
		return n
	}
	o.Rows, o.Columns = whole(dataset.TagRows, 0), whole(dataset.TagColumns, 0)
	o.Samples, o.FrameCount = whole(dataset.TagSamplesPerPixel, 1), whole(dataset.TagNumberOfFrames, 1)
	o.BitsAllocated = whole(dataset.TagBitsAllocated, 0)
	o.BitsStored = whole(dataset.TagBitsStored, o.BitsAllocated)
	o.HighBit = whole(dataset.TagHighBit, o.BitsStored-1)
	o.Signed = whole(dataset.TagPixelRepresentation, 0) == 1
	o.keepPadding(set)
	for t, into := range map[dataset.Tag]*float64{dataset.TagEchoTime: &o.EchoTime, dataset.TagRepetitionTime: &o.RepetitionTime, dataset.TagInversionTime: &o.InversionTime} {
		if v, ok, err := set.Decimals(t, 1); ok && err == nil {
			*into = v[0]
		}
	}
}

// keepPadding reads the padding values, of which only the bits that are stored
// count, whatever VR they have.
func (o *Object) keepPadding(set dataset.Set) {
	value := func(t dataset.Tag) (int, bool) {
		v := set.Elements[t]
		if v.VR == "xs" || v.VR == "US" || v.VR == "SS" {
			if len(v.Bytes) < 2 {
				return 0, false
			}
			n := set.Order.Uint16(v.Bytes)
			if o.Signed {
				return int(int16(n)), true
			}
			return int(n), true
		}
		n, ok, err := set.Integer(t)
		return n, ok && err == nil
	}
	low, ok := value(dataset.TagPixelPadding)
	if !ok {
		return
	}
	high, ok := value(dataset.TagPixelPaddingLimit)
	if !ok {
		high = low
	}
	o.Padding = &[2]int{min(low, high), max(low, high)}
}

// textTags are the elements of the patient and of the study that are kept for
// objects made from the images.
var textTags = []dataset.Tag{
	dataset.TagCharacterSet, dataset.TagStudyDate, dataset.TagStudyTime, dataset.TagAccessionNumber, dataset.TagReferringPhysician, dataset.TagStudyDescription,
	dataset.TagPatientName, dataset.TagPatientID, dataset.TagIssuerOfPatientID, dataset.TagBirthDate, dataset.TagSex, dataset.TagAge, dataset.TagHeight, dataset.TagWeight,
	dataset.TagIdentityRemoved, dataset.TagDeidentification, dataset.TagStudyID, dataset.TagLossy, dataset.TagLossyRatio, dataset.TagLossyMethod,
}

// textsOf takes the texts out of a data set, without padding.
func textsOf(set dataset.Set) map[uint32][]byte {
	texts := make(map[uint32][]byte)
	for _, t := range textTags {
		if text := strings.Trim(string(set.Elements[t].Bytes), " \x00"); text != "" {
			texts[uint32(t)] = []byte(text)
		}
	}
	return texts
}
