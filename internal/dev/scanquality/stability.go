package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/brainseg/brainseg/internal/device/report"
	"github.com/brainseg/brainseg/internal/volume"
)

// changes are those that leave the volumes of a head as they are.
var changes = []struct {
	name   string
	change func(*volume.Volume) *volume.Volume
}{
	{"shifted by half a voxel", func(v *volume.Volume) *volume.Volume { return moving(v, 0, [3]float64{0.5, 0.5, 0.5}) }},
	{"turned by 10 degrees", func(v *volume.Volume) *volume.Volume { return moving(v, 10*math.Pi/180, [3]float64{}) }},
	{"with other noise", func(v *volume.Volume) *volume.Volume {
		random := rand.New(rand.NewPCG(5, 6))
		c := copyOf(v)
		for i, value := range c.Values {
			if value == 0 {
				continue // a skull that was taken away does not come back as noise
			}
			c.Values[i] = float32(math.Hypot(float64(value)+3*random.NormFloat64(), 3*random.NormFloat64()))
		}
		return c
	}},
}

// moving resamples a scan that was turned about its vertical axis and shifted by
// voxels, by cubic interpolation, on a grid with a margin: nothing is cut off.
func moving(v *volume.Volume, angle float64, shift [3]float64) *volume.Volume {
	const margin = 16
	to := &volume.Volume{Grid: v.Grid}
	for axis := range 3 {
		to.Size[axis] += 2 * margin
	}
	to.Values = make([]float32, to.Voxels())
	cos, sin := math.Cos(angle), math.Sin(angle)
	half := [2]float64{float64(v.Size[0]-1) / 2, float64(v.Size[1]-1) / 2}
	each(to.Size, func(i int, at [3]int) {
		x, y := float64(at[0]-margin)-half[0], float64(at[1]-margin)-half[1]
		to.Values[i] = cubic(v, [3]float64{cos*x - sin*y + half[0] + shift[0], sin*x + cos*y + half[1] + shift[1], float64(at[2]-margin) + shift[2]})
	})
	return to
}

// cubic is Catmull-Rom interpolation, not below 0; 0 outside.
func cubic(v *volume.Volume, p [3]float64) float32 {
	var from [3]int
	var weights [3][4]float64
	for axis, x := range p {
		if x < -1 || x > float64(v.Size[axis]) {
			return 0
		}
		floor := math.Floor(x)
		t := x - floor
		from[axis] = int(floor) - 1
		weights[axis] = [4]float64{
			((-t+2)*t - 1) * t / 2, ((3*t-5)*t*t + 2) / 2, ((-3*t+4)*t + 1) * t / 2, (t - 1) * t * t / 2,
		}
	}
	sum := 0.0
	for c, wz := range weights[2] {
		z := from[2] + c
		if wz == 0 || z < 0 || z >= v.Size[2] {
			continue
		}
		for b, wy := range weights[1] {
			y := from[1] + b
			if wy == 0 || y < 0 || y >= v.Size[1] {
				continue
			}
			row := (z*v.Size[1] + y) * v.Size[0]
			for a, wx := range weights[0] {
				if x := from[0] + a; x >= 0 && x < v.Size[0] {
					sum += wz * wy * wx * float64(v.Values[row+x])
				}
			}
		}
	}
	return float32(max(sum, 0))
}

// stability compares the volumes of changed scans with those of the scans.
func (b *bench) stability(ctx context.Context, stems []string) error {
	worst := make(map[string]float64)
	for _, stem := range stems {
		h, err := readHead(ctx, stem)
		if err != nil {
			return err
		}
		before, _, err := b.segment(ctx, "stable-"+h.name, h.scan)
		if err != nil {
			return err
		}
		for _, c := range changes {
			after, _, err := b.segment(ctx, "stable-"+h.name+"-"+c.name, c.change(h.scan))
			if err != nil {
				return err
			}
			line, largest := differences(before, after)
			worst[c.name] = max(worst[c.name], largest)
			fmt.Printf("%s\t%s\t%s\n", h.name, c.name, line)
		}
	}
	for _, c := range changes {
		fmt.Printf("%s: at most %.2f %%\n", c.name, worst[c.name])
	}
	return nil
}

// differences tells by how many per cent each tissue's volume differs.
func differences(before, after report.Report) (line string, largest float64) {
	for i, t := range before.Tissues {
		percent := 100 * (after.Tissues[i].Millilitres/t.Millilitres - 1)
		largest = max(largest, math.Abs(percent))
		line += fmt.Sprintf("%s %+.2f %%  ", t.Name, percent)
	}
	return line, largest
}
