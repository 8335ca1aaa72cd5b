package dicom

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// groups makes the object's frames: one by the data set itself, or as many as
// its functional groups describe.
func (o *object) groups(set dataset) error {
	if o.frameCount < 1 || o.frameCount > maxFrames {
		return badValue(tagNumberOfFrames, fmt.Sprintf("is %d", o.frameCount))
	}
	var shared dataset
	if list := set.items[tagSharedGroups]; len(list) > 0 {
		shared = list[0]
	}
	perFrame := set.items[tagPerFrameGroups]
	if len(perFrame) == 0 && len(shared.items) == 0 {
		if o.frameCount > 1 {
			return volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("it has %d frames but no position (ImagePositionPatient) for each", o.frameCount), "export the series as classic or enhanced MR images")
		}
		o.frames = []frame{o.frame(0, []dataset{set})}
		return nil
	}
	if len(perFrame) != o.frameCount && !(len(perFrame) == 0 && o.frameCount == 1) {
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("it has %d frames and functional groups for %d", o.frameCount, len(perFrame)), "export the series again")
	}
	for i := range o.frameCount {
		levels := []dataset{shared, set}
		if len(perFrame) > 0 {
			levels = []dataset{perFrame[i], shared, set}
		}
		o.frames = append(o.frames, o.frame(i, levels))
	}
	first := o.frames[0]
	for i, into := range map[int]*float64{0: &o.echoTime, 1: &o.inversionTime} {
		if v, err := strconv.ParseFloat(first.contrast[i], 64); err == nil && *into == 0 {
			*into = v
		}
	}
	if v := lookup([]dataset{perFrameOrEmpty(perFrame), shared}, tagTimingSequence, tagRepetitionTime); o.repetitionTime == 0 && v != nil {
		if tr, ok, err := v.decimals(tagRepetitionTime, 1); ok && err == nil {
			o.repetitionTime = tr[0]
		}
	}
	return nil
}

func perFrameOrEmpty(list []dataset) dataset {
	if len(list) == 0 {
		return dataset{}
	}
	return list[0]
}

// lookup finds the data set that holds t: the first of levels that has it,
// within the functional group sequence or at its top.
func lookup(levels []dataset, sequence, t tag) *dataset {
	for i := range levels {
		for _, item := range levels[i].items[sequence] {
			if _, ok := item.elements[t]; ok {
				return &item
			}
		}
		if _, ok := levels[i].elements[t]; ok {
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
func (o *object) frame(index int, levels []dataset) frame {
	f := frame{object: o, index: index, slope: 1}
	numbers := func(sequence, t tag, n int) []float64 {
		set := lookup(levels, sequence, t)
		if set == nil {
			return nil
		}
		v, ok, err := set.decimals(t, n)
		var r *volume.Refusal
		if errors.As(err, &r) && f.err == nil {
			f.err = r
		}
		if !ok || err != nil {
			return nil
		}
		return v
	}
	missing := func(t tag, why string) {
		if f.err == nil {
			f.err = volume.Refuse(volume.CodeNoOrientation, fmt.Sprintf("%s %v is missing, %s", tagNames[t].name, t, why), "export the original images, as the scanner made them")
		}
	}
	if v := numbers(tagOrientationSequence, tagOrientation, 6); v != nil {
		f.row, f.column = volume.Vector(v[:3]), volume.Vector(v[3:])
		f.checkDirections()
	} else {
		missing(tagOrientation, "so the orientation cannot be told")
	}
	if v := numbers(tagPositionSequence, tagPosition, 3); v != nil {
		f.position = volume.Vector(v)
	} else {
		missing(tagPosition, "so left and right, up and down would be a guess")
	}
	if v := numbers(tagMeasuresSequence, tagPixelSpacing, 2); v != nil {
		f.spacing = [2]float64(v)
		if !(v[0] > 0 && v[1] > 0) && f.err == nil {
			f.err = volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("%s %v is not positive", tagNames[tagPixelSpacing].name, tagPixelSpacing), "correct the header or export the series again")
		}
	} else {
		missing(tagPixelSpacing, "so sizes cannot be told")
	}
	if v := numbers(tagTransformSequence, tagRescaleSlope, 1); v != nil {
		f.slope = v[0]
	}
	if v := numbers(tagTransformSequence, tagRescaleIntercept, 1); v != nil {
		f.inter = v[0]
	}
	if f.slope == 0 && f.err == nil {
		f.err = volume.Refuse(volume.CodeBadHeader, "RescaleSlope (0028,1053) is 0", "correct the header or export the series again")
	}
	for i, t := range contrastTags {
		f.contrast[i] = contrastOf(levels, t)
	}
	if set := lookup(levels, tagFrameContentSequence, tagInStackPosition); set != nil {
		f.inStack, _, _ = set.integer(tagInStackPosition)
	}
	return f
}

// contrastOf returns what the element says of a frame, in a form to compare.
func contrastOf(levels []dataset, t tag) string {
	for _, place := range contrastPlaces[t] {
		if set := lookup(levels, place.sequence, place.tag); set != nil {
			if n := set.numbersOf(place.tag); len(n) > 0 {
				return strconv.FormatFloat(n[0], 'g', -1, 64)
			}
			if text := set.text(place.tag); text != "" {
				if v, ok := decimal(text); ok {
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
var contrastPlaces = map[tag][]struct{ sequence, tag tag }{
	tagEchoTime:          {{tagEchoSequence, tagEffectiveEchoTime}, {0, tagEchoTime}},
	tagInversionTime:     {{tagModifierSequence, tagInversionTimes}, {0, tagInversionTime}},
	tagTriggerTime:       {{0, tagTriggerTime}},
	tagTemporalPosition:  {{tagFrameContentSequence, tagTemporalIndex}, {0, tagTemporalPosition}},
	tagBValue:            {{0, tagBValue}},
	tagFlipAngle:         {{tagTimingSequence, tagFlipAngle}, {0, tagFlipAngle}},
	tagAcquisitionNumber: {{0, tagAcquisitionNumber}},
	tagImageType:         {{tagFrameTypeSequence, tagFrameType}, {0, tagImageType}},
}

// checkDirections holds the directions against what they must be, and brings
// them to unit length and a right angle.
func (f *frame) checkDirections() {
	a, b := f.row.Length(), f.column.Length()
	cosine := f.row.Dot(f.column)
	if !(math.Abs(a-1) < orthogonalSlack && math.Abs(b-1) < orthogonalSlack && math.Abs(cosine) < orthogonalSlack) {
		if f.err == nil {
			f.err = volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("%s %v holds no two directions at a right angle, so the orientation cannot be told", tagNames[tagOrientation].name, tagOrientation), "correct the header or export the series again")
		}
		return
	}
	f.row = f.row.Times(1 / a)
	f.column = f.column.Minus(f.row.Times(f.row.Dot(f.column)))
	f.column = f.column.Times(1 / f.column.Length())
}
