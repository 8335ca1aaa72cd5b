package main

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/brainseg/brainseg/internal/volume"
)

// spoils are the ways in which scans are spoilt. strength is 0 to 1.
var spoils = []struct {
	name  string
	spoil func(h *head, strength float64, random *rand.Rand) *volume.Volume
}{
	{"nothing", func(h *head, _ float64, _ *rand.Rand) *volume.Volume { return copyOf(h.scan) }},
	{"wiped", wiped},
	{"noise", noisy},
	{"motion", moved},
	{"contrast", contrasted},
	{"blurred", blurred},
	{"shaded", shaded},
	{"cropped", cropped},
	{"turned", turned},
	{"resized", resized},
}

func copyOf(v *volume.Volume) *volume.Volume {
	return &volume.Volume{Grid: v.Grid, Values: slices.Clone(v.Values)}
}

// each calls f for every voxel.
func each(size [3]int, f func(i int, at [3]int)) {
	i := 0
	for z := range size[2] {
		for y := range size[1] {
			for x := range size[0] {
				f(i, [3]int{x, y, z})
				i++
			}
		}
	}
}

// wiped makes slices empty: next to each other, or here and there.
func wiped(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	axis := random.IntN(3)
	n := v.Size[axis]
	gone := make([]bool, n)
	share := 0.05 + 0.5*strength
	if random.IntN(2) == 0 {
		from := random.IntN(n)
		for i := range int(share * float64(n)) {
			gone[(from+i)%n] = true
		}
	} else {
		for i := range gone {
			gone[i] = random.Float64() < share
		}
	}
	each(v.Size, func(i int, at [3]int) {
		if gone[at[axis]] {
			v.Values[i] = 0
		}
	})
	return v
}

// noisy adds noise as a magnitude image has it.
func noisy(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	sigma := 5 + 75*strength*strength
	for i, value := range v.Values {
		v.Values[i] = float32(math.Hypot(float64(value)+sigma*random.NormFloat64(), sigma*random.NormFloat64()))
	}
	return v
}

// moved lays shifted copies over the scan, and a ghost.
func moved(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	axis := random.IntN(2)
	stride := 1
	for a := range axis {
		stride *= v.Size[a]
	}
	n := v.Size[axis]
	shift := 1 + int(9*strength)
	share := 0.2 + 0.5*strength
	ghost := 0.25 * strength
	each(v.Size, func(i int, at [3]int) {
		other := func(by int) float64 {
			to := ((at[axis]+by)%n + n) % n
			return float64(h.scan.Values[i+(to-at[axis])*stride])
		}
		v.Values[i] = float32((1-share-ghost)*float64(h.scan.Values[i]) + share*(other(shift)+other(-shift))/2 + ghost*other(n/2))
	})
	return v
}

// contrasted turns the order of greys around, partly or wholly, or bends it.
func contrasted(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	const white = 255
	turn, bend := random.IntN(2) == 0, math.Exp((random.Float64()*2-1)*1.6*strength)
	for i, value := range v.Values {
		if turn && value > 15 {
			v.Values[i] = float32((1-strength)*float64(value) + strength*(white-float64(value)))
		} else if !turn {
			v.Values[i] = float32(white * math.Pow(max(float64(value), 0)/white, bend))
		}
	}
	return v
}

// blurred averages over boxes, as of a coarse scan.
func blurred(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	for axis := range 3 {
		if random.IntN(3) > 0 {
			smooth(v, axis, 1+int(3.5*strength))
		}
	}
	return v
}

// smooth averages along an axis over a window of 2 radius + 1 voxels.
func smooth(v *volume.Volume, axis, radius int) {
	stride := 1
	for a := range axis {
		stride *= v.Size[a]
	}
	n := v.Size[axis]
	line := make([]float64, n)
	each(v.Size, func(i int, at [3]int) {
		if at[axis] != 0 {
			return
		}
		for k := range line {
			line[k] = float64(v.Values[i+k*stride])
		}
		for k := range line {
			sum, count := 0.0, 0
			for j := max(0, k-radius); j <= min(n-1, k+radius); j++ {
				sum += line[j]
				count++
			}
			v.Values[i+k*stride] = float32(sum / float64(count))
		}
	})
}

// shaded brightens one end and darkens the other.
func shaded(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	var direction [3]float64
	for axis := range 3 {
		direction[axis] = (random.Float64()*2 - 1) * 3 * strength / float64(v.Size[axis])
	}
	each(v.Size, func(i int, at [3]int) {
		slope := 0.0
		for axis := range 3 {
			slope += direction[axis] * (float64(at[axis]) - float64(v.Size[axis])/2)
		}
		v.Values[i] *= float32(math.Exp(slope))
	})
	return v
}

// cropped leaves one end away.
func cropped(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	axis, top := random.IntN(3), random.IntN(2) == 0
	keep := int(float64(v.Size[axis]) * (1 - 0.6*strength))
	each(v.Size, func(i int, at [3]int) {
		if top && at[axis] >= keep || !top && at[axis] < v.Size[axis]-keep {
			v.Values[i] = 0
		}
	})
	return v
}

// turned has a header that says the wrong orientation.
func turned(h *head, _ float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	a, b := random.IntN(3), random.IntN(3)
	for row := range 3 {
		v.Affine[row][a], v.Affine[row][b] = v.Affine[row][b], v.Affine[row][a]
	}
	if a == b { // upside down, say
		for row := range 3 {
			v.Affine[row][a] = -v.Affine[row][a]
		}
	}
	return v
}

// resized has a header that says the wrong size.
func resized(h *head, strength float64, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	factor := 1 + 0.8*strength
	if random.IntN(2) == 0 {
		factor = 1 / factor
	}
	v.Affine = v.Affine.Scaled(factor)
	return v
}
