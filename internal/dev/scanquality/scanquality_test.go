package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/volume"
)

func scored(score, dice float64, brain bool, flags ...string) outcome {
	o := outcome{dice: dice, brain: brain, quality: report.Quality{Score: &score}}
	for _, name := range flags {
		o.quality.Flags = append(o.quality.Flags, report.Flag{Name: name})
	}
	return o
}

func TestTheAreaIsHowOftenAGoodScanHasTheHigherScore(t *testing.T) {
	results := []outcome{scored(0.9, 0.85, true), scored(0.4, 0.81, true, "odd"), scored(0.4, 0.7, true), scored(0.1, 0.2, true), scored(0, 0, false, "odd"), scored(0.95, 0, false)}
	if area, good, bad := areaUnderCurve(results[:4]); good != 2 || bad != 2 || area != 3.5/4 {
		t.Errorf("%v of %d good and %d bad", area, good, bad)
	}
	text := summary(results)
	for _, want := range []string{"2 good, 2 bad", "AUC of the score 0.875", "1 of 2 flagged", "good scans with a flag: 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestDiceIsTheMeanOfTheTissues(t *testing.T) {
	truth := []uint8{0, 1, 1, 2, 2, 3, 3, 0}
	if got := meanDice(truth, truth); got != 1 {
		t.Errorf("%v of the same", got)
	}
	if got, want := meanDice([]uint8{0, 1, 0, 2, 2, 0, 0, 0}, truth), (2.0/3+1)/3; math.Abs(got-want) > 1e-12 {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSpoiltScansKeepTheirSizeAndLeaveTheOriginalAlone(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h := &head{scan: drawn(random, 20, func(p [3]float64) float64 { return 200 * inside(p, [3]float64{}, 8, 7, 6) })}
	h.truth = make([]uint8, len(h.scan.Values))
	before := slices.Clone(h.scan.Values)
	for _, way := range spoils {
		v := way.spoil(h, 0.7, random)
		if v.Size != h.scan.Size || len(v.Values) != len(before) {
			t.Errorf("%s: %v voxels in %v", way.name, len(v.Values), v.Size)
		}
		if changed := !slices.Equal(v.Values, before) || v.Affine != h.scan.Affine; changed != (way.name != "nothing") && way.name != "turned" {
			t.Errorf("%s: changed %v", way.name, changed)
		}
		if !slices.Equal(h.scan.Values, before) {
			t.Fatalf("%s changed the original", way.name)
		}
	}
}

func TestAScanThatIsNotMovedStaysAsItIs(t *testing.T) {
	v := drawn(rand.New(rand.NewPCG(1, 2)), 12, func(p [3]float64) float64 { return 100 + 5*p[0] })
	moved := moving(v, 0, [3]float64{})
	for z := range 12 {
		for y := range 12 {
			for x := range 12 {
				at := ((z+16)*moved.Size[1]+y+16)*moved.Size[0] + x + 16
				if got, want := moved.Values[at], v.Values[(z*12+y)*12+x]; math.Abs(float64(got-want)) > 1e-3 {
					t.Fatalf("%v at %d,%d,%d, want %v", got, x, y, z, want)
				}
			}
		}
	}
	line := &volume.Volume{Grid: volume.Grid{Size: [3]int{4, 1, 1}}, Values: []float32{1, 2, 3, 4}}
	if got := cubic(line, [3]float64{1.5, 0, 0}); math.Abs(float64(got)-2.5) > 1e-6 {
		t.Errorf("%v between 2 and 3", got)
	}
}
