package threeplane

import (
	"context"
	"image"
	"math"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
)

// scoring gives a pixel between the middles of two classes a share of each; its
// class is the one with the larger.
type scoring struct{}

func (s scoring) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, _, err := s.Scores(ctx, slice, mask, make([]uint8, 4*len(mask)))
	return err
}

func (scoring) Scores(_ context.Context, slice *image.Gray, mask, scores []uint8) (confidence, known float64, err error) {
	n := len(mask)
	clear(scores)
	for i, v := range slice.Pix {
		lower := min(v/64, 2)
		share := uint8(min(4*(int(v)-64*int(lower)), 255))
		scores[int(lower+1)*n+i], scores[int(lower)*n+i] = share, 255-share
		mask[i] = lower
		if share > 127 {
			mask[i]++
		}
	}
	return 0.75, 0.5, nil
}

func TestScoresOfTheSameVoxelsGiveTheSameLabelsAsVotes(t *testing.T) {
	for _, spacing := range [][3]float64{{1, 1, 1}, {1.5, 1, 2}} {
		scan := head(spacing)
		want, err := Segment(t.Context(), scan, scoring{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Segment(t.Context(), scan, scoring{}, Options{Scored: true})
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for i, v := range want.Labels.Values {
			if got.Labels.Values[i] != v {
				changed++
			}
		}
		// Between voxels scores are interpolated smoothly, and votes in steps.
		if share := float64(changed) / float64(len(want.Labels.Values)); share > 0.02 || spacing == [3]float64{1, 1, 1} && changed > 0 {
			t.Errorf("spacing %v: %.2f %% of the labels differ", spacing, 100*share)
		}
		if got.Agreement < 0.999 {
			t.Errorf("spacing %v: agreement %v of planes that say the same", spacing, got.Agreement)
		}
	}
}

func TestThePartsOfAScoreSumUpToItInEveryNumberOfPlanes(t *testing.T) {
	for planes := 1; planes <= 3; planes++ {
		s := newSums(planes, [3]int{1, 1, 1}, 4)
		for score := range 256 {
			sum := 0
			for n := range planes {
				sum += int(s.part[n][score])
			}
			if sum != score {
				t.Errorf("%d planes: the parts of %d sum up to %d", planes, score, sum)
			}
		}
	}
}

// put gives sums one voxel's scores in every plane, the first class' being what is
// left of 255.
func put(s *sums, voxel int, planes [3][3]uint8) {
	for n, scores := range planes {
		rest := uint8(255) - scores[0] - scores[1] - scores[2]
		class, most := uint8(0), rest
		for k, v := range scores {
			if v > most {
				class, most = uint8(k+1), v
			}
		}
		s.put(n, voxel, 1, []uint8{class}, [][]uint8{{rest}, {scores[0]}, {scores[1]}, {scores[2]}})
	}
}

func TestWhatScoresDecide(t *testing.T) {
	const centre = 13
	sure := [3][3]uint8{{0, 255, 0}, {0, 255, 0}, {0, 255, 0}}
	for _, tt := range []struct {
		name   string
		centre [3][3]uint8
		want   uint8
		agreed float64
	}{
		{"all agree, against all neighbours", [3][3]uint8{{200, 0, 0}, {200, 0, 0}, {200, 0, 0}}, 1, 1},
		{"one sure plane against two that hesitate", [3][3]uint8{{0, 250, 0}, {128, 120, 0}, {128, 120, 0}}, 2, 26.0 / 27},
		{"a lone voxel that one plane doubts", [3][3]uint8{{0, 0, 240}, {0, 0, 230}, {0, 130, 125}}, 2, 26.0 / 27},
		{"a lone voxel that one plane hardly doubts", [3][3]uint8{{0, 0, 255}, {0, 0, 255}, {128, 0, 127}}, 2, 26.0 / 27},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSums(3, [3]int{3, 3, 3}, 4)
			for i := range 27 {
				if i == centre {
					put(s, i, tt.centre)
				} else {
					put(s, i, sure)
				}
			}
			fused, agreement := s.fuse()
			if fused[centre] != tt.want || math.Abs(agreement-tt.agreed) > 1e-9 {
				t.Errorf("class %d, agreement %v; want %d, %v", fused[centre], agreement, tt.want, tt.agreed)
			}
		})
	}
}

func TestOnePlaneOfScoresIsItsMask(t *testing.T) {
	scan := head([3]float64{1, 1, 1})
	opts := Options{Planes: []volume.Plane{volume.Coronal}}
	want, err := Segment(t.Context(), scan, scoring{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.Scored = true
	got, err := Segment(t.Context(), scan, scoring{}, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want.Labels.Values {
		if got.Labels.Values[i] != v {
			t.Fatalf("voxel %d has class %d, and %d without scores", i, got.Labels.Values[i], v)
		}
	}
}

func TestProbabilitiesOfAllClassesSumUpOnTheScansGridAndAgreeWithTheLabels(t *testing.T) {
	for _, spacing := range [][3]float64{{1, 1, 1}, {1.5, 1, 2}, {1, 1, 5}} {
		scan := head(spacing)
		r, err := Segment(t.Context(), scan, scoring{}, Options{Scored: true, Probabilities: true})
		if err != nil {
			t.Fatal(err)
		}
		var all [4][]uint8
		for class := range all {
			if all[class] = r.Probability(uint8(class)); len(all[class]) != scan.Voxels() {
				t.Fatalf("spacing %v: %d probabilities for %d voxels", spacing, len(all[class]), scan.Voxels())
			}
		}
		differ := 0
		for i, label := range r.Labels.Values {
			sum, most := 0, 0
			for class := range all {
				sum += int(all[class][i])
				if all[class][i] > all[most][i] {
					most = class
				}
			}
			if sum < 253 || sum > 257 {
				t.Fatalf("spacing %v: the probabilities of voxel %d sum up to %d", spacing, i, sum)
			}
			if int(all[most][i]) > int(all[label][i])+2 {
				differ++
			}
		}
		if 1000*differ > len(r.Labels.Values) {
			t.Errorf("spacing %v: %d of %d labels are not the most probable class", spacing, differ, len(r.Labels.Values))
		}
	}
	if r, err := Segment(t.Context(), head([3]float64{2, 2, 2}), scoring{}, Options{Probabilities: true}); err != nil || r.Probability != nil {
		t.Errorf("votes have probabilities; error %v", err)
	}
}

// judging is sure of slices as they have tissue, and of none that have none.
type judging struct{ scoring }

func (j judging) Scores(ctx context.Context, slice *image.Gray, mask, scores []uint8) (confidence, known float64, err error) {
	_, _, err = j.scoring.Scores(ctx, slice, mask, scores)
	tissue := 0
	for _, class := range mask {
		if class != 0 {
			tissue++
		}
	}
	return float64(tissue) / float64(len(mask)), min(1, float64(tissue)), err
}

func TestWhatTheNetworkSaysOfItsMasksIsTheirMeanByTissue(t *testing.T) {
	scan := head([3]float64{1, 1, 1})
	one, err := Segment(t.Context(), scan, judging{}, Options{Scored: true, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if one.Confidence <= 0.2 || one.Confidence >= 1 || one.Known != 1 { // slices without tissue count for nothing
		t.Errorf("confidence %g, known %g", one.Confidence, one.Known)
	}
	many, err := Segment(t.Context(), scan, judging{}, Options{Scored: true, Workers: 5})
	if err != nil || many.Confidence != one.Confidence || many.Known != one.Known {
		t.Errorf("of five workers: confidence %g, known %g, error %v", many.Confidence, many.Known, err)
	}
	votes, err := Segment(t.Context(), scan, scoring{}, Options{})
	if err != nil || !math.IsNaN(votes.Confidence) || !math.IsNaN(votes.Known) {
		t.Errorf("of a network that is not asked: confidence %g, known %g, error %v", votes.Confidence, votes.Known, err)
	}
}
