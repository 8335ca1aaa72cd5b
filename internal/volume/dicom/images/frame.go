package images

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
)

// groups completes the object's frames: those of its functional groups, or one by
// the data set itself.
func (o *Object) groups(set dataset.Set) error {
	if o.FrameCount < 1 || o.FrameCount > dataset.MaxFrames {
		return dataset.BadValue(dataset.TagNumberOfFrames, fmt.Sprintf("is %d", o.FrameCount))
	}
	shared := sharedOf(set)
	switch {
	case len(o.Frames) == 0 && o.FrameCount > 1:
		return volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("it has %d frames but no position (ImagePositionPatient) for each", o.FrameCount), "export the series as classic or enhanced MR images")
	case len(o.Frames) == 0:
		o.Frames = []Frame{o.frame(0, []dataset.Set{shared, set})}
	case len(o.Frames) != o.FrameCount:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("it has %d frames and functional groups for %d", o.FrameCount, len(o.Frames)), "export the series again")
	}
	first := o.Frames[0]
	for t, into := range map[dataset.Tag]*float64{dataset.TagEchoTime: &o.EchoTime, dataset.TagInversionTime: &o.InversionTime, dataset.TagRepetitionTime: &o.RepetitionTime} {
		if v, err := strconv.ParseFloat(first.Contrast[slices.Index(ContrastTags[:], t)], 64); err == nil && *into == 0 {
			*into = v
		}
	}
	return nil
}

// sharedOf returns the functional groups that all frames share.
func sharedOf(set dataset.Set) dataset.Set {
	if list := set.Items[dataset.TagSharedGroups]; len(list) > 0 {
		return list[0]
	}
	return dataset.Set{}
}

// lookup finds the data set that holds t: the first of levels that has it,
// Within the functional group sequence or at its top.
func lookup(levels []dataset.Set, sequence, t dataset.Tag) *dataset.Set {
	for i := range levels {
		for _, item := range levels[i].Items[sequence] {
			if _, ok := item.Elements[t]; ok {
				return &item
			}
		}
		if _, ok := levels[i].Elements[t]; ok {
			return &levels[i]
		}
	}
	return nil
}

// orthogonalSlack is how far directions may be from unit length and from a right
// angle: what rounding to two decimals leaves.
const orthogonalSlack = 0.02

// frame reads the geometry of one frame. What is wrong with it is kept, for the
// case that its series is chosen.
func (o *Object) frame(index int, levels []dataset.Set) Frame {
	f := Frame{Object: o, Index: index, Slope: 1}
	numbers := func(sequence, t dataset.Tag, n int) []float64 {
		set := lookup(levels, sequence, t)
		if set == nil {
			return nil
		}
		v, ok, err := set.Decimals(t, n)
		var r *volume.Refusal
		if errors.As(err, &r) && f.Err == nil {
			f.Err = r
		}
		if !ok || err != nil {
			return nil
		}
		return v
	}
	missing := func(t dataset.Tag, why string) {
		if f.Err == nil {
			f.Err = volume.Refuse(volume.CodeNoOrientation, fmt.Sprintf("%s %v is missing, %s", t.Keyword(), t, why), "export the original images, as the scanner made them")
		}
	}
	if v := numbers(dataset.TagOrientationSequence, dataset.TagOrientation, 6); v != nil {
		f.Row, f.Column = volume.Vector(v[:3]), volume.Vector(v[3:])
		f.checkDirections()
	} else {
		missing(dataset.TagOrientation, "so the orientation cannot be told")
	}
	if v := numbers(dataset.TagPositionSequence, dataset.TagPosition, 3); v != nil {
		f.Position = volume.Vector(v)
	} else {
		missing(dataset.TagPosition, "so left and right, up and down would be a guess")
	}
	if v := numbers(dataset.TagMeasuresSequence, dataset.TagPixelSpacing, 2); v != nil {
		f.Spacing = [2]float64(v)
		if !(v[0] > 0 && v[1] > 0) && f.Err == nil {
			f.Err = volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("%s %v is not positive", dataset.TagPixelSpacing.Keyword(), dataset.TagPixelSpacing), "correct the header or export the series again")
		}
	} else {
		missing(dataset.TagPixelSpacing, "so sizes cannot be told")
	}
	if v := numbers(dataset.TagTransformSequence, dataset.TagRescaleSlope, 1); v != nil {
		f.Slope = v[0]
	}
	if v := numbers(dataset.TagTransformSequence, dataset.TagRescaleIntercept, 1); v != nil {
		f.Intercept = v[0]
	}
	if f.Slope == 0 && f.Err == nil {
		f.Err = volume.Refuse(volume.CodeBadHeader, "RescaleSlope (0028,1053) is 0", "correct the header or export the series again")
	}
	for i, t := range ContrastTags {
		f.Contrast[i] = contrastOf(levels, t)
	}
	if set := lookup(levels, dataset.TagFrameContentSequence, dataset.TagInStackPosition); set != nil {
		f.InStack, _, _ = set.Integer(dataset.TagInStackPosition)
	}
	return f
}

// contrastOf returns what the element says of a frame, in a form to compare.
func contrastOf(levels []dataset.Set, t dataset.Tag) string {
	for _, place := range contrastPlaces[t] {
		if set := lookup(levels, place.sequence, place.tag); set != nil {
			if n := set.Numbers(place.tag); len(n) > 0 {
				return strconv.FormatFloat(n[0], 'g', -1, 64)
			}
			if text := set.Text(place.tag); text != "" {
				if v, ok := dataset.Decimal(text); ok {
					return strconv.FormatFloat(v, 'g', -1, 64)
				}
				return strings.ToUpper(text)
			}
		}
	}
	return ""
}

// contrastPlaces are where each of ContrastTags is in enhanced and in classic
// images.
var contrastPlaces = map[dataset.Tag][]struct{ sequence, tag dataset.Tag }{
	dataset.TagEchoTime:          {{dataset.TagEchoSequence, dataset.TagEffectiveEchoTime}, {0, dataset.TagEchoTime}},
	dataset.TagInversionTime:     {{dataset.TagModifierSequence, dataset.TagInversionTimes}, {0, dataset.TagInversionTime}},
	dataset.TagTriggerTime:       {{0, dataset.TagTriggerTime}},
	dataset.TagTemporalPosition:  {{dataset.TagFrameContentSequence, dataset.TagTemporalIndex}, {0, dataset.TagTemporalPosition}},
	dataset.TagBValue:            {{0, dataset.TagBValue}},
	dataset.TagFlipAngle:         {{dataset.TagTimingSequence, dataset.TagFlipAngle}, {0, dataset.TagFlipAngle}},
	dataset.TagAcquisitionNumber: {{0, dataset.TagAcquisitionNumber}},
	dataset.TagRepetitionTime:    {{dataset.TagTimingSequence, dataset.TagRepetitionTime}, {0, dataset.TagRepetitionTime}},
	dataset.TagImageType:         {{dataset.TagFrameTypeSequence, dataset.TagFrameType}, {0, dataset.TagImageType}},
}

// checkDirections holds the directions against what they must be, and brings
// them to unit length and a right angle.
func (f *Frame) checkDirections() {
	a, b := f.Row.Length(), f.Column.Length()
	cosine := f.Row.Dot(f.Column)
	if !(math.Abs(a-1) < orthogonalSlack && math.Abs(b-1) < orthogonalSlack && math.Abs(cosine) < orthogonalSlack) {
		if f.Err == nil {
			f.Err = volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("%s %v holds no two directions at a right angle, so the orientation cannot be told", dataset.TagOrientation.Keyword(), dataset.TagOrientation), "correct the header or export the series again")
		}
		return
	}
	f.Row = f.Row.Times(1 / a)
	f.Column = f.Column.Minus(f.Row.Times(f.Row.Dot(f.Column)))
	f.Column = f.Column.Times(1 / f.Column.Length())
}

// directionSlack is how far directions of one series may differ: 0.1 degrees.
const directionSlack = 0.002

// Differs tells whether two frames have another orientation.
func (f *Frame) Differs(g *Frame) bool {
	return f.Row.Minus(g.Row).Length() > directionSlack || f.Column.Minus(g.Column).Length() > directionSlack
}

// Value scales a stored number. MONOCHROME1, where low is bright, is turned
// first.
func (f *Frame) Value(stored int32) float32 {
	v := float64(stored)
	if f.Object.Photometric == "MONOCHROME1" {
		v = f.Object.highest() - v
	}
	return float32(float64(v*f.Slope) + f.Intercept)
}

// highest is the sum of the lowest and the highest number that can be stored: a
// value taken from it is turned.
func (o *Object) highest() float64 {
	if o.Signed {
		return -1
	}
	return float64(uint64(1)<<o.BitsStored - 1)
}
