package dicom

import (
	"fmt"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
)

// series is the images of one series.
type series struct {
	uid     string
	objects []*images.Object
}

func (s *series) frames() []*images.Frame {
	var frames []*images.Frame
	for _, o := range s.objects {
		for i := range o.Frames {
			frames = append(frames, &o.Frames[i])
		}
	}
	return frames
}

// bySeries sorts the objects by their series.
func (c *catalogue) bySeries() []*series {
	var list []*series
	for _, o := range c.objects {
		i := slices.IndexFunc(list, func(s *series) bool { return s.uid == o.Series })
		if i < 0 {
			i = len(list)
			list = append(list, &series{uid: o.Series})
		}
		list[i].objects = append(list[i].objects, o)
	}
	slices.SortFunc(list, func(a, b *series) int { return strings.Compare(a.uid, b.uid) })
	for _, s := range list {
		s.uid = dataset.ShowableUID(s.uid)
	}
	return list
}

// choose picks the series to read, and tells if there was a choice.
func (c *catalogue) choose(scan *volume.Scan, options volume.Options) (*series, error) {
	c.dropCaptures()
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
		if o.Err != nil && o.Series == "" {
			return nil, o.Err.In(o.File.Name)
		}
	}
	chosen, why := best(list)
	if chosen == nil {
		return nil, volume.Refuse(volume.CodeSeveralSeries, fmt.Sprintf("there are %d series and %s", len(list), why), "name one with --series UID: "+describe(list))
	}
	scan.Warn("series-chosen", "there are %d series; %s was chosen because it is %s (--series chooses another)", len(list), chosen.uid, why)
	c.leave(list, chosen)
	return chosen, nil
}

// dropCaptures leaves out screenshots that were stored into a series of MR images.
func (c *catalogue) dropCaptures() {
	scanned := make(map[string]bool)
	for _, o := range c.objects {
		scanned[o.Series] = scanned[o.Series] || o.Within(images.ClassMR)
	}
	c.objects = slices.DeleteFunc(c.objects, func(o *images.Object) bool {
		captured := o.Within(images.ClassCapture) && scanned[o.Series]
		if captured {
			c.left.Add("a screenshot (secondary capture) among the images", o.File.Name)
		}
		return captured
	})
}

// leave tells that the other series were left out.
func (c *catalogue) leave(list []*series, chosen *series) {
	for _, s := range list {
		if s == chosen {
			continue
		}
		for _, o := range s.objects {
			c.left.Add("of another series ("+s.uid+")", o.File.Name)
		}
	}
}

// nothing refuses a source without images.
func (c *catalogue) nothing() error {
	var found []string
	for _, l := range c.left.List(&c.names) {
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
		o := s.first()
		part := fmt.Sprintf("%s (%d images of %d x %d", s.uid, len(s.frames()), o.Columns, o.Rows)
		if o.EchoTime > 0 {
			part += fmt.Sprintf(", TE %.4g ms", o.EchoTime)
		}
		if o.RepetitionTime > 0 {
			part += fmt.Sprintf(", TR %.4g ms", o.RepetitionTime)
		}
		if o.InversionTime > 0 {
			part += fmt.Sprintf(", TI %.4g ms", o.InversionTime)
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
		{"the only T1-like one that is no derived image", func(s *series) bool { return !strings.HasPrefix(s.first().ImageType, "DERIVED") }, false},
		{"the only T1-like one without contrast agent", func(s *series) bool { return !s.first().Contrast }, false},
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
	first := s.first()
	if len(frames) < fewestSlices && first.Err == nil || strings.Contains(first.ImageType, "LOCALIZER") {
		return false
	}
	for _, o := range s.objects {
		if o.Samples != 1 || !strings.HasPrefix(o.Photometric, "MONOCHROME") && o.Photometric != "" {
			return false
		}
	}
	for _, f := range frames {
		if f.Err == nil && frames[0].Err == nil && frames[0].Differs(f) {
			return false
		}
	}
	return true
}

func (s *series) magnetic() bool { return s.first().IsMR() }

// first is the first object that is whole, if any is.
func (s *series) first() *images.Object {
	if i := slices.IndexFunc(s.objects, func(o *images.Object) bool { return o.Err == nil }); i >= 0 {
		return s.objects[i]
	}
	return s.objects[0]
}

// Words of sequences that are not T1-weighted, and of those that are.
var (
	otherWords = []string{"t2", "flair", "pd", "swi", "dwi", "dti", "diff", "adc", "trace", "bold", "fmri", "perf", "asl", "tof", "angio", "phase", "field", "scout", "loc", "survey", "mip"}
	t1Words    = []string{"t1", "3dt1", "mprage", "mp-rage", "spgr", "bravo", "tfl3d", "mdeft"}
)

// likeT1 tells whether the series is T1-weighted: by its timing where that is
// stated (echo time up to 20 ms and either an inversion of 200 to 1500 ms or a
// repetition time up to 1000 ms), else by the words of its names. A name of
// another weighting rules it out.
func (s *series) likeT1() bool {
	o := s.first()
	isNamed := o.Named(t1Words)
	if o.Named(otherWords) && !isNamed {
		return false
	}
	if o.EchoTime == 0 {
		return isNamed
	}
	inverted := o.InversionTime >= 200 && o.InversionTime <= 1500
	short := o.RepetitionTime > 0 && o.RepetitionTime <= 1000 && o.InversionTime == 0
	return o.EchoTime <= 20 && (inverted || short || isNamed && o.InversionTime <= 1500)
}
