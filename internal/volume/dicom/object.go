package dicom

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

// object is what is kept of one file.
type object struct {
	file    *files.File
	err     *volume.Refusal // why the image is not usable; nil if it is
	foreign string          // of dataset.ErrNotDICOM: what the file is instead
	patient []string        // words that must not be shown

	pixels.Format
	corrected bool // the data are not encoded as the meta header says

	sopClass, sopInstance, modality, series, frameOfReference string
	imageType, words                                          string // upper and lower case
	photometric                                               string
	samples                                                   int
	contrast, mosaic, modalityLUT, floatPixels                bool
	padding                                                   *[2]int
	echoTime, repetitionTime, inversionTime                   float64 // ms; 0 if not stated

	frames []frame
}

// frame is one picture with its place.
type frame struct {
	object *object
	index  int // in the object

	position     volume.Vector // patient coordinates as in DICOM: left, posterior, superior
	row, column  volume.Vector // directions
	spacing      [2]float64    // between rows, between columns
	slope, inter float64
	inStack      int // the place in the stack that an enhanced image states; 0 if it does not
	// What tells images at one place apart, by keyword.
	contrast [len(contrastTags)]string
	err      *volume.Refusal // what is missing or wrong of the geometry
}

// contrastTags are the elements by which images at one place may differ.
var contrastTags = [...]dataset.Tag{dataset.TagEchoTime, dataset.TagInversionTime, dataset.TagTriggerTime, dataset.TagTemporalPosition, dataset.TagBValue, dataset.TagFlipAngle, dataset.TagAcquisitionNumber, dataset.TagImageType, dataset.TagRepetitionTime}

// parse reads an object up to its pixels, which are next in the stream. The
// object holds what could be read even if there is an error.
func parse(in *files.Input) (*object, *dataset.Stream, error) {
	o := &object{Format: pixels.Format{FrameCount: 1, FileSize: in.Size}}
	raw := in.Buffered()
	meta, bare, foreign, err := dataset.ReadMeta(raw)
	if o.foreign = foreign; err != nil {
		return o, nil, err
	}
	if bare {
		o.Note("no-preamble", "a file has no DICOM preamble; it was recognised by its first element")
	}
	o.Syntax = dataset.SyntaxOf(meta.Text(dataset.TagTransferSyntax))
	o.sopClass = meta.Text(dataset.TagMediaStorageSOPClass)
	body := raw
	head, _ := raw.Peek(8)
	seen, changed := o.Syntax.Observed(head)
	if o.Syntax.Deflated && !plain(head) {
		body = bufio.NewReaderSize(io.LimitReader(inflate(raw), files.Inflated(in.Size)), 16<<10)
		head, _ = body.Peek(8)
		seen, changed = o.Syntax.Observed(head)
	}
	if changed {
		o.corrected, o.Syntax.Order, o.Syntax.Explicit = o.Syntax.UID != "", seen.Order, seen.Explicit
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

// parseFormat is parse for one who needs to know of the pixels alone.
func parseFormat(in *files.Input) (*pixels.Format, *dataset.Stream, error) {
	o, s, err := parse(in)
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
func (o *object) elements(s *dataset.Stream) (dataset.Set, error) {
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
			o.floatPixels = true
			return set, nil
		case dataset.TagSharedGroups:
			if set.Items[e.Tag], err = s.ItemList(e, 0); err != nil {
				return set, err
			}
			continue
		case dataset.TagPerFrameGroups:
			if len(o.frames) > 0 {
				return set, dataset.BadValue(e.Tag, "is there twice")
			}
			// One after the other, because there may be thousands.
			err := s.EachItem(e, 0, func(item dataset.Set) {
				o.frames = append(o.frames, o.frame(len(o.frames), []dataset.Set{item, sharedOf(set), set}))
			})
			if err != nil {
				return set, err
			}
			continue
		case dataset.TagModalityLUT:
			o.modalityLUT = true
		case 0: // zeros after the end
			return set, nil
		}
		if err := s.Keep(set, e); err != nil {
			return set, err
		}
	}
}

// keep takes over what is needed of the data set.
func (o *object) keep(set dataset.Set) {
	o.patient = []string{set.Text(dataset.TagPatientName), set.Text(dataset.TagPatientID)}
	if class := set.Text(dataset.TagSOPClass); class != "" {
		o.sopClass = class
	}
	o.sopInstance, o.modality = set.Text(dataset.TagSOPInstance), strings.ToUpper(set.Text(dataset.TagModality))
	o.series, o.frameOfReference = set.Text(dataset.TagSeries), set.Text(dataset.TagFrameOfReference)
	o.imageType = strings.ToUpper(set.Text(dataset.TagImageType))
	o.words = strings.ToLower(strings.Join([]string{set.Text(dataset.TagSeriesDescription), set.Text(dataset.TagProtocolName), set.Text(dataset.TagSequenceName), set.Text(dataset.TagPulseSequenceName)}, " "))
	o.photometric = strings.ToUpper(set.Text(dataset.TagPhotometric))
	o.contrast = set.Has(dataset.TagContrastAgent)
	tiles, _, _ := set.Integer(dataset.TagImagesInMosaic)
	o.mosaic = strings.Contains(o.imageType, "MOSAIC") || tiles > 1 && strings.HasPrefix(o.modality, "MR")
	for table := set.Elements[dataset.TagExtendedOffsetTable].Bytes; len(table) >= 8; table = table[8:] {
		o.Offsets = append(o.Offsets, set.Order.Uint64(table))
	}
	first := func(err error) {
		var r *volume.Refusal
		if o.err == nil && errors.As(err, &r) {
			o.err = r
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
	o.samples, o.FrameCount = whole(dataset.TagSamplesPerPixel, 1), whole(dataset.TagNumberOfFrames, 1)
	o.BitsAllocated = whole(dataset.TagBitsAllocated, 0)
	o.BitsStored = whole(dataset.TagBitsStored, o.BitsAllocated)
	o.HighBit = whole(dataset.TagHighBit, o.BitsStored-1)
	o.Signed = whole(dataset.TagPixelRepresentation, 0) == 1
	o.keepPadding(set)
	for t, into := range map[dataset.Tag]*float64{dataset.TagEchoTime: &o.echoTime, dataset.TagRepetitionTime: &o.repetitionTime, dataset.TagInversionTime: &o.inversionTime} {
		if v, ok, err := set.Decimals(t, 1); ok && err == nil {
			*into = v[0]
		}
	}
}

// keepPadding reads the padding values, of which only the bits that are stored
// count, whatever VR they have.
func (o *object) keepPadding(set dataset.Set) {
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
	o.padding = &[2]int{min(low, high), max(low, high)}
}
