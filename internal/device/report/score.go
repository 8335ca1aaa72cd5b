package report

import (
	"math"
)

// Measure is something that a segmented scan shows of its own quality, by a name
// that does not change.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Doubt is 0 where the value is as in good scans, 1 where it is as bad as it
	// gets.
	Doubt float64 `json:"doubt"`
}

// limits are the values from which a measure is doubtful, and from which it is as
// bad as it gets. The zero value is no limit.
type limits struct{ good, bad float64 }

// criterion turns a measure into a doubt.
type criterion struct {
	name      string
	weight    float64
	of        func(m measures) float64
	low, high limits
}

// The names of measures.
const (
	measureAgreement = "agreement"           // share of tissue on which the planes agree
	measureSure      = "confidence"          // how likely the network takes its masks to be good
	measureKnown     = "known"               // how likely it takes the slices for those of a T1 head
	measureWhiteGrey = "contrast-white-grey" // difference of the means by the spread
	measureGreyFluid = "contrast-grey-fluid"
	measureNoise     = "noise"       // within a tissue, by the range of the tissues
	measureEdge      = "edge"        // of the step from grey to white, between neighbours
	measureSurface   = "surface"     // between grey and white, by that of a ball
	measureLargest   = "largest"     // share of the tissue that hangs together
	measureMirror    = "mirror"      // Dice of the brain with itself, left for right
	measureBrain     = "brain-ml"    // of all tissues
	measureFluid     = "csf-share"   // of the brain
	measureWhite     = "white-share" // of the brain
	measureLength    = "length"      // by the width
	measureHeight    = "height"      // by the width
	measureLost      = "lost"        // share of the brain that is missing
	doubtful         = 0.5           // a doubt that is told
	doubtfulLost     = 0.2
	doubtfulScore    = 0.5
	trust            = 2.7 // log odds of a scan without any doubt
)

// criteria are for stripped brains and whole heads of grown-ups: their limits are
// wide enough for both. The weights were fitted to spoilt scans with labels, none
// of them below 0, so that no measure ever speaks for a scan: the command
// scanquality of internal/dev measures what the score is worth.
var criteria = []criterion{
	{measureAgreement, 4, func(m measures) float64 { return m.agreement }, limits{0.82, 0.5}, limits{}},
	{measureSure, 1.5, func(m measures) float64 { return m.confidence }, limits{0.75, 0.2}, limits{}},
	{measureKnown, 1.5, func(m measures) float64 { return m.known }, limits{0.95, 0.5}, limits{}},
	{measureWhiteGrey, 0.3, func(m measures) float64 { return m.whiteGrey }, limits{2, 0.5}, limits{}},
	{measureGreyFluid, 1.2, func(m measures) float64 { return m.greyFluid }, limits{2, 0.5}, limits{}},
	{measureNoise, 0.3, func(m measures) float64 { return m.noise }, limits{}, limits{0.035, 0.12}},
	{measureEdge, 3, func(m measures) float64 { return m.edge }, limits{0.24, 0.1}, limits{}},
	{measureSurface, 1.3, func(m measures) float64 { return m.surface }, limits{7.2, 4}, limits{9.5, 13}},
	{measureLargest, 1.7, func(m measures) float64 { return m.largest }, limits{0.98, 0.7}, limits{}},
	{measureMirror, 0.3, func(m measures) float64 { return m.mirror }, limits{0.92, 0.7}, limits{}},
	{measureBrain, 1, func(m measures) float64 { return m.brain }, limits{1000, 500}, limits{1700, 2500}},
	{measureFluid, 2, func(m measures) float64 { return m.fractions[1] }, limits{0.11, 0.03}, limits{0.25, 0.45}},
	{measureWhite, 0.7, func(m measures) float64 { return m.fractions[3] }, limits{0.25, 0.1}, limits{0.4, 0.6}},
	{measureLength, 2.2, func(m measures) float64 { return m.long }, limits{1.05, 0.8}, limits{1.45, 1.8}},
	{measureHeight, 0.7, func(m measures) float64 { return m.high }, limits{0.85, 0.6}, limits{1.2, 1.5}},
	{measureLost, 0.9, func(m measures) float64 { return m.lost }, limits{}, limits{0.03, 0.4}},
}

// doubt is how doubtful a value is: 0 to 1.
func (c criterion) doubt(value float64) float64 { return max(c.low.ramp(value), c.high.ramp(value)) }

// ramp is 0 at good and beyond, 1 at bad and beyond, and even between.
func (l limits) ramp(x float64) float64 {
	if l == (limits{}) {
		return 0
	}
	return min(max((x-l.good)/(l.bad-l.good), 0), 1)
}

// score is how likely the labels are good, as of spoilt scans half of which are:
// 0 to 1. list has each measure that it is made of.
func score(m measures) (s float64, list []Measure) {
	odds := trust
	for _, c := range criteria {
		value := c.of(m)
		if math.IsNaN(value) {
			continue // of a network that does not say
		}
		doubt := c.doubt(value)
		odds -= float64(c.weight * doubt)
		list = append(list, Measure{c.name, rounded(value, 1e4), rounded(doubt, 1e4)})
	}
	if m.brain < leastHead {
		return 0, list
	}
	return rounded(1/(1+math.Exp(-odds)), 1e4), list
}
