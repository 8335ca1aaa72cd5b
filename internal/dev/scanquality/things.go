package main

import (
	"math"
	"math/rand/v2"

	"github.com/brainseg/brainseg/internal/volume"
)

// things are scans of what is no brain. h is a scan to take a grid or a part from.
var things = []struct {
	name string
	make func(h *head, random *rand.Rand) *volume.Volume
}{
	{"no-brain-noise", func(_ *head, random *rand.Rand) *volume.Volume {
		return drawn(random, 160, func([3]float64) float64 { return math.Abs(120 * random.NormFloat64()) })
	}},
	{"no-brain-ball", func(_ *head, random *rand.Rand) *volume.Volume {
		radius := 60 + 30*random.Float64()
		return drawn(random, 200, func(p [3]float64) float64 { return inside(p, [3]float64{}, radius, radius, radius) * 200 })
	}},
	{"no-brain-phantom", phantom},
	{"no-brain-knee", knee},
	{"no-brain-belly", belly},
	{"no-brain-neck", neck},
	{"no-brain-shapes", shapes},
	{"no-brain-skull", empty},
}

// drawn makes a scan of side mm a side: f gives the brightness at a place in mm
// from its centre, to which some noise comes.
func drawn(random *rand.Rand, side int, f func([3]float64) float64) *volume.Volume {
	v := &volume.Volume{Grid: volume.Grid{Size: [3]int{side, side, side}, Affine: volume.Affine{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}}
	v.Values = make([]float32, v.Voxels())
	noise := 2 + 8*random.Float64()
	each(v.Size, func(i int, at [3]int) {
		var p [3]float64
		for axis := range 3 {
			p[axis] = float64(at[axis]) - float64(side)/2
		}
		v.Values[i] = float32(math.Abs(f(p) + noise*random.NormFloat64()))
	})
	return v
}

// inside is 1 in an ellipsoid, 0 outside, with an edge of about a voxel.
func inside(p, centre [3]float64, a, b, c float64) float64 {
	r := math.Sqrt(square((p[0]-centre[0])/a) + square((p[1]-centre[1])/b) + square((p[2]-centre[2])/c))
	return min(max((1-r)*min(a, b, c)+0.5, 0), 1)
}

func square(x float64) float64 { return x * x }

// phantom is a cylinder of water with rods and holes.
func phantom(_ *head, random *rand.Rand) *volume.Volume {
	pitch := 12 + 20*random.Float64()
	return drawn(random, 200, func(p [3]float64) float64 {
		r := math.Hypot(p[0], p[1])
		if r > 85 || math.Abs(p[2]) > 70 {
			return 0
		}
		x, y := math.Mod(p[0]+200, pitch)-pitch/2, math.Mod(p[1]+200, pitch)-pitch/2
		if math.Hypot(x, y) < pitch/4 {
			return 60 + 40*math.Sin(p[2]/20)
		}
		return 190
	})
}

// knee is muscle around two bones with marrow, under fat.
func knee(_ *head, random *rand.Rand) *volume.Volume {
	gap := 8 + 10*random.Float64()
	return drawn(random, 180, func(p [3]float64) float64 {
		r := math.Hypot(p[0], p[1])
		if r > 65 {
			return 0
		}
		if r > 58 {
			return 240
		}
		bone := math.Hypot(p[0], p[1]-8) - (22 + 10*math.Exp(-square(math.Abs(p[2])-gap)/400))
		switch {
		case math.Abs(p[2]) > gap/2 && bone < -2:
			return 210
		case math.Abs(p[2]) > gap/2 && bone < 1:
			return 10
		case math.Abs(p[2]) <= gap/2 && bone < 6:
			return 150
		}
		return 90 + 15*math.Sin(p[0]/4)*math.Sin(p[1]/5)
	})
}

// belly is a trunk with a liver, kidneys, a spine and bowels.
func belly(_ *head, random *rand.Rand) *volume.Volume {
	turn := random.Float64()
	return drawn(random, 260, func(p [3]float64) float64 {
		body := inside(p, [3]float64{}, 120, 85, 300)
		if body == 0 {
			return 0
		}
		if inside(p, [3]float64{}, 108, 73, 300) == 0 {
			return 230
		}
		organs := 90 + 30*math.Sin(p[0]/9+turn)*math.Sin(p[1]/8)*math.Sin(p[2]/10)
		organs += 70 * inside(p, [3]float64{45, 15, 40}, 55, 45, 60)
		for _, side := range []float64{-1, 1} {
			organs += 50 * inside(p, [3]float64{55 * side, -35, -10}, 20, 18, 45)
		}
		if math.Hypot(p[0], p[1]+45) < 16 {
			organs = 120 + 80*math.Mod(math.Floor((p[2]+260)/28), 2)
		}
		return organs
	})
}

// neck is what is below the brain of a whole head; of a brain without its skull,
// nothing but a corner.
func neck(h *head, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	lowest := v.Size[2]
	each(v.Size, func(i int, at [3]int) {
		if h.truth[i] != 0 {
			lowest = min(lowest, at[2])
		}
	})
	each(v.Size, func(i int, at [3]int) {
		if at[2] > lowest+10 || h.truth[i] != 0 {
			v.Values[i] = float32(math.Abs(3 * random.NormFloat64()))
		}
	})
	return v
}

// shapes are boxes and balls of any brightness.
func shapes(_ *head, random *rand.Rand) *volume.Volume {
	type shape struct {
		centre        [3]float64
		a, b, c, grey float64
	}
	var list []shape
	for range 12 + random.IntN(20) {
		list = append(list, shape{
			[3]float64{140*random.Float64() - 70, 140*random.Float64() - 70, 140*random.Float64() - 70},
			8 + 40*random.Float64(), 8 + 40*random.Float64(), 8 + 40*random.Float64(), 40 + 200*random.Float64(),
		})
	}
	return drawn(random, 190, func(p [3]float64) float64 {
		value := 0.0
		for _, s := range list {
			if in := inside(p, s.centre, s.a, s.b, s.c); in > 0 {
				value = s.grey * in
			}
		}
		return value
	})
}

// empty is a head whose brain was taken out.
func empty(h *head, random *rand.Rand) *volume.Volume {
	v := copyOf(h.scan)
	for i := range v.Values {
		if h.truth[i] != 0 {
			v.Values[i] = float32(20 + math.Abs(6*random.NormFloat64()))
		}
	}
	return v
}
