package segmentation

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"path/filepath"
	"slices"
	"testing"

	"github.com/brainseg/brainseg/internal/imaging"
)

// maskOf decodes and segments, as the component does.
func maskOf(t *testing.T, m *Model, p image.Image) ([]uint8, []imaging.Flag) {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, p); err != nil {
		t.Fatal(err)
	}
	slice, info, err := imaging.Decode(file.Bytes(), imaging.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	mask := make([]uint8, len(slice.Pix))
	if err := m.Segment(t.Context(), slice, mask); err != nil {
		t.Fatal(err)
	}
	return mask, info.Flags
}

// leastDice is the smallest agreement of all tissues.
func leastDice(a, b []uint8) float64 {
	least := 1.0
	for class := uint8(1); class < 4; class++ {
		var both, sum float64
		for i := range a {
			if a[i] == class {
				sum++
			}
			if b[i] == class {
				sum++
				if a[i] == class {
					both++
				}
			}
		}
		least = min(least, 2*both/sum)
	}
	return least
}

// The sample slice in forms in which other systems hand out slices.
func TestGreyValuesOfAnyRangeGiveTheSampleItsMask(t *testing.T) {
	m := openShipped(t)
	sample := readGrey(t, filepath.Join(samples, "whole-head", "axial-085.png"))
	width, height := sample.Rect.Dx(), sample.Rect.Dy()
	want, flags := maskOf(t, m, sample)
	if flags != nil {
		t.Errorf("the sample has flags %q", flags)
	}
	grey16 := func(edit func(i, v int) int) image.Image {
		p := image.NewGray16(sample.Rect)
		for i, v := range sample.Pix {
			p.SetGray16(i%width, i/width, color.Gray16{Y: uint16(edit(i, int(v)))})
		}
		return p
	}
	reach := func(most int) func(i, v int) int {
		return func(_, v int) int { return (v*most + 127) / 255 }
	}
	spikes := func(every, value int, otherwise func(i, v int) int) func(i, v int) int {
		return func(i, v int) int {
			if (i+37)%every == 0 {
				return value
			}
			return otherwise(i, v)
		}
	}
	transparent := image.NewNRGBA(sample.Rect)
	for i, v := range sample.Pix {
		transparent.SetNRGBA(i%width, i/width, color.NRGBA{v, v, v, 0})
	}
	for _, c := range []struct {
		name  string
		image image.Image
		flag  imaging.Flag
	}{
		{"16 bits, tissue to 300", grey16(reach(300)), ""},
		{"16 bits, tissue to 300 and a pixel of 65535", grey16(spikes(width*height, 65535, reach(300))), imaging.FlagOutlyingValues},
		{"16 bits, tissue to 800 and a pixel of 65535", grey16(spikes(width*height, 65535, reach(800))), imaging.FlagOutlyingValues},
		{"16 bits, tissue to 800 and a pixel of 20000", grey16(spikes(width*height, 20000, reach(800))), imaging.FlagOutlyingValues},
		{"16 bits, tissue to 4095 and a pixel in 2000 of 60000", grey16(spikes(2000, 60000, reach(4095))), imaging.FlagOutlyingValues},
		{"16 bits, around 32768", grey16(func(i, v int) int { return 32768 + reach(2000)(i, v) }), ""},
		{"bytes swapped", grey16(func(i, v int) int { w := reach(1400)(i, v); return w>>8 | w<<8&0xff00 }), imaging.FlagBytesSwapped},
		{"alpha 0 everywhere", transparent, imaging.FlagAlphaIgnored},
	} {
		t.Run(c.name, func(t *testing.T) {
			mask, flags := maskOf(t, m, c.image)
			// Not >=, so that NaN, of masks without a tissue, fails too.
			if dice := leastDice(mask, want); !(dice >= 0.97) {
				t.Errorf("Dice %.3f with the sample's mask", dice)
			}
			if c.flag == "" && flags != nil || c.flag != "" && !slices.Equal(flags, []imaging.Flag{c.flag}) {
				t.Errorf("flags %q, want %q", flags, c.flag)
			}
		})
	}
	inverted := image.NewGray(sample.Rect)
	for i, v := range sample.Pix {
		inverted.Pix[i] = 255 - v
	}
	if _, flags := maskOf(t, m, inverted); !slices.Equal(flags, []imaging.Flag{imaging.FlagInvertedLikely}) {
		t.Errorf("inverted: flags %q", flags)
	}
}
