package imaging

import (
	"image"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wide returns the drawn brain as 16-bit values, changed by edit.
func wide(edit func(i, v int) int) rawPNG {
	p := brain(160, 120)
	return rawPNG{width: 160, height: 120, depth: 16, sample: func(x, y, _ int) int {
		i := y*160 + x
		return edit(i, int(p.Pix[i]))
	}}
}

func decoded(t *testing.T, raw rawPNG) (*image.Gray, []Flag) {
	t.Helper()
	slice, info, err := Decode(raw.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return slice, info.Flags
}

// tissueError is the mean difference of the pixels that are tissue, once the
// contrast is the same, and the contrast as a share of the one wanted.
func tissueError(got, want *image.Gray) (off, contrast float64) {
	var tissue []int
	sums := [2]float64{}
	for i, v := range want.Pix {
		if anatomy(i%160, i/160, 160, 120) != 0 {
			tissue = append(tissue, i)
			sums[0], sums[1] = sums[0]+float64(got.Pix[i]), sums[1]+float64(v)
		}
	}
	contrast = sums[0] / sums[1]
	for _, i := range tissue {
		off += math.Abs(float64(got.Pix[i]) - contrast*float64(want.Pix[i]))
	}
	return off / float64(len(tissue)), contrast
}

func TestOutlyingValuesDoNotTakeTheContrastOfA16BitSlice(t *testing.T) {
	const pixels = 160 * 120
	plain := func(_, v int) int { return 4 * v }
	clean, flags := decoded(t, wide(plain))
	if flags != nil {
		t.Errorf("the clean slice has flags %q", flags)
	}
	every := func(n, value int) func(i, v int) int {
		return func(i, v int) int {
			if i%n == 0 {
				return value
			}
			return plain(i, v)
		}
	}
	for _, c := range []struct {
		name string
		edit func(i, v int) int
		flag bool
	}{
		{"one spike", every(pixels, 65535), true},
		{"one spike in the middle of the range", every(pixels, 30000), true},
		{"fifteen spikes", every(pixels/15, 65535), true},
		{"an annotation of some fifty pixels", every(400, 20000), true},
		{"a bright vessel", every(2000, 1300), false},
		{"air around zero, negative in part", func(i, v int) int {
			if v < 8 {
				return (i%5 - 2) & 0xffff
			}
			return plain(i, v)
		}, true},
		{"signed values that were moved up", func(i, v int) int { return 32768 + plain(i, v) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, flags := decoded(t, wide(c.edit))
			if off, contrast := tissueError(got, clean); off > 8 || contrast < 0.45 || contrast > 1.1 {
				t.Errorf("tissue is off by %.1f of 255 at %.2f of the contrast", off, contrast)
			}
			var want []Flag
			if c.flag {
				want = []Flag{FlagOutlyingValues}
			}
			if diff := cmp.Diff(want, flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheWindowOf16BitValues(t *testing.T) {
	fill := func(h *[1 << 16]uint32, from, to int, n uint32) {
		for v := from; v < to; v++ {
			h[v] = n
		}
	}
	for _, c := range []struct {
		name   string
		values func(h *[1 << 16]uint32)
		want   window16
	}{
		{"no pixels but black", func(h *[1 << 16]uint32) { h[0] = 9 }, window16{}},
		{"one value", func(h *[1 << 16]uint32) { h[700] = 9 }, window16{low: 700, high: 700}},
		{"few pixels", func(h *[1 << 16]uint32) { fill(h, 0, 100, 1) }, window16{high: 99}},
		{"a thousandth above", func(h *[1 << 16]uint32) { fill(h, 1, 101, 100); h[150] = 10 }, window16{high: 100}},
		{"twice the 99th percentile", func(h *[1 << 16]uint32) { fill(h, 1, 101, 100); h[500] = 50 }, window16{high: 200}},
		{"far beyond the window", func(h *[1 << 16]uint32) { fill(h, 1, 101, 100); h[800] = 1 }, window16{high: 100, outliers: true}},
		{"far from zero", func(h *[1 << 16]uint32) { fill(h, 1000, 1101, 100) }, window16{low: 1000, high: 1100}},
		{"far from zero, padded", func(h *[1 << 16]uint32) { fill(h, 1000, 1101, 100); h[0] = 5000 }, window16{low: 950, high: 1100}},
		{"negative numbers", func(h *[1 << 16]uint32) { fill(h, 0, 1001, 10); fill(h, 65000, 65536, 9) }, window16{high: 1000, negatives: true, outliers: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := new([1 << 16]uint32)
			c.values(h)
			if got := findWindow(h); got != c.want {
				t.Errorf("window %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSwappedBytesArePutRightAndFlagged(t *testing.T) {
	swap := func(v int) int { return v>>8 | v<<8&0xff00 }
	for _, kind := range []int{pngGrey, pngRGB, pngGreyAlpha, pngRGBA} {
		for _, factor := range []int{6, 16, 200, 256, 257} {
			plain := wide(func(i, v int) int { return v*factor + (i*7919>>3)%factor })
			plain.colourType = kind
			alphaless := plain.sample
			plain.sample = func(x, y, c int) int {
				if kind == pngGreyAlpha && c == 1 || c == 3 {
					return 0xffff
				}
				return alphaless(x, y, c)
			}
			swapped := plain
			swapped.sample = func(x, y, c int) int { return swap(plain.sample(x, y, c)) }
			want, flags := decoded(t, plain)
			if flags != nil {
				t.Errorf("colour type %d, factor %d, as it should be: flags %q", kind, factor, flags)
			}
			got, flags := decoded(t, swapped)
			if diff := cmp.Diff([]Flag{FlagBytesSwapped}, flags); diff != "" || !cmp.Equal(want.Pix, got.Pix) {
				t.Errorf("colour type %d, factor %d: the pixels differ, or the flags (-want +got):\n%s", kind, factor, diff)
			}
		}
	}
	noise, flags := decoded(t, rawPNG{width: 160, height: 120, depth: 16, sample: func(x, y, _ int) int { return (x*x*7919 + y*y*31337 + x*y*104729) >> 4 & 0xffff }})
	if flags != nil {
		t.Errorf("noise %v has flags %q", noise.Rect, flags)
	}
}

func TestAlphaThatSaysNothingIsIgnoredAndFlagged(t *testing.T) {
	p := brain(160, 120)
	grey := func(x, y, depth int) int {
		if depth == 16 {
			return int(p.Pix[y*160+x]) * 257
		}
		return int(p.Pix[y*160+x]) >> (8 - depth)
	}
	palette := func(alpha string) [][2]string {
		colours := make([]byte, 3*256)
		for i := range colours {
			colours[i] = byte(i / 3)
		}
		return [][2]string{{"PLTE", string(colours)}, {"tRNS", alpha}}
	}
	same := make([]byte, 256)
	for _, c := range []struct {
		name   string
		kind   int
		depth  int
		alpha  int
		chunks [][2]string
	}{
		{"RGBA", pngRGBA, 8, 0, nil},
		{"RGBA of 16 bits", pngRGBA, 16, 0, nil},
		{"grey and alpha", pngGreyAlpha, 8, 0, nil},
		{"grey and alpha of 16 bits", pngGreyAlpha, 16, 0, nil},
		{"alpha 1", pngRGBA, 8, 1, nil},
		{"alpha 300 of 65535", pngRGBA, 16, 300, nil},
		{"palette", pngPalette, 8, 0, palette(string(same))},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := rawPNG{width: 160, height: 120, depth: c.depth, colourType: c.kind, chunks: c.chunks}
			raw.sample = func(x, y, channel int) int {
				if c.kind == pngGreyAlpha && channel == 1 || channel == 3 {
					return c.alpha
				}
				return grey(x, y, c.depth)
			}
			got, flags := decoded(t, raw)
			if diff := cmp.Diff([]Flag{FlagAlphaIgnored}, flags); diff != "" {
				t.Errorf("flags (-want +got):\n%s", diff)
			}
			plain := rawPNG{width: 160, height: 120, depth: c.depth, sample: func(x, y, _ int) int { return grey(x, y, c.depth) }}
			if want, _ := decoded(t, plain); !cmp.Equal(want.Pix, got.Pix) {
				t.Error("the pixels differ from those of a grey PNG")
			}
			if c.chunks != nil {
				return
			}
			opaque := raw.sample
			raw.sample = func(x, y, channel int) int {
				if c.kind == pngGreyAlpha && channel == 1 || channel == 3 {
					if x < 30 {
						return 0
					}
					return 1<<c.depth - 1
				}
				return opaque(x, y, channel)
			}
			got, flags = decoded(t, raw)
			if flags != nil || got.GrayAt(29, 60).Y != 0 || got.GrayAt(60, 60).Y == 0 {
				t.Errorf("alpha that says something: flags %q, %d and %d", flags, got.GrayAt(29, 60).Y, got.GrayAt(60, 60).Y)
			}
		})
	}
}

func TestInvertedAndEmptySlicesAreFlagged(t *testing.T) {
	p := brain(160, 120)
	for _, c := range []struct {
		name string
		grey func(x, y int) int
		want []Flag
	}{
		{"upright", func(x, y int) int { return int(p.Pix[y*160+x]) }, nil},
		{"inverted", func(x, y int) int { return 255 - int(p.Pix[y*160+x]) }, []Flag{FlagInvertedLikely}},
		{"inverted below its own maximum", func(x, y int) int { return max(0, 190-int(p.Pix[y*160+x])) }, []Flag{FlagInvertedLikely}},
		{"on a white page", func(x, y int) int {
			if x < 9 || y < 9 || x > 150 || y > 110 {
				return 255
			}
			return int(p.Pix[y*160+x])
		}, []Flag{FlagInvertedLikely}},
		{"only tissue", func(x, y int) int { return int(p.Pix[(y/4+45)*160+x/4+20]) }, nil},
		{"black", func(int, int) int { return 0 }, []Flag{FlagNoContrast}},
		{"white", func(int, int) int { return 255 }, []Flag{FlagNoContrast}},
	} {
		for _, depth := range []int{8, 16} {
			raw := rawPNG{width: 160, height: 120, depth: depth, sample: func(x, y, _ int) int { return c.grey(x, y) << (depth - 8) }}
			if _, flags := decoded(t, raw); !cmp.Equal(c.want, flags) {
				t.Errorf("%s, %d bits: flags %q, want %q", c.name, depth, flags, c.want)
			}
		}
	}
}
