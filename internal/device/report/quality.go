package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/brainseg/brainseg/internal/volume"
)

// Quality says whether the figures can be trusted.
type Quality struct {
	// Agreement is the share of tissue on which the planes agree, 0 to 1; absent
	// where one plane was run.
	Agreement float64 `json:"agreement,omitempty"`
	// Score is how likely it is that the labels are good, from 0 to 1, as far as the
	// scan and its labels show it; absent where the classes are not fluid, grey and
	// white matter.
	Score *float64 `json:"score,omitempty"`
	// Measures are what the score is made of; absent likewise.
	Measures []Measure `json:"measures,omitempty"`
	// Flags are reasons for doubt; none is no promise.
	Flags []Flag `json:"flags"`
}

// Flag is a reason for doubt, by a name that does not change and a sentence.
type Flag struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// The names of flags.
const (
	NotAHead     = "not-a-head"
	NotT1        = "not-T1"
	CutOff       = "cut-off"
	ThickSlices  = "thick-slices"
	LowAgreement = "low-agreement"
	OddVolume    = "odd-volume"
	OddShape     = "odd-shape"
	MotionLike   = "motion-like"
	LowScore     = "low-score"
	Unfamiliar   = "unfamiliar"
)

// What is usual. A living brain with its fluid has 1,000 to 1,900 ml; planes
// agree on 81 to 87 % of the tissue of good scans.
const (
	leastHead      = 100.0 // ml, below which there is no brain at all
	leastBrain     = 800.0
	mostBrain      = 2200.0
	leastAgreement = 0.7
	// mostCut is the area of tissue in square mm on a face of the scan, beyond
	// which the head goes on outside; below, where the spinal cord leaves, more.
	mostCut      = 400.0
	mostCutBelow = 2500.0
)

// judge finds the flags. brain is in ml.
func judge(in Input, brain float64, counts [256]int) Quality {
	q := Quality{Flags: []Flag{}}
	flag := func(name, format string, a ...any) {
		q.Flags = append(q.Flags, Flag{name, fmt.Sprintf(format, a...)})
	}
	if len(in.Planes) > 1 {
		q.Agreement = rounded(in.Agreement, 1e4)
	}
	switch {
	case brain < leastHead:
		flag(NotAHead, "only %.0f ml of brain were found; this may not be a head, or not its upper part", brain)
	case brain < leastBrain || brain > mostBrain:
		flag(OddVolume, "%.0f ml of brain were found, and grown-ups have %.0f to %.0f", brain, leastBrain, mostBrain)
	}
	if text := contrast(in, counts); text != "" {
		flag(NotT1, "%s", text)
	}
	if where := cut(in.Labels); where != "" && brain >= leastHead {
		flag(CutOff, "the brain reaches the edge of the scan (%s): volumes may be too small", where)
	}
	if in.Thick {
		flag(ThickSlices, "the slices are thick: they were segmented one by one, and volumes are less sure")
	}
	if len(in.Planes) > 1 && in.Agreement < leastAgreement {
		flag(LowAgreement, "the three planes agree on %.0f %% of the tissue only, and on 81 to 87 %% of good scans", 100*in.Agreement)
	}
	if len(in.Classes) != 4 {
		return q
	}
	s, list := score(measure(in, counts))
	q.Score, q.Measures = &s, list
	if brain >= leastHead {
		q.doubts(flag)
	}
	return q
}

// doubts flags what the measures show.
func (q *Quality) doubts(flag func(name, format string, a ...any)) {
	doubtOf := make(map[string]float64)
	for _, m := range q.Measures {
		doubtOf[m.Name] = m.Doubt
	}
	flagged := func(name string) bool {
		return slices.ContainsFunc(q.Flags, func(f Flag) bool { return f.Name == name })
	}
	if max(doubtOf[measureNoise], doubtOf[measureEdge], doubtOf[measureSurface]) >= doubtful {
		flag(MotionLike, "the tissues are noisy or their borders are not sharp, as after motion or in a coarse scan")
	}
	if doubtOf[measureLost] >= doubtfulLost && !flagged(CutOff) {
		flag(CutOff, "slices of the brain are missing or empty: volumes are too small")
	}
	if max(doubtOf[measureLargest], doubtOf[measureMirror], doubtOf[measureLength], doubtOf[measureHeight]) >= doubtful {
		flag(OddShape, "what was found does not have the shape of a brain")
	}
	if !flagged(NotT1) && max(doubtOf[measureWhiteGrey], doubtOf[measureGreyFluid]) >= doubtful {
		flag(NotT1, "the tissues hardly differ in brightness: this may not be a T1 scan")
	}
	if doubtOf[measureKnown] >= doubtful {
		flag(Unfamiliar, "the model takes much of the scan for something else than a T1 scan of a head")
	}
	if *q.Score < doubtfulScore {
		flag(LowScore, "the measures together are like those of scans that are segmented badly (score %.2f)", *q.Score)
	}
}

// contrast says what is wrong with the order of the tissues' brightness: in a T1
// scan white matter is brighter than grey, and grey than fluid. It knows the
// tissues by their places: classes 1, 2 and 3.
func contrast(in Input, counts [256]int) string {
	if len(in.Classes) != 4 || counts[1] == 0 || counts[2] == 0 || counts[3] == 0 {
		return ""
	}
	var sums [256]float64
	for i, v := range in.Scan.Values {
		if wide := float64(v); !math.IsNaN(wide) && !math.IsInf(wide, 0) {
			sums[in.Labels.Values[i]] += wide
		}
	}
	mean := func(class int) float64 { return sums[class] / float64(counts[class]) }
	if mean(3) > mean(2) && mean(2) > mean(1) {
		return ""
	}
	return "white matter is not brighter than grey, or grey not brighter than fluid: this may not be a T1 scan"
}

// cut names the faces of the scan through which the brain goes on, "" for none.
func cut(labels volume.Labels) string {
	view := labels.View()
	spacing := view.Spacing()
	names := [3][2]string{{"left", "right"}, {"back", "front"}, {"bottom", "top"}}
	found := ""
	for axis := range 3 {
		a, b := (axis+1)%3, (axis+2)%3
		for end, name := range names[axis] {
			at := [3]int{}
			if end == 1 {
				at[axis] = view.Size[axis] - 1
			}
			n := 0
			for at[a] = range view.Size[a] {
				for at[b] = range view.Size[b] {
					if labels.Values[view.Index(at[0], at[1], at[2])] != 0 {
						n++
					}
				}
			}
			most := mostCut
			if name == "bottom" {
				most = mostCutBelow
			}
			if float64(n)*spacing[a]*spacing[b] > most {
				if found != "" {
					found += ", "
				}
				found += name
			}
		}
	}
	return found
}
