package imaging

import (
	"bytes"
	"image"
)

// Flag names something about an image that may spoil its mask, or that had to be
// put right before the mask could be made. The mask of a flagged image should be
// looked at.
type Flag string

// The flags.
const (
	// FlagInvertedLikely: the border is as bright as the brightest tissue and
	// even, where a slice has air: the grey values seem to be inverted
	// (MONOCHROME1), or the slice lies on a white page. Nothing was changed.
	FlagInvertedLikely Flag = "inverted-likely"
	// FlagInverted: likewise, and a model saw a brain the other way round only,
	// which gave the mask. Decode never sets it.
	FlagInverted Flag = "inverted"
	// FlagBytesSwapped: the 16-bit values made sense only with their two bytes
	// exchanged, and were read so.
	FlagBytesSwapped Flag = "bytes-swapped"
	// FlagOutlyingValues: some 16-bit values lie far from all others: a spike, an
	// annotation, or negative numbers without their sign. They were made black
	// or white and did not count for the contrast of the rest.
	FlagOutlyingValues Flag = "outlying-values"
	// FlagAlphaIgnored: all pixels are equally transparent, most often fully, so
	// that the image would be black; it was read as if it were opaque.
	FlagAlphaIgnored Flag = "alpha-ignored"
	// FlagNoContrast: all pixels have the same grey value. The mask is empty.
	FlagNoContrast Flag = "no-contrast"
	// FlagUnfamiliar: a model takes the image for something else than it was trained
	// for. Decode never sets it.
	FlagUnfamiliar Flag = "unfamiliar"
)

func flagIf(condition bool, f Flag) []Flag {
	if condition {
		return []Flag{f}
	}
	return nil
}

// appearance returns the flags that can be seen in the slice itself.
func appearance(slice *image.Gray) []Flag {
	pix := slice.Pix
	if bytes.Equal(pix[1:], pix[:len(pix)-1]) {
		return []Flag{FlagNoContrast}
	}
	return flagIf(inverted(slice), FlagInvertedLikely)
}

// inverted is for slices of some size, whose border is not tissue.
func inverted(slice *image.Gray) bool {
	const leastSide = 32
	pix, width, height := slice.Pix, slice.Rect.Dx(), slice.Rect.Dy()
	if width < leastSide || height < leastSide {
		return false
	}
	var border [256]uint32
	for x := range width {
		border[pix[x]]++
		border[pix[(height-1)*width+x]]++
	}
	for y := 1; y < height-1; y++ {
		border[pix[y*width]]++
		border[pix[(y+1)*width-1]]++
	}
	n := count(border[:])
	median := at(border[:], 0, n/2)
	if median < 64 { // as in all upright slices: the rest is not worth its time
		return false
	}
	even := count(border[9*median/10 : min(11*median/10, 255)+1])
	var histogram [256]uint32
	for _, v := range pix {
		histogram[v]++
	}
	bright := at(histogram[:], 0, 95*(len(pix)-1)/100)
	dark := count(histogram[:median/2])
	return 10*even >= 8*n && 10*median >= 9*bright && 5000*dark >= len(pix)
}
