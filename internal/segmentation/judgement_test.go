package segmentation

import (
	"errors"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

func TestScoresAndMaskComeTogetherAtEverySize(t *testing.T) {
	m := open(t, "judged", Options{MaxPixels: 1000 * 1000})
	random := rand.New(rand.NewPCG(7, 8))
	for _, size := range [][2]int{{1, 1}, {7, 5}, {33, 40}, {330, 320}, {600, 520}, {900, 800}} {
		slice := randomSlice(random, size[0], size[1])
		n := len(slice.Pix)
		mask, scores, alone := make([]uint8, n), make([]uint8, 2*n), make([]uint8, n)
		if _, err := m.SegmentDetailed(t.Context(), slice, mask, scores); err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		if err := m.Segment(t.Context(), slice, alone); err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		if !slices.Equal(mask, alone) {
			t.Errorf("%v: the mask is another with scores", size)
		}
		if !slices.Equal(scores[n:], slice.Pix) {
			t.Errorf("%v: the scores of the second class are wrong", size)
		}
		for i, v := range slice.Pix {
			if scores[i] != 255-v {
				t.Fatalf("%v: the first class has score %d where it should have %d", size, scores[i], 255-v)
			}
		}
	}
}

func TestANetworkJudgesItsMask(t *testing.T) {
	m := open(t, "judged", Options{})
	slice := image.NewGray(image.Rect(0, 0, 20, 10))
	slice.Pix[7] = 204
	j, err := m.SegmentDetailed(t.Context(), slice, make([]uint8, 200), nil)
	if err != nil || j == nil || math.Abs(j.Confidence-0.004) > 1e-6 || math.Abs(j.Known-0.8) > 1e-6 {
		t.Errorf("judgement %+v, error %v", j, err)
	}
}

func TestAJudgementOfTilesIsTheirMeanByPixels(t *testing.T) {
	m := open(t, "judged", Options{})
	slice := image.NewGray(image.Rect(0, 0, 1600, 1000))
	for i := range slice.Pix {
		slice.Pix[i] = 102
	}
	j, err := m.SegmentDetailed(t.Context(), slice, make([]uint8, len(slice.Pix)), nil)
	if err != nil || j == nil || math.Abs(j.Confidence-0.4) > 1e-3 || math.Abs(j.Known-0.4) > 1e-3 {
		t.Errorf("judgement %+v, error %v", j, err)
	}
}

func TestAModelWithoutScoresSaysSo(t *testing.T) {
	m := open(t, "threshold", Options{})
	slice := image.NewGray(image.Rect(0, 0, 8, 8))
	if _, err := m.SegmentDetailed(t.Context(), slice, make([]uint8, 64), make([]uint8, 3*64)); !errors.Is(err, ErrNoScores) {
		t.Errorf("error %v", err)
	}
	if j, err := m.SegmentDetailed(t.Context(), slice, make([]uint8, 64), nil); j != nil || err != nil {
		t.Errorf("judgement %v, error %v", j, err)
	}
	other := open(t, "judged", Options{})
	if _, err := other.SegmentDetailed(t.Context(), slice, make([]uint8, 64), make([]uint8, 64)); !errors.Is(err, ErrSize) {
		t.Errorf("error %v", err)
	}
}

func TestScoresAndMasksOfManyCallersDoNotMix(t *testing.T) {
	m := open(t, "judged", Options{})
	var wg sync.WaitGroup
	for seed := range uint64(8) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 20 {
				slice := randomSlice(random, 40, 30)
				mask, scores := make([]uint8, 1200), make([]uint8, 2400)
				_, err := m.SegmentDetailed(t.Context(), slice, mask, scores)
				if seed%2 == 0 {
					err = m.Segment(t.Context(), slice, mask)
				}
				if err != nil {
					t.Error(err)
					return
				}
				for i, v := range slice.Pix {
					if mask[i] != v/128 {
						t.Errorf("pixel %d of value %d has class %d", i, v, mask[i])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
