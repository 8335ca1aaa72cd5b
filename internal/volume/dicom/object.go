package dicom

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// errNotDICOM tells that a file is of another kind.
var errNotDICOM = errors.New("not a DICOM file")

// object is what is kept of one file.
type object struct {
	file    *sourceFile
	err     *volume.Refusal // why the image is not usable; nil if it is
	foreign string          // of errNotDICOM: what the file is instead
	patient []string        // words that must not be shown
	origin  *Origin         // the texts of the patient and the study

	syntax    syntax
	corrected bool // the data are not encoded as the meta header says

	sopClass, sopInstance, modality, series, frameOfReference string
	imageType, words                                          string // upper and lower case
	photometric                                               string
	rows, columns, samples, frameCount                        int
	bitsAllocated, bitsStored, highBit                        int
	signed, contrast, mosaic, modalityLUT, floatPixels        bool
	padding                                                   *[2]int
	echoTime, repetitionTime, inversionTime                   float64 // ms; 0 if not stated
	offsets                                                   []uint64
	notes                                                     []volume.Warning

	// Pixel data, where there are any.
	hasPixels   bool
	pixelVR     string
	pixelLength uint32

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
var contrastTags = [...]tag{tagEchoTime, tagInversionTime, tagTriggerTime, tagTemporalPosition, tagBValue, tagFlipAngle, tagAcquisitionNumber, tagImageType}

// note keeps a warning for the case that the object is read.
func (o *object) note(name, text string) {
	o.notes = append(o.notes, volume.Warning{Name: name, Text: text})
}

// parse reads an object up to its pixels, which are next in the stream. The
// object holds what could be read even if there is an error.
func parse(in *input) (*object, *stream, error) {
	o := &object{frameCount: 1}
	raw := bufio.NewReaderSize(in, 16<<10)
	in.buffered = raw
	meta, err := o.meta(raw)
	if err != nil {
		return o, nil, err
	}
	o.syntax = syntaxOf(meta.text(tagTransferSyntax))
	o.sopClass = meta.text(tagMediaStorageSOPClass)
	body := raw
	head, _ := raw.Peek(8)
	seen, changed := o.syntax.observed(head)
	if o.syntax.deflated && !(seen.explicit && o.plain(head)) {
		body = bufio.NewReaderSize(io.LimitReader(inflate(raw), maxInflated), 16<<10)
		head, _ = body.Peek(8)
		seen, changed = o.syntax.observed(head)
	}
	if changed {
		o.corrected, o.syntax.order, o.syntax.explicit = o.syntax.uid != "", seen.order, seen.explicit
	}
	s := &stream{in: body, order: o.syntax.order, explicit: o.syntax.explicit}
	set, err := o.elements(s)
	o.keep(set)
	if s.odd {
		o.note("odd-length", "a file holds an element of odd length, which the standard forbids; it was read as it is")
	}
	if err == nil {
		err = o.groups(set)
	}
	return o, s, err
}

// plain tells whether b begins a data set that is not compressed.
func (o *object) plain(b []byte) bool {
	return len(b) >= 4 && (b[0] == 8 && b[1] == 0 || b[0] == 0 && b[1] == 8)
}

// inflate undoes deflate, with or without a zlib header.
func inflate(in *bufio.Reader) io.Reader {
	if b, err := in.Peek(2); err == nil && b[0] == 0x78 && binary.BigEndian.Uint16(b)%31 == 0 {
		in.Discard(2)
	}
	return flate.NewReader(in)
}

// meta finds the start of the data set and reads the meta header, which is always
// in explicit VR little endian; its stated length is not needed.
func (o *object) meta(in *bufio.Reader) (dataset, error) {
	meta := dataset{order: binary.LittleEndian, elements: make(map[tag]stored)}
	head, _ := in.Peek(132)
	switch {
	case len(head) == 132 && bytes.Equal(head[128:], []byte("DICM")):
		in.Discard(132)
	case bytes.HasPrefix(head, []byte("DICM")):
		in.Discard(4)
	case !bare(head):
		o.foreign = foreignKind(head)
		return meta, errNotDICOM
	default:
		o.note("no-preamble", "a file has no DICOM preamble; it was recognised by its first element")
	}
	s := &stream{in: in, order: binary.LittleEndian, explicit: true}
	for {
		next, err := in.Peek(2)
		if err != nil || binary.LittleEndian.Uint16(next) != 2 {
			return meta, nil
		}
		e, err := s.next()
		if err != nil {
			return meta, err
		}
		if _, wanted := tagNames[e.tag]; !wanted {
			if err := s.pass(e); err != nil {
				return meta, err
			}
			continue
		}
		value, err := s.value(e, maxValue)
		if err != nil {
			return meta, err
		}
		meta.elements[e.tag] = stored{"UI", value}
	}
}

// bare tells whether b, the first bytes of a file, begin a data set without
// preamble: an element of group 2 or 8 with a sensible length.
func bare(b []byte) bool {
	if len(b) < 16 {
		return false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		group, number := order.Uint16(b), order.Uint16(b[2:])
		if group != 2 && group != 8 || number > 0x1200 {
			continue
		}
		if long, known := vrLong[string(b[4:6])]; known {
			return long || order.Uint16(b[6:]) < 1024
		}
		return group == 8 && order.Uint32(b[4:]) < 1024
	}
	return false
}

// foreignKind says what a file that is not DICOM is, as far as it matters.
func foreignKind(head []byte) string {
	switch {
	case len(head) == 0:
		return "empty file"
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}), len(head) >= 4 && (binary.LittleEndian.Uint32(head) == 348 || binary.LittleEndian.Uint32(head) == 540):
		return "not DICOM (perhaps NIfTI: give that file by its name)"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "a zip within (give it by its name)"
	}
	return "not DICOM"
}

// elements reads the data set up to its pixels.
func (o *object) elements(s *stream) (dataset, error) {
	set := dataset{order: s.order, elements: make(map[tag]stored), items: make(map[tag][]dataset)}
	for {
		if _, err := s.in.Peek(1); errors.Is(err, io.EOF) {
			return set, nil
		}
		e, err := s.next()
		if err != nil {
			return set, err
		}
		switch e.tag {
		case tagPixelData:
			o.hasPixels, o.pixelVR, o.pixelLength = true, e.vr, e.length
			return set, nil
		case tagFloatPixelData, tagDoubleFloatPixelData:
			o.floatPixels = true
			return set, nil
		case tagSharedGroups, tagPerFrameGroups:
			list, err := s.itemList(e, 0)
			if err != nil {
				return set, err
			}
			set.items[e.tag] = list
			continue
		case tagModalityLUT:
			o.modalityLUT = true
		case 0: // zeros after the end
			return set, nil
		}
		if err := s.keep(set, e); err != nil {
			return set, err
		}
	}
}

// keep stores an element that is wanted and passes over another.
func (s *stream) keep(set dataset, e element) error {
	known, wanted := tagNames[e.tag]
	if !wanted || known.vr == vrSequence || e.length == undefinedLength {
		return s.pass(e)
	}
	limit := uint32(maxValue)
	if e.tag == tagExtendedOffsetTable {
		limit = 8 * maxFrames
	}
	value, err := s.value(e, limit)
	if err != nil {
		return err
	}
	if e.vr == implicitVR || e.vr == vrUnknown {
		e.vr = known.vr
	}
	// Of an element that is there twice, the first counts.
	if _, twice := set.elements[e.tag]; !twice {
		set.elements[e.tag] = stored{e.vr, value}
	}
	s.settle(e)
	return nil
}

// itemList reads the items of one of the sequences whose structure is known, so
// that depth stays small.
func (s *stream) itemList(e element, depth int) ([]dataset, error) {
	if depth > 2 {
		return nil, s.pass(e)
	}
	end := int64(-1)
	if e.length != undefinedLength {
		end = s.at + int64(e.length)
	}
	var list []dataset
	for end < 0 || s.at < end {
		item, err := s.next()
		if err != nil {
			return nil, err
		}
		if item.tag == tagSequenceEnd && end < 0 {
			return list, nil
		}
		if item.tag != tagItem {
			return nil, volume.Refuse(volume.CodeDamaged, fmt.Sprintf("a sequence holds the element %v, which is no item", item.tag), "export the series again")
		}
		if len(list) >= maxFrames {
			return nil, volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("it has more than %d frames", maxFrames), "export a part of it")
		}
		set, err := s.item(item, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, set)
	}
	return list, nil
}

// item reads the elements of one item.
func (s *stream) item(item element, depth int) (dataset, error) {
	set := dataset{order: s.order, elements: make(map[tag]stored), items: make(map[tag][]dataset)}
	end := int64(-1)
	if item.length != undefinedLength {
		end = s.at + int64(item.length)
	}
	for end < 0 || s.at < end {
		e, err := s.next()
		if err != nil {
			return set, err
		}
		if e.tag == tagItemEnd && end < 0 {
			return set, nil
		}
		if groupSequences[e.tag] {
			set.items[e.tag], err = s.itemList(e, depth+1)
		} else {
			err = s.keep(set, e)
		}
		if err != nil {
			return set, err
		}
	}
	return set, nil
}

// keep takes over what is needed of the data set.
func (o *object) keep(set dataset) {
	o.origin = originOf(set)
	o.patient = []string{set.text(tagPatientName), set.text(tagPatientID)}
	if class := set.text(tagSOPClass); class != "" {
		o.sopClass = class
	}
	o.sopInstance, o.modality = set.text(tagSOPInstance), strings.ToUpper(set.text(tagModality))
	o.series, o.frameOfReference = set.text(tagSeries), set.text(tagFrameOfReference)
	o.imageType = strings.ToUpper(set.text(tagImageType))
	o.words = strings.ToLower(strings.Join([]string{set.text(tagSeriesDescription), set.text(tagProtocolName), set.text(tagSequenceName), set.text(tagPulseSequenceName)}, " "))
	o.photometric = strings.ToUpper(set.text(tagPhotometric))
	o.contrast = set.has(tagContrastAgent)
	tiles, _, _ := set.integer(tagImagesInMosaic)
	o.mosaic = strings.Contains(o.imageType, "MOSAIC") || tiles > 1 && strings.HasPrefix(o.modality, "MR")
	for table := set.elements[tagExtendedOffsetTable].bytes; len(table) >= 8; table = table[8:] {
		o.offsets = append(o.offsets, set.order.Uint64(table))
	}
	first := func(err error) {
		var r *volume.Refusal
		if o.err == nil && errors.As(err, &r) {
			o.err = r
		}
	}
	whole := func(t tag, otherwise int) int {
		n, ok, err := set.integer(t)
		if first(err); !ok || err != nil {
			return otherwise
		}
		return n
	}
	o.rows, o.columns = whole(tagRows, 0), whole(tagColumns, 0)
	o.samples, o.frameCount = whole(tagSamplesPerPixel, 1), whole(tagNumberOfFrames, 1)
	o.bitsAllocated = whole(tagBitsAllocated, 0)
	o.bitsStored = whole(tagBitsStored, o.bitsAllocated)
	o.highBit = whole(tagHighBit, o.bitsStored-1)
	o.signed = whole(tagPixelRepresentation, 0) == 1
	o.keepPadding(set)
	for t, into := range map[tag]*float64{tagEchoTime: &o.echoTime, tagRepetitionTime: &o.repetitionTime, tagInversionTime: &o.inversionTime} {
		if v, ok, err := set.decimals(t, 1); ok && err == nil {
			*into = v[0]
		}
	}
}

// keepPadding reads the padding values, of which only the bits that are stored
// count, whatever VR they have.
func (o *object) keepPadding(set dataset) {
	value := func(t tag) (int, bool) {
		v := set.elements[t]
		if v.vr == "xs" || v.vr == "US" || v.vr == "SS" {
			if len(v.bytes) < 2 {
				return 0, false
			}
			n := set.order.Uint16(v.bytes)
			if o.signed {
				return int(int16(n)), true
			}
			return int(n), true
		}
		n, ok, err := set.integer(t)
		return n, ok && err == nil
	}
	low, ok := value(tagPixelPadding)
	if !ok {
		return
	}
	high, ok := value(tagPixelPaddingLimit)
	if !ok {
		high = low
	}
	o.padding = &[2]int{min(low, high), max(low, high)}
}
