package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/device/report"
)

// goodDice is what a segmentation has at least that may be trusted.
const goodDice = 0.8

// outcome is what became of one spoilt scan, or of something that is no brain.
type outcome struct {
	name, way string
	strength  float64
	brain     bool
	dice      float64 // mean of the tissues; 0 for what is no brain
	quality   report.Quality
}

const heading = "scan\tway\tstrength\tdice\tscore\tagreement\tmeasures\tflags"

func (o outcome) score() float64 {
	if o.quality.Score == nil {
		return 0
	}
	return *o.quality.Score
}

func (o outcome) String() string {
	var flags []string
	for _, f := range o.quality.Flags {
		flags = append(flags, f.Name)
	}
	var parts []string
	for _, m := range o.quality.Measures {
		parts = append(parts, fmt.Sprintf("%s=%.4f", m.Name, m.Value))
	}
	return fmt.Sprintf("%s\t%s\t%.2f\t%.3f\t%.3f\t%.3f\t%s\t%s", o.name, o.way, o.strength, o.dice, o.score(), o.quality.Agreement, strings.Join(parts, ","), strings.Join(flags, ","))
}

// meanDice is the mean over the tissues that are in either of the label maps.
func meanDice(labels, truth []uint8) float64 {
	var both, sum [256]int
	for i, v := range labels {
		sum[v]++
		sum[truth[i]]++
		if v == truth[i] {
			both[v]++
		}
	}
	total := 0.0
	for class := 1; class <= 3; class++ {
		if sum[class] > 0 {
			total += 2 * float64(both[class]) / float64(sum[class])
		}
	}
	return total / 3
}

// areaUnderCurve is how often a good one has a higher score than a bad one.
func areaUnderCurve(results []outcome) (area float64, good, bad int) {
	wins := 0.0
	for _, g := range results {
		if g.dice < goodDice {
			continue
		}
		good++
		for _, b := range results {
			if b.dice >= goodDice {
				continue
			}
			switch cmp.Compare(g.score(), b.score()) {
			case 1:
				wins++
			case 0:
				wins += 0.5
			}
		}
	}
	bad = len(results) - good
	if good == 0 || bad == 0 {
		return 0, good, bad
	}
	return wins / float64(good) / float64(bad), good, bad
}

func summary(results []outcome) string {
	brains := slices.DeleteFunc(slices.Clone(results), func(o outcome) bool { return !o.brain })
	var b strings.Builder
	area, good, bad := areaUnderCurve(brains)
	fmt.Fprintf(&b, "spoilt scans: %d good, %d bad (mean Dice below %.1f); AUC of the score %.3f\n", good, bad, goodDice, area)
	area, good, bad = areaUnderCurve(results)
	fmt.Fprintf(&b, "with what is no brain: %d good, %d bad; AUC %.3f\n", good, bad, area)
	missed, things, wrong := 0, 0, 0
	for _, o := range results {
		switch {
		case !o.brain:
			things++
			if len(o.quality.Flags) == 0 {
				missed++
			}
		case o.dice >= goodDice && len(o.quality.Flags) > 0:
			wrong++
		}
	}
	fmt.Fprintf(&b, "no brain: %d of %d flagged; good scans with a flag: %d", things-missed, things, wrong)
	return b.String()
}
