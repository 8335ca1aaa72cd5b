package dicom

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// SOP classes that matter by themselves.
const (
	classDirectory = "1.2.840.10008.1.3.10"
	classMR        = "1.2.840.10008.5.1.4.1.1.4" // and .4.1 and so on: enhanced MR
	classCT        = "1.2.840.10008.5.1.4.1.1.2"
	classSegments  = "1.2.840.10008.5.1.4.1.1.66" // and what is below it
	classDose      = "1.2.840.10008.5.1.4.1.1.481"
)

func (o *object) isMR() bool {
	return o.modality == "MR" || o.sopClass == classMR || strings.HasPrefix(o.sopClass, classMR+".")
}

// notAnImage says why the object is no image of a scan; "" if it is one, be it
// damaged.
func (o *object) notAnImage() string {
	within := func(class string) bool { return o.sopClass == class || strings.HasPrefix(o.sopClass, class+".") }
	switch {
	case o.sopClass == classDirectory:
		return "DICOMDIR"
	case within(classSegments), within(classDose), o.modality == "SEG":
		return "a segmentation, raw data or a dose, not a scan"
	case o.err != nil:
		return ""
	case o.floatPixels:
		return "a map of floating-point numbers, not a scan"
	case !o.hasPixels && !o.isMR() && !within(classCT) && o.rows == 0:
		return "no image (report, presentation state, document or the like)"
	}
	return ""
}

// series is the images of one series.
type series struct {
	uid     string
	objects []*object
}

func (s *series) frames() []*frame {
	var frames []*frame
	for _, o := range s.objects {
		for i := range o.frames {
			frames = append(frames, &o.frames[i])
		}
	}
	return frames
}

// bySeries sorts the objects by their series.
func (c *catalogue) bySeries() []*series {
	var list []*series
	for _, o := range c.objects {
		i := slices.IndexFunc(list, func(s *series) bool { return s.uid == o.series })
		if i < 0 {
			i = len(list)
			list = append(list, &series{uid: o.series})
		}
		list[i].objects = append(list[i].objects, o)
	}
	slices.SortFunc(list, func(a, b *series) int { return strings.Compare(a.uid, b.uid) })
	for _, s := range list {
		s.uid = showableUID(s.uid)
	}
	return list
}

func showableUID(uid string) string {
	if strings.Trim(uid, "0123456789.") != "" || len(uid) > 64 {
		return "(not a UID)"
	}
	return uid
}

// choose picks the series to read, and tells if there was a choice.
func (c *catalogue) choose(scan *volume.Scan, options volume.Options) (*series, error) {
	list := c.bySeries()
	if len(list) == 0 {
		return nil, c.nothing()
	}
	if options.Series != "" {
		for _, s := range list {
			if s.uid == options.Series {
				c.leave(list, s)
				return s, nil
			}
		}
		return nil, volume.Refuse(volume.CodeNoImage, "the series asked for is not there", "ask for one of these: "+describe(list))
	}
	if len(list) == 1 {
		return list[0], nil
	}
	// A file that is too damaged to tell its series may be a slice of any.
	for _, o := range c.objects {
		if o.err != nil && o.series == "" {
			return nil, o.err
		}
	}
	chosen, why := best(list)
	if chosen == nil {
		return nil, volume.Refuse(volume.CodeSeveralSeries, fmt.Sprintf("there are %d series and %s", len(list), why), "name one with --series UID (in a request: series): "+describe(list))
	}
	scan.Warn("series-chosen", "there are %d series; %s was chosen because it is %s (--series chooses another)", len(list), chosen.uid, why)
	c.leave(list, chosen)
	return chosen, nil
}

// leave tells that the other series were left out.
func (c *catalogue) leave(list []*series, chosen *series) {
	for _, s := range list {
		if s == chosen {
			continue
		}
		for _, o := range s.objects {
			c.left.add("of another series ("+s.uid+")", o.file.name)
		}
	}
}

// nothing refuses a source without images.
func (c *catalogue) nothing() error {
	var found []string
	for _, l := range c.left.list(&c.names) {
		found = append(found, fmt.Sprintf("%d x %s", l.Count, l.Reason))
	}
	what := "there are no files"
	if len(found) > 0 {
		what = "there is only: " + strings.Join(found, ", ")
	}
	return volume.Refuse(volume.CodeNoImage, "no DICOM image was found; "+what, "give the folder or zip with the series, or a NIfTI file by its name")
}

// describe lists series without a word from their headers.
func describe(list []*series) string {
	var parts []string
	for _, s := range list[:min(len(list), 20)] {
		o := s.objects[0]
		part := fmt.Sprintf("%s (%d images of %d x %d", s.uid, len(s.frames()), o.columns, o.rows)
		if o.echoTime > 0 {
			part += fmt.Sprintf(", TE %.4g ms", o.echoTime)
		}
		if o.repetitionTime > 0 {
			part += fmt.Sprintf(", TR %.4g ms", o.repetitionTime)
		}
		if o.inversionTime > 0 {
			part += fmt.Sprintf(", TI %.4g ms", o.inversionTime)
		}
		parts = append(parts, part+")")
	}
	if len(list) > 20 {
		parts = append(parts, "...")
	}
	return strings.Join(parts, ", ")
}

// best applies the rules, each to those that the one before left. It returns why
// the one was chosen or, with nil, why none was.
func best(list []*series) (*series, string) {
	rules := []struct {
		what string
		keep func(s *series) bool
		must bool // none left: no choice; otherwise the rule does not count
	}{
		{"the only one that is a volume of grey images", (*series).volume, true},
		{"the only MR volume", (*series).magnetic, false},
		{"the only one that is T1-like by its timing or name", (*series).likeT1, false},
		{"the only T1-like one that is no derived image", func(s *series) bool { return !strings.HasPrefix(s.objects[0].imageType, "DERIVED") }, false},
		{"the only T1-like one without contrast agent", func(s *series) bool { return !s.objects[0].contrast }, false},
	}
	for i, rule := range rules {
		var left []*series
		for _, s := range list {
			if rule.keep(s) {
				left = append(left, s)
			}
		}
		if len(left) == 0 && rule.must {
			return nil, "none of them is a volume of grey images"
		}
		if len(left) == 0 && i == 2 {
			return nil, "none of them is clearly T1-like"
		}
		if len(left) == 1 {
			return left[0], rule.what
		}
		if len(left) > 0 {
			list = left
		}
	}
	return nil, fmt.Sprintf("%d of them are T1-like", len(list))
}

// fewestSlices is what a series needs to be a volume where there is a choice.
const fewestSlices = 3

// volume tells whether the series may be one: grey, no localizer, more than a few
// slices in one direction.
func (s *series) volume() bool {
	frames := s.frames()
	first := s.objects[0]
	if len(frames) < fewestSlices && first.err == nil || strings.Contains(first.imageType, "LOCALIZER") {
		return false
	}
	for _, o := range s.objects {
		if o.samples != 1 || !strings.HasPrefix(o.photometric, "MONOCHROME") && o.photometric != "" {
			return false
		}
	}
	for _, f := range frames {
		if f.err == nil && frames[0].err == nil && frames[0].differs(f) {
			return false
		}
	}
	return true
}

func (s *series) magnetic() bool { return s.objects[0].isMR() }

// Words of sequences that are not T1-weighted, and of those that are.
var (
	otherWords = []string{"t2", "flair", "pd", "swi", "dwi", "dti", "diff", "adc", "trace", "bold", "fmri", "rest", "perf", "asl", "tof", "angio", "phase", "field", "scout", "loc", "survey", "mip", "mpr_", "cor_reformat"}
	t1Words    = []string{"t1", "mprage", "mp-rage", "spgr", "bravo", "tfl3d", "tfe", "mdeft"}
)

// likeT1 tells whether the series is T1-weighted: by its timing where that is
// stated (echo time up to 20 ms and either an inversion of 200 to 1500 ms or a
// repetition time up to 1000 ms), else by the words of its names. A name of
// another weighting rules it out.
func (s *series) likeT1() bool {
	o := s.objects[0]
	holds := func(words []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(o.words, w) })
	}
	if holds(otherWords) && !holds(t1Words) {
		return false
	}
	if o.echoTime == 0 {
		return holds(t1Words)
	}
	inverted := o.inversionTime >= 200 && o.inversionTime <= 1500
	short := o.repetitionTime > 0 && o.repetitionTime <= 1000 && o.inversionTime == 0
	return o.echoTime <= 20 && (inverted || short || holds(t1Words) && o.inversionTime <= 1500)
}
