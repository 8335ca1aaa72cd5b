package dicom

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
func (o *object) groups(set dataset.Set) error {
	if o.FrameCount < 1 || o.FrameCount > dataset.MaxFrames {
		return dataset.BadValue(dataset.TagNumberOfFrames, fmt.Sprintf("is %d", o.FrameCount))
	}
	shared := sharedOf(set)
	switch {
	case len(o.frames) == 0 && o.FrameCount > 1:
		return volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("it has %d frames but no position (ImagePositionPatient) for each", o.FrameCount), "export the series as classic or enhanced MR images")
	case len(o.frames) == 0:
		o.frames = []frame{o.frame(0, []dataset.Set{shared, set})}
	case len(o.frames) != o.FrameCount:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("it has %d frames and functional groups for %d", o.FrameCount, len(o.frames)), "export the series again")
	}
	first := o.frames[0]
	for t, into := range map[dataset.Tag]*float64{dataset.TagEchoTime: &o.echoTime, dataset.TagInversionTime: &o.inversionTime, dataset.TagRepetitionTime: &o.repetitionTime} {
		if v, err := strconv.ParseFloat(first.contrast[slices.Index(contrastTags[:], t)], 64); err == nil && *into == 0 {
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
// within the functional group sequence or at its top.
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
func (o *object) frame(index int, levels []dataset.Set) frame {
	f := frame{object: o, index: index, slope: 1}
	numbers := func(sequence, t dataset.Tag, n int) []float64 {
		set := lookup(levels, sequence, t)
		if set == nil {
			return nil
		}
		v, ok, err := set.Decimals(t, n)
		var r *volume.Refusal
		if errors.As(err, &r) && f.err == nil {
			f.err = r
		}
		if !ok || err != nil {
			return nil
		}
		return v
	}
	missing := func(t dataset.Tag, why string) {
		if f.err == nil {
			f.err = volume.Refuse(volume.CodeNoOrientation, fmt.Sprintf("%s %v is missing, %s", t.Keyword(), t, why), "export the original images, as the scanner made them")
		}
	}
	if v := numbers(dataset.TagOrientationSequence, dataset.TagOrientation, 6); v != nil {
		f.row, f.column = volume.Vector(v[:3]), volume.Vector(v[3:])
		f.checkDirections()
	} else {
		missing(dataset.TagOrientation, "so the orientation cannot be told")
	}
	if v := numbers(dataset.TagPositionSequence, dataset.TagPosition, 3); v != nil {
		f.position = volume.Vector(v)
	} else {
		missing(dataset.TagPosition, "so left and right, up and down would be a guess")
	}
	if v := numbers(dataset.TagMeasuresSequence, dataset.TagPixelSpacing, 2); v != nil {
		f.spacing = [2]float64(v)
		if !(v[0] > 0 && v[1] > 0) && f.err == nil {
			f.err = volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("%s %v is not positive", dataset.TagPixelSpacing.Keyword(), dataset.TagPixelSpacing), "correct the header or export the series again")
		}
	} else {
		missing(dataset.TagPixelSpacing, "so sizes cannot be told")
	}
	if v := numbers(dataset.TagTransformSequence, dataset.TagRescaleSlope, 1); v != nil {
		f.slope = v[0]
	}
	if v := numbers(dataset.TagTransformSequence, dataset.TagRescaleIntercept, 1); v != nil {
		f.inter = v[0]
	}
	if f.slope == 0 && f.err == nil {
		f.err = volume.Refuse(volume.CodeBadHeader, "RescaleSlope (0028,1053) is 0", "correct the header or export the series again")
	}
	for i, t := range contrastTags {
		f.contrast[i] = contrastOf(levels, t)
	}
	if set := lookup(levels, dataset.TagFrameContentSequence, dataset.TagInStackPosition); set != nil {
		f.inStack, _, _ = set.Integer(dataset.TagInStackPosition)
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

// contrastPlaces are where each of contrastTags is in enhanced and in classic
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
func (f *frame) checkDirections() {
	a, b := f.row.Length(), f.column.Length()
	cosine := f.row.Dot(f.column)
	if !(math.Abs(a-1) < orthogonalSlack && math.Abs(b-1) < orthogonalSlack && math.Abs(cosine) < orthogonalSlack) {
		if f.err == nil {
			f.err = volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("%s %v holds no two directions at a right angle, so the orientation cannot be told", dataset.TagOrientation.Keyword(), dataset.TagOrientation), "correct the header or export the series again")
		}
		return
	}
	f.row = f.row.Times(1 / a)
	f.column = f.column.Minus(f.row.Times(f.row.Dot(f.column)))
	f.column = f.column.Times(1 / f.column.Length())
}
