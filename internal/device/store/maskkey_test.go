package store

import (
	"testing"
)

func TestMaskKeyFollowsTheRule(t *testing.T) {
	for key, want := range map[string]string{
		"input/slice.png":         "output/slice_MASK_PREDICTION.png",
		"input/p1/slice.png":      "output/p1/slice_MASK_PREDICTION.png",
		"input/v1.2/p.1/slice":    "output/v1.2/p.1/slice_MASK_PREDICTION.png",
		"input/v1.2/slice.t1.png": "output/v1.2/slice.t1_MASK_PREDICTION.png",
		"slice.png":               "output/slice_MASK_PREDICTION.png",
		"slice":                   "output/slice_MASK_PREDICTION.png",
		"input/.png":              "output/.png_MASK_PREDICTION.png",
		"input/a.":                "output/a_MASK_PREDICTION.png",
		"input//b.png":            "output//b_MASK_PREDICTION.png",
		"/b.png":                  "output/b_MASK_PREDICTION.png",
	} {
		if got := MaskKey(key); got != want {
			t.Errorf("MaskKey(%q) = %q, want %q", key, got, want)
		}
	}
}
