package dicom

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// Origin is what an object made from a series, such as a segmentation, has to
// say of the series: whose it is, and which image each slice came from. It names
// the patient, so it shows nothing of itself: printed, logged or encoded as JSON
// or text it is one word.
type Origin struct {
	// Texts are the elements of the patient and of the study that are there, by
	// tag (0xggggeeee). Values are the bytes of the first slice's image without
	// padding, in its character set.
	Texts map[uint32][]byte
	// StudyUID, SeriesUID and FrameOfReferenceUID as in the images; "" if missing.
	StudyUID, SeriesUID, FrameOfReferenceUID string
	// Slices along the third axis of the volume's grid.
	Slices []Slice
}

// Slice is the image of one slice.
type Slice struct {
	// ClassUID and InstanceUID name the image; "" if missing.
	ClassUID, InstanceUID string
	// Frame is the number in a multi-frame image, from 1; 0 in one of one frame.
	Frame int
	// Position is the centre of the first voxel in mm to the left, to the back and
	// upwards, as in the image.
	Position volume.Vector
}

const originShown = "(origin of a DICOM series, not shown)"

// Format prints one word whatever the verb.
func (Origin) Format(f fmt.State, _ rune) { fmt.Fprint(f, originShown) }

// MarshalText encodes one word.
func (Origin) MarshalText() ([]byte, error) { return []byte(originShown), nil }

// The elements of the patient and of the study that are kept, by their standard
// keyword.
const (
	tagCharacterSet       tag = 0x00080005
	tagStudyDate          tag = 0x00080020
	tagStudyTime          tag = 0x00080030
	tagAccessionNumber    tag = 0x00080050
	tagReferringPhysician tag = 0x00080090
	tagStudyDescription   tag = 0x00081030
	tagIssuerOfPatientID  tag = 0x00100021
	tagBirthDate          tag = 0x00100030
	tagSex                tag = 0x00100040
	tagAge                tag = 0x00101010
	tagHeight             tag = 0x00101020
	tagWeight             tag = 0x00101030
	tagIdentityRemoved    tag = 0x00120062
	tagDeidentification   tag = 0x00120063
	tagStudy              tag = 0x0020000d
	tagStudyID            tag = 0x00200010
	tagLossy              tag = 0x00282110
	tagLossyRatio         tag = 0x00282112
	tagLossyMethod        tag = 0x00282114
)

var originTags = []tag{
	tagCharacterSet, tagStudyDate, tagStudyTime, tagAccessionNumber, tagReferringPhysician, tagStudyDescription,
	tagPatientName, tagPatientID, tagIssuerOfPatientID, tagBirthDate, tagSex, tagAge, tagHeight, tagWeight,
	tagIdentityRemoved, tagDeidentification, tagStudyID, tagLossy, tagLossyRatio, tagLossyMethod,
}

// originOf takes the texts and the study's UID out of a data set.
func originOf(set dataset) *Origin {
	origin := &Origin{Texts: make(map[uint32][]byte), StudyUID: set.text(tagStudy)}
	for _, t := range originTags {
		if text := strings.Trim(string(set.elements[t].bytes), " \x00"); text != "" {
			origin.Texts[uint32(t)] = []byte(text)
		}
	}
	return origin
}

// origin tells where the slices come from. It reads the first one's header once
// more, so that the texts of all images are never kept.
func (c *catalogue) origin(ctx context.Context, g *ordered) (*Origin, error) {
	first := g.frames[0].object
	in, err := first.file.open(ctx)
	if err != nil {
		return nil, inFile(err, first.file.name)
	}
	defer in.Close()
	again, _, err := parse(in)
	if err != nil {
		return nil, inFile(asRefusal(err), first.file.name)
	}
	origin := again.origin
	origin.SeriesUID = first.series
	i := slices.IndexFunc(g.frames, func(f *frame) bool { return f.object.frameOfReference != "" })
	if i >= 0 {
		origin.FrameOfReferenceUID = g.frames[i].object.frameOfReference
	}
	for _, f := range g.frames {
		s := Slice{ClassUID: f.object.sopClass, InstanceUID: f.object.sopInstance, Position: f.position}
		if f.object.frameCount > 1 {
			s.Frame = f.index + 1
		}
		origin.Slices = append(origin.Slices, s)
	}
	return origin, nil
}
