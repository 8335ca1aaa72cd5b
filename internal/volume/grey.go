package volume

import "math"

// brightest is the share of voxels that are not above the white of a slice, as
// in the training data.
const brightest = 0.999

// Grey returns the values as bytes in their stored order: the smallest is 0, the
// 99.9th percentile 255. Voxels without a number and padding are 0.
func (v *Volume) Grey() []uint8 {
	counts := func(value float32) bool {
		return value-value == 0 && !v.Padding.Contains(value) // finite
	}
	low, high, n := float32(0), float32(0), 0
	for _, value := range v.Values {
		if counts(value) {
			if n == 0 {
				low, high = value, value
			}
			low, high = min(low, value), max(high, value)
			n++
		}
	}
	bytes := make([]uint8, len(v.Values))
	if n == 0 || low == high {
		return bytes
	}
	white := percentile(v.Values, counts, float64(low), float64(high), brightest*float64(n-1))
	scale := 255 / max(white-float64(low), 1e-6)
	for i, value := range v.Values {
		if counts(value) {
			bytes[i] = uint8(min(math.RoundToEven(float64((float64(value)-float64(low))*scale)), 255))
		}
	}
	return bytes
}

// percentile finds the value with that many smaller ones, in two passes of 32,768
// bins and one over what is left, without sorting: a sorted copy of a scan takes
// as much memory as the scan. Of values nearer than a part in 2^30 of the range it
// is the smallest.
func percentile(values []float32, counts func(float32) bool, low, high, rank float64) float64 {
	const bins = 1 << 15
	histogram := make([]int, bins)
	for range 2 {
		clear(histogram)
		below := 0
		width := (high - low) / bins
		for _, v := range values {
			if !counts(v) {
				continue
			}
			switch at := (float64(v) - low) / width; {
			case at < 0:
				below++
			case at < bins:
				histogram[int(at)]++
			case float64(v) == high:
				histogram[bins-1]++
			}
		}
		seen, bin := below, 0
		for ; bin < bins-1 && float64(seen+histogram[bin]) <= rank; bin++ {
			seen += histogram[bin]
		}
		low, high = low+float64(bin)*width, low+float64(bin+1)*width
		if high-low < 1e-9*math.Abs(high) {
			break
		}
	}
	value := high
	for _, v := range values {
		if wide := float64(v); counts(v) && wide >= low && wide < value {
			value = wide
		}
	}
	return value
}
