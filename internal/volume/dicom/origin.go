package dicom

import (
	"context"
	"fmt"
	"slices"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/files"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
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

// origin tells where the slices come from. It reads the first one's header once
// more, so that the texts of all images are never kept.
func (c *catalogue) origin(ctx context.Context, g *ordered) (*Origin, error) {
	first := g.frames[0].Object
	in, err := first.File.Open(ctx)
	if err != nil {
		return nil, inFile(err, first.File.Name)
	}
	defer in.Close()
	again, _, err := images.Parse(in)
	if err != nil {
		return nil, inFile(files.Explain(err), first.File.Name)
	}
	origin := &Origin{Texts: again.Texts, StudyUID: again.Study, SeriesUID: first.Series}
	i := slices.IndexFunc(g.frames, func(f *images.Frame) bool { return f.Object.FrameOfReference != "" })
	if i >= 0 {
		origin.FrameOfReferenceUID = g.frames[i].Object.FrameOfReference
	}
	for _, f := range g.frames {
		s := Slice{ClassUID: f.Object.SOPClass, InstanceUID: f.Object.SOPInstance, Position: f.Position}
		if f.Object.FrameCount > 1 {
			s.Frame = f.Index + 1
		}
		origin.Slices = append(origin.Slices, s)
	}
	return origin, nil
}
