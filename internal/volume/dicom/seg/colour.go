package seg

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
)

// displayLab turns #rrggbb (sRGB) into CIELab as 16-bit numbers: L from 0 to 100,
// a and b from -128 to 127. White is that of sRGB, D65: the standard points to
// ICC's D50, but PixelMed, DCMTK, dcmjs (OHIF) and highdicom take D65, and with
// it they show the very colour.
func displayLab(colour string) ([3]uint16, error) {
	rgb, err := hex.DecodeString(strings.TrimPrefix(colour, "#"))
	if err != nil || len(rgb) != 3 || !strings.HasPrefix(colour, "#") {
		return [3]uint16{}, fmt.Errorf("the colour %q is not #rrggbb", colour)
	}
	lab := labOf([3]uint8(rgb))
	return [3]uint16{
		uint16(math.Round(min(max(lab[0], 0), 100) * 65535 / 100)),
		uint16(math.Round((min(max(lab[1], -128), 127) + 128) * 65535 / 255)),
		uint16(math.Round((min(max(lab[2], -128), 127) + 128) * 65535 / 255)),
	}, nil
}

// srgbToXYZ maps linear sRGB to XYZ.
var srgbToXYZ = [3][3]float64{
	{0.4124564, 0.3575761, 0.1804375},
	{0.2126729, 0.7151522, 0.0721750},
	{0.0193339, 0.1191920, 0.9503041},
}

func labOf(rgb [3]uint8) [3]float64 {
	var linear, f [3]float64
	for i, v := range rgb {
		c := float64(v) / 255
		if c <= 0.04045 {
			linear[i] = c / 12.92
		} else {
			linear[i] = math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	for i, row := range srgbToXYZ {
		// The white is what three times full gives, so that it is exactly white.
		t := float64(row[0]*linear[0]) + float64(row[1]*linear[1]) + float64(row[2]*linear[2])
		t /= row[0] + row[1] + row[2]
		if t > 216.0/24389 {
			f[i] = math.Cbrt(t)
		} else {
			f[i] = float64(t*24389/27/116) + 16.0/116
		}
	}
	return [3]float64{float64(116*f[1]) - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])}
}
