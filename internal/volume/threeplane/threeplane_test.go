package threeplane

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"sync/atomic"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
)

// byThreshold gives a pixel the class of its grey value, as a network does that
// needs no context.
type byThreshold struct{ slices atomic.Int64 }

func (s *byThreshold) Segment(_ context.Context, slice *image.Gray, mask []uint8) error {
	s.slices.Add(1)
	for i, v := range slice.Pix {
		mask[i] = classOf(v)
	}
	return nil
}

func classOf(v uint8) uint8 {
	switch {
	case v < 32:
		return 0
	case v < 96:
		return 1
	case v < 160:
		return 2
	}
	return 3
}

// head is a scan at a spacing in mm: three nested bodies, none of them
// symmetrical, in a box of 64 x 72 x 80 mm, smooth so that a change of the voxel
// size loses little.
func head(spacing [3]float64) *volume.Volume {
	extent := [3]float64{64, 72, 80}
	var size [3]int
	var affine volume.Affine
	for axis := range 3 {
		size[axis] = int(math.Round(extent[axis] / spacing[axis]))
		affine[axis][axis] = spacing[axis]
		affine[axis][3] = spacing[axis]/2 - extent[axis]/2
	}
	v := &volume.Volume{Grid: volume.Grid{Size: size, Affine: affine}, Values: make([]float32, size[0]*size[1]*size[2])}
	i := 0
	for z := range size[2] {
		for y := range size[1] {
			for x := range size[0] {
				p := affine.Apply(volume.Vector{float64(x), float64(y), float64(z)})
				r := math.Sqrt(p[0]*p[0]/676 + (p[1]-3)*(p[1]-3)/900 + (p[2]+2)*(p[2]+2)/1024)
				if p[0] > 8 && p[1] > 4 && p[2] > 9 { // a corner of its own
					r += 0.2
				}
				v.Values[i] = float32(1000 * min(max(1.6-1.5*r, 0), 1))
				i++
			}
		}
	}
	return v
}

// reoriented returns the volume with its axes in another order and direction;
// the place of each voxel stays.
func reoriented(v *volume.Volume, order [3]int, flip [3]bool) *volume.Volume {
	strides := [3]int{1, v.Size[0], v.Size[0] * v.Size[1]}
	out := &volume.Volume{Values: make([]float32, len(v.Values))}
	var columns [3]volume.Vector
	var step [3]int
	origin, start := v.Affine.Column(3), 0
	for i, axis := range order {
		out.Size[i], step[i], columns[i] = v.Size[axis], strides[axis], v.Affine.Column(axis)
		if flip[i] {
			start += (v.Size[axis] - 1) * step[i]
			origin = origin.Plus(columns[i].Times(float64(v.Size[axis] - 1)))
			step[i], columns[i] = -step[i], columns[i].Times(-1)
		}
	}
	out.Affine = volume.FromColumns(columns[0], columns[1], columns[2], origin)
	i := 0
	for z := range out.Size[2] {
		for y := range out.Size[1] {
			for x := range out.Size[0] {
				out.Values[i] = v.Values[start+x*step[0]+y*step[1]+z*step[2]]
				i++
			}
		}
	}
	return out
}

// rotated turns the whole space about an oblique axis, by so much that the
// orientation letters stay.
func rotated(v *volume.Volume) *volume.Volume {
	const c, s = 0.9659258262890683, 0.25881904510252074 // 15 degrees
	turn := func(p volume.Vector) volume.Vector {
		p = volume.Vector{c*p[0] - s*p[1], s*p[0] + c*p[1], p[2]}
		return volume.Vector{p[0], c*p[1] - s*p[2], s*p[1] + c*p[2]}
	}
	out := *v
	out.Affine = volume.FromColumns(turn(v.Affine.Column(0)), turn(v.Affine.Column(1)), turn(v.Affine.Column(2)), turn(v.Affine.Column(3)))
	return &out
}

var orders = [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}

func TestEveryOrderAndDirectionOfTheAxesGivesTheSameLabels(t *testing.T) {
	for _, spacing := range [][3]float64{{3, 3, 3}, {2.4, 2.4, 4.8}, {6, 3.75, 1.5}} {
		for _, oblique := range []bool{false, true} {
			plain := head(spacing)
			if oblique {
				plain = rotated(plain)
			}
			want, err := Segment(t.Context(), plain, &byThreshold{}, Options{VoxelSize: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, order := range orders {
				for bits := range 8 {
					flip := [3]bool{bits&1 > 0, bits&2 > 0, bits&4 > 0}
					scan := reoriented(plain, order, flip)
					got, err := Segment(t.Context(), scan, &byThreshold{}, Options{VoxelSize: 3})
					if err != nil {
						t.Fatal(err)
					}
					if got.Labels.Grid != scan.Grid {
						t.Fatalf("spacing %v, order %v, flip %v: the labels have another grid than the scan", spacing, order, flip)
					}
					expected := reoriented(asVolume(want.Labels), order, flip)
					differ := 0
					for i, v := range got.Labels.Values {
						if float32(v) != expected.Values[i] {
							differ++
						}
					}
					if share := float64(differ) / float64(len(expected.Values)); share > 0.001 {
						t.Errorf("spacing %v, oblique %v, order %v, flip %v: %.3f %% of the labels differ", spacing, oblique, order, flip, 100*share)
					}
				}
			}
		}
	}
}

func asVolume(l volume.Labels) *volume.Volume {
	v := &volume.Volume{Grid: l.Grid, Values: make([]float32, len(l.Values))}
	for i, label := range l.Values {
		v.Values[i] = float32(label)
	}
	return v
}

// millilitres of each class.
func millilitres(l volume.Labels) (ml [4]float64) {
	for _, v := range l.Values {
		ml[v] += l.VoxelVolume() / 1000
	}
	return ml
}

func TestVolumesDoNotDependOnTheVoxelSize(t *testing.T) {
	reference := millilitres(segmented(t, head([3]float64{1, 1, 1})).Labels)
	for _, spacing := range [][3]float64{{0.5, 0.5, 0.5}, {0.7, 0.7, 0.7}, {1.3, 1.3, 1.3}, {2, 2, 2}, {1, 1.5, 1}, {0.5, 0.5, 3}} {
		got := millilitres(segmented(t, head(spacing)).Labels)
		for class := 1; class < 4; class++ {
			if change := math.Abs(got[class]/reference[class] - 1); change > 0.03 {
				t.Errorf("spacing %v: class %d has %.2f ml, and %.2f at 1 mm", spacing, class, got[class], reference[class])
			}
		}
	}
}

func segmented(t *testing.T, scan *volume.Volume) *Result {
	t.Helper()
	r, err := Segment(t.Context(), scan, &byThreshold{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheNetworkIsShownItsOwnVoxelSizeTheRightWayUp(t *testing.T) {
	scan := head([3]float64{0.5, 0.5, 0.5})
	// One bright spot high up, at the front, on the left.
	at := 40 + scan.Size[0]*(110+scan.Size[1]*120)
	for i := range scan.Values {
		scan.Values[i] = min(scan.Values[i], 400)
	}
	for _, d := range []int{0, 1, scan.Size[0], scan.Size[0] * scan.Size[1]} {
		scan.Values[at+d], scan.Values[at-d] = 1000, 1000
	}
	var seen atomic.Int64
	_, err := Segment(t.Context(), scan, segmenterFunc(func(slice *image.Gray, _ []uint8) error {
		if slice.Rect.Dx() > 72 || slice.Rect.Dy() > 80 {
			return fmt.Errorf("a slice has %v pixels", slice.Rect.Size())
		}
		brightest := 0
		for i, v := range slice.Pix {
			if v > slice.Pix[brightest] {
				brightest = i
			}
		}
		if slice.Pix[brightest] < 170 {
			return nil
		}
		seen.Add(1)
		x, y := brightest%slice.Stride, brightest/slice.Stride
		if y > slice.Rect.Dy()/2 {
			return fmt.Errorf("the spot is in row %d of %d, and belongs up", y, slice.Rect.Dy())
		}
		if slice.Rect.Dx() < 70 && x > slice.Rect.Dx()/2 { // not sagittal
			return fmt.Errorf("the spot is in column %d of %d, and belongs to the left", x, slice.Rect.Dx())
		}
		return nil
	}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Load() < 3 {
		t.Errorf("the spot was seen in %d slices", seen.Load())
	}
}

type segmenterFunc func(slice *image.Gray, mask []uint8) error

func (f segmenterFunc) Segment(_ context.Context, slice *image.Gray, mask []uint8) error {
	return f(slice, mask)
}

func TestThickSlicesAreRunOneByOneInTheirOwnPlaneOnly(t *testing.T) {
	network := &byThreshold{}
	scan := head([3]float64{1, 1, 5})
	r, err := Segment(t.Context(), scan, network, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Thick || len(r.Planes) != 1 || r.Planes[0] != volume.Axial || network.slices.Load() > int64(scan.Size[2]) {
		t.Errorf("planes %v, thick %v, %d slices of %d", r.Planes, r.Thick, network.slices.Load(), scan.Size[2])
	}
}

func TestAirIsNotRun(t *testing.T) {
	plain := head([3]float64{1, 1, 1})
	wide := &volume.Volume{Grid: plain.Grid}
	const border = 24
	for axis := range 3 {
		wide.Size[axis] += 2 * border
	}
	wide.Values = make([]float32, wide.Voxels())
	i := 0
	for z := range plain.Size[2] {
		for y := range plain.Size[1] {
			at := border + wide.Size[0]*(y+border+wide.Size[1]*(z+border))
			copy(wide.Values[at:], plain.Values[i:i+plain.Size[0]])
			i += plain.Size[0]
		}
	}
	network := &byThreshold{}
	r, err := Segment(t.Context(), wide, network, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if most := int64(wide.Size[0] + wide.Size[1] + wide.Size[2] - 4*border); network.slices.Load() > most {
		t.Errorf("%d slices were run, and %d at most have anything in them", network.slices.Load(), most)
	}
	if got, want := millilitres(r.Labels), millilitres(segmented(t, plain).Labels); math.Abs(got[3]/want[3]-1) > 0.01 || math.Abs(got[1]/want[1]-1) > 0.02 {
		t.Errorf("%v ml, and without the air %v", got, want)
	}
}

func TestAScanOfNothingButAirIsTold(t *testing.T) {
	scan := head([3]float64{2, 2, 2})
	for i := range scan.Values {
		scan.Values[i] = 7
	}
	if _, err := Segment(t.Context(), scan, &byThreshold{}, Options{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("got %v, want %v", err, ErrEmpty)
	}
}

func TestAScanThatIsTooLargeForTheNetworksVoxelsIsRefusedBeforeMemoryIsTaken(t *testing.T) {
	scan := head([3]float64{16, 18, 20})
	for axis := range 3 {
		scan.Affine[axis][axis] *= 40 // 2.5 m of four voxels each way
	}
	if _, err := Segment(t.Context(), scan, &byThreshold{}, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
}

func TestValuesWithoutANumberAndPaddingAreAir(t *testing.T) {
	scan := head([3]float64{1, 1, 1})
	want := segmented(t, scan).Labels
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	scan.Padding = &volume.Range{Low: 60000, High: 60000}
	for i, v := range scan.Values {
		if v == 0 {
			scan.Values[i] = []float32{nan, inf, -inf, 60000}[i%4]
		}
	}
	// Something stays at zero, so that the darkest value is the same.
	scan.Values[0] = 0
	got := segmented(t, scan).Labels
	for i := range want.Values {
		if got.Values[i] != want.Values[i] {
			t.Fatalf("voxel %d has class %d, and had %d", i, got.Values[i], want.Values[i])
		}
	}
}

func TestTheFirstErrorEndsTheRunAndSoDoesTheContext(t *testing.T) {
	scan := head([3]float64{1, 1, 1})
	fault := errors.New("fault")
	if _, err := Segment(t.Context(), scan, segmenterFunc(func(*image.Gray, []uint8) error { return fault }), Options{}); !errors.Is(err, fault) {
		t.Errorf("got %v, want %v", err, fault)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_, err := Segment(ctx, scan, &byThreshold{}, Options{Workers: 2, Progress: func(done, total int) {
		if calls++; calls != done || total < done {
			t.Errorf("call %d tells that %d of %d are done", calls, done, total)
		}
		if done == 10 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestWhereThePlanesDifferTheNeighboursHelpToDecide(t *testing.T) {
	size := [3]int{3, 3, 3}
	const centre = 13
	all := func(class uint8) []uint8 {
		v := make([]uint8, 27)
		for i := range v {
			v[i] = class
		}
		return v
	}
	set := func(v []uint8, class uint8) []uint8 { v[centre] = class; return v }
	for _, c := range []struct {
		name   string
		votes  [][]uint8
		want   uint8
		agreed float64
	}{
		{"all agree", [][]uint8{set(all(1), 2), set(all(1), 2), set(all(1), 2)}, 2, 1},
		{"two of three, and the neighbours with them", [][]uint8{all(2), all(2), set(all(2), 1)}, 2, 26.0 / 27},
		{"three classes", [][]uint8{set(all(3), 1), set(all(3), 2), all(3)}, 3, 26.0 / 27},
		{"a lone voxel that one plane doubts", [][]uint8{set(all(2), 1), set(all(2), 1), all(2)}, 2, 26.0 / 27},
		{"a class of the neighbours that no plane saw", [][]uint8{set(all(3), 1), set(all(3), 2), set(all(3), 2)}, 2, 26.0 / 27},
	} {
		fused, agreement := (&votes{planes: c.votes, size: size, classes: 4}).fuse()
		if fused[centre] != c.want || math.Abs(agreement-c.agreed) > 1e-9 {
			t.Errorf("%s: class %d, agreement %v; want %d, %v", c.name, fused[centre], agreement, c.want, c.agreed)
		}
	}
}
