package segmentation

import (
	"fmt"
	"image"
	"iter"
)

// Sizes of a network's input, in pixels. A run of the shipped network takes some
// 140 bytes a pixel, and its session keeps the memory of the largest run.
const (
	// commonPixels: up to here slices are run in the session that stays.
	commonPixels = 320 * 320
	// largePixels: up to here they are run in a session that goes away when it
	// is idle. What is larger is run one slice at a time, in a session that
	// goes away with it: starting one takes less than a run.
	largePixels = 512 * 512
	// tilePixels: what is larger is run in tiles of this size.
	tilePixels = 768 * 768
	// tileSide of tiles where neither side of the slice is shorter.
	tileSide = 768
	// tileHalo is what a tile sees beyond the pixels that it decides, if the
	// slice goes on there. What a network sees there hardly changes more: of a
	// sheet of 48 slices, 0.2 % of the pixels, all on borders of tissues.
	tileHalo = 160
)

// What a run takes in a session of its own, in bytes: measured, and rounded up.
const (
	bytesPerPixel   = 160
	bytesPerSession = 20 << 20 // and what is left of the run before
)

// fits asks whether there is memory for a run of a network's input of so many
// pixels in all, above commonPixels.
func (m *Model) fits(pixels int) error {
	if m.opts.Memory == nil {
		return nil
	}
	need := int64(min(pixels, tilePixels)) * bytesPerPixel
	if pixels > largePixels {
		need += bytesPerSession
	}
	if left := m.opts.Memory(); need > left {
		return fmt.Errorf("%w: %d MB, and %d are left", ErrTooMuchMemory, need>>20, left>>20)
	}
	return nil
}

// tile is a part of a slice: the network sees the outer rectangle and decides
// the inner one.
type tile struct{ outer, inner image.Rectangle }

// tiles yields the tiles of a slice. The inner rectangles cover it once; outer
// ones begin at multiples of what the network's sizes are multiples of, so that
// it puts the same pixels together as in one run.
func tiles(width, height, multiple int) iter.Seq[tile] {
	up := func(n int) int { return (n + multiple - 1) / multiple * multiple }
	wide, high := tileSide, tileSide
	switch {
	case up(height) < tileSide:
		wide = tilePixels / up(height)
	case up(width) < tileSide:
		high = tilePixels / up(width)
	}
	return func(yield func(tile) bool) {
		for _, rows := range spans(height, high, multiple) {
			for _, columns := range spans(width, wide, multiple) {
				ok := yield(tile{
					outer: image.Rect(columns.outer[0], rows.outer[0], columns.outer[1], rows.outer[1]),
					inner: image.Rect(columns.inner[0], rows.inner[0], columns.inner[1], rows.inner[1]),
				})
				if !ok {
					return
				}
			}
		}
	}
}

// span is a tile in one dimension: first pixel and the one after the last.
type span struct{ outer, inner [2]int }

// spans divides length pixels into spans whose outer part is at most long.
func spans(length, long, multiple int) (list []span) {
	if length <= long {
		return []span{{[2]int{0, length}, [2]int{0, length}}}
	}
	down := func(n int) int { return max(n/multiple, 1) * multiple }
	halo := (tileHalo + multiple - 1) / multiple * multiple
	for start := 0; start < length; {
		begin := max(start-halo, 0)
		end := start + down(begin+long-halo-start)
		if length-begin <= long {
			end = length
		}
		end = min(end, length)
		list = append(list, span{outer: [2]int{begin, min(end+halo, length)}, inner: [2]int{start, end}})
		start = end
	}
	return list
}
