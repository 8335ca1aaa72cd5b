package request

import (
	"strings"
	"testing"
)

func TestNamesOfOutputsNeverMeet(t *testing.T) {
	long := strings.Repeat("ü", 64)
	ids := []string{
		"x", "x.overlay", "x.overlay.overlay", ".overlay", "overlay", "x%2Eoverlay", "x.overlay.png", "x.png", "X",
		"scan/1", "scan:1", "scan_1", "scan%2F1", "scan%252F1", "scan_1-5d9a1b1f0d1c6f10", "..", ".", "%2E", "%2E.", "-", " ",
		long, strings.Repeat("é", 64), fileName(long), " " + strings.TrimPrefix(fileName(long), "%sha256-")[2:], strings.Repeat("x", 128), strings.Repeat("x", 120) + ".overlay",
	}
	taken := make(map[string]string)
	take := func(name, by string) {
		if other, ok := taken[name]; ok {
			t.Errorf("%s is of %s and of %s", name, other, by)
		}
		taken[name] = by
		if len(name) > 255 || strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, ".") {
			t.Errorf("%q is no name of a file that is seen", name)
		}
	}
	for _, id := range ids {
		mask, overlay := Request{ID: id}.Destinations()
		take(mask, "mask "+id)
		take(overlay, "overlay "+id)
	}
	if mask, overlay := (Request{ID: "scan-1.a_B"}).Destinations(); mask != "scan-1.a_B.png" || overlay != "scan-1.a_B.overlay.png" {
		t.Errorf("a plain id names %s and %s", mask, overlay)
	}
	if _, err := Parse([]byte(`{"id":"x","image":{"path":"a"},"output":{"to":"a/x.overlay.png"}}`)); err == nil {
		t.Error("a mask may be named as an overlay is")
	}
}

// Two ids share no name, nor do two named destinations.
func FuzzDestinationsAreInjective(f *testing.F) {
	f.Add("x", "x.overlay")
	f.Add("scan/1", "scan%2F1")
	f.Add(".overlay", "%2Eoverlay")
	f.Add(strings.Repeat("/", 128), strings.Repeat("/", 127)+":")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == b || checkText("id", a, MaxID) != nil || checkText("id", b, MaxID) != nil {
			return
		}
		requests := [][2]Request{{{ID: a}, {ID: b}}}
		to := func(name string) Request { return Request{ID: "same", Output: Output{To: name + maskSuffix}} }
		if !strings.HasSuffix(a+maskSuffix, overlaySuffix) && !strings.HasSuffix(b+maskSuffix, overlaySuffix) {
			requests = append(requests, [2]Request{to(a), to(b)})
		}
		for _, pair := range requests {
			mask, overlay := pair[0].Destinations()
			otherMask, otherOverlay := pair[1].Destinations()
			for _, mine := range []string{mask, overlay} {
				if mine == otherMask || mine == otherOverlay || mask == overlay {
					t.Errorf("%q and %q share %q", a, b, mine)
				}
			}
		}
	})
}

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
