// Package tiling parts a large slice into tiles that overlap, so that the memory of a
// network's run does not grow with the slice. It runs nothing; package segmentation
// calls it.
package tiling

import (
	"image"
	"iter"
)

const (
	// Pixels of a tile.
	Pixels = side * side
	// side of tiles where neither side of the slice is shorter.
	side = 768
	// Halo is what a tile sees beyond the pixels that it decides, if the slice goes on
	// there. What a network sees there hardly changes more: of a sheet of 20 slices,
	// 0.7 % of the pixels, all on borders of tissues.
	Halo = 192
)

// Tile is a part of a slice: the network sees the outer rectangle and decides the
// inner one.
type Tile struct{ Outer, Inner image.Rectangle }

// Of yields the tiles of a slice. The inner rectangles cover it once; outer
// ones begin at multiples of what the network's sizes are multiples of, so that
// it puts the same pixels together as in one run.
func Of(width, height, multiple int) iter.Seq[Tile] {
	up := func(n int) int { return (n + multiple - 1) / multiple * multiple }
	wide, high := side, side
	switch {
	case up(height) < side:
		wide = Pixels / up(height)
	case up(width) < side:
		high = Pixels / up(width)
	}
	return func(yield func(Tile) bool) {
		for _, rows := range spans(height, high, multiple) {
			for _, columns := range spans(width, wide, multiple) {
				ok := yield(Tile{
					Outer: image.Rect(columns.outer[0], rows.outer[0], columns.outer[1], rows.outer[1]),
					Inner: image.Rect(columns.inner[0], rows.inner[0], columns.inner[1], rows.inner[1]),
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
	halo := (Halo + multiple - 1) / multiple * multiple
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
