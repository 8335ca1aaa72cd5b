package volume_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
)

// counted is a volume of 2 x 3 x 4 voxels that are numbered in their order.
func counted(a, b, c volume.Vector) *volume.Volume {
	v := &volume.Volume{Grid: volume.Grid{Size: [3]int{2, 3, 4}, Affine: volume.FromColumns(a, b, c, volume.Vector{7, -8, 9})}}
	for i := range 24 {
		v.Values = append(v.Values, float32(i))
	}
	return v
}

func TestAxesAreTurnedToRightAnteriorSuperior(t *testing.T) {
	for name, test := range map[string]struct {
		a, b, c volume.Vector
		size    [3]int
		letters string
		at      func(x, y, z int) int // index in the file of R, A, S
	}{
		"as they are":        {volume.Vector{1, 0, 0}, volume.Vector{0, 1, 0}, volume.Vector{0, 0, 1}, [3]int{2, 3, 4}, "RAS", func(x, y, z int) int { return x + 2*y + 6*z }},
		"left instead":       {volume.Vector{-1, 0, 0}, volume.Vector{0, 1, 0}, volume.Vector{0, 0, 1}, [3]int{2, 3, 4}, "LAS", func(x, y, z int) int { return 1 - x + 2*y + 6*z }},
		"all the other way":  {volume.Vector{-1, 0, 0}, volume.Vector{0, -2, 0}, volume.Vector{0, 0, -3}, [3]int{2, 3, 4}, "LPI", func(x, y, z int) int { return 1 - x + 2*(2-y) + 6*(3-z) }},
		"swapped":            {volume.Vector{0, 1, 0}, volume.Vector{0, 0, -1}, volume.Vector{1, 0, 0}, [3]int{4, 2, 3}, "AIR", func(x, y, z int) int { return y + 2*(2-z) + 6*x }},
		"a little oblique":   {volume.Vector{0.9, -0.3, 0}, volume.Vector{0.3, 0.9, -0.1}, volume.Vector{0, 0.1, 1}, [3]int{2, 3, 4}, "RAS", func(x, y, z int) int { return x + 2*y + 6*z }},
		"nearly 45 degrees":  {volume.Vector{0.72, 0.69, 0}, volume.Vector{-0.69, 0.72, 0}, volume.Vector{0, 0, 1}, [3]int{2, 3, 4}, "RAS", func(x, y, z int) int { return x + 2*y + 6*z }},
		"sizes do not count": {volume.Vector{0.1, 0, 0}, volume.Vector{0, 9, 5}, volume.Vector{0, -0.5, 0.9}, [3]int{2, 3, 4}, "RAS", func(x, y, z int) int { return x + 2*y + 6*z }},
	} {
		t.Run(name, func(t *testing.T) {
			v := counted(test.a, test.b, test.c)
			turned := v.Turned()
			if turned.Size != test.size || v.Orientation().Letters() != test.letters || turned.Orientation().Letters() != "RAS" {
				t.Fatalf("size %v, %s", turned.Size, v.Orientation().Letters())
			}
			for i, got := range turned.Values {
				x, y, z := i%turned.Size[0], i/turned.Size[0]%turned.Size[1], i/turned.Size[0]/turned.Size[1]
				if want := test.at(x, y, z); int(got) != want {
					t.Fatalf("voxel %d %d %d is %v, want %d", x, y, z, got, want)
				}
				place := turned.Affine.Apply(volume.Vector{float64(x), float64(y), float64(z)})
				if there, ok := v.At(place); !ok || there != got {
					t.Fatalf("at %v is %v, and %v after turning", place, there, got)
				}
			}
		})
	}
}

func TestAtFindsTheVoxelWhoseBoxHoldsThePlace(t *testing.T) {
	v := counted(volume.Vector{2, 0, 0}, volume.Vector{0, 0, 4}, volume.Vector{0, 3, 0})
	for _, test := range []struct {
		at   volume.Vector
		want float32
		ok   bool
	}{
		{volume.Vector{7, -8, 9}, 0, true},
		{volume.Vector{6.01, -9.49, 7.01}, 0, true},
		{volume.Vector{5.99, -8, 9}, 0, false},
		{volume.Vector{9.9, 1, 17}, 1 + 4 + 18, true},
		{volume.Vector{10.1, 1, 17}, 0, false},
		{volume.Vector{math.NaN(), 0, 0}, 0, false},
	} {
		if got, ok := v.At(test.at); got != test.want || ok != test.ok {
			t.Errorf("at %v: %v, %v", test.at, got, ok)
		}
	}
}

func TestTheInverseOfAnAffineLeadsBack(t *testing.T) {
	m := volume.FromColumns(volume.Vector{0.9, -0.3, 0.2}, volume.Vector{0.3, 1.9, -0.1}, volume.Vector{0, 0.1, 3}, volume.Vector{-90, 30, 7})
	inverse, ok := m.Inverse()
	if p := (volume.Vector{12, -7, 30}); !ok || inverse.Apply(m.Apply(p)).Minus(p).Length() > 1e-12 {
		t.Errorf("%v, %v", inverse, ok)
	}
	for _, singular := range []volume.Affine{
		{},
		volume.FromColumns(volume.Vector{1, 0, 0}, volume.Vector{2, 0, 0}, volume.Vector{0, 0, 1}, volume.Vector{}),
		volume.FromColumns(volume.Vector{1, 0, 0}, volume.Vector{0, math.NaN(), 0}, volume.Vector{0, 0, 1}, volume.Vector{}),
		volume.FromColumns(volume.Vector{1, 0, 0}, volume.Vector{0, 1, 0}, volume.Vector{0, 0, 1}, volume.Vector{0, math.Inf(1), 0}),
	} {
		if _, ok := singular.Inverse(); ok || singular.Usable() {
			t.Errorf("%v has an inverse", singular)
		}
	}
}

func TestSlicesHaveTheFrontOrTheTopUp(t *testing.T) {
	g := volume.Grid{Size: [3]int{2, 3, 4}}
	values := make([]uint8, 24)
	for i := range values {
		values[i] = uint8(i)
	}
	for plane, want := range map[volume.Plane][]uint8{
		volume.Axial:    {10, 11, 8, 9, 6, 7},                        // z 1: y downwards from the front
		volume.Coronal:  {20, 21, 14, 15, 8, 9, 2, 3},                // y 1: z downwards
		volume.Sagittal: {19, 21, 23, 13, 15, 17, 7, 9, 11, 1, 3, 5}, // x 1
	} {
		if got := g.Slice(values, plane, 1); !bytes.Equal(got.Pix, want) {
			t.Errorf("%v: %v, want %v", plane, got.Pix, want)
		}
	}
}

func TestGreyStretchesFromTheMinimumToThe999thPermille(t *testing.T) {
	v := &volume.Volume{Values: make([]float32, 2001, 2003)}
	for i := range v.Values {
		v.Values[i] = float32(i) - 500
	}
	v.Values[2000] = 1e6
	v.Values = append(v.Values, float32(math.NaN()), float32(math.Inf(1))) // which do not count
	grey := v.Grey()
	// The 99.9th percentile is value number 1998.
	if grey[0] != 0 || grey[999] != 128 || grey[1998] != 255 || grey[2000] != 255 || grey[2001] != 0 || grey[2002] != 0 {
		t.Errorf("%d %d %d %d %d %d", grey[0], grey[999], grey[1998], grey[2000], grey[2001], grey[2002])
	}
}

func TestAnImageWithoutSignalIsRefused(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, test := range []struct {
		values  []float32
		code    volume.Code
		warning string
	}{
		{[]float32{1, 2}, "", ""}, {[]float32{1, nan, 2, inf}, "", "not-finite"},
		{[]float32{5, 5, 5}, volume.CodeNoSignal, ""}, {[]float32{nan, inf}, volume.CodeNoSignal, ""}, {[]float32{nan, 3}, volume.CodeNoSignal, ""}, {nil, volume.CodeNoSignal, ""},
	} {
		warnings, err := (&volume.Volume{Values: test.values}).CheckSignal()
		var r *volume.Refusal
		if errors.As(err, &r) != (test.code != "") || r != nil && r.Code != test.code {
			t.Errorf("%v: %v", test.values, err)
		}
		if len(warnings) > 1 || (len(warnings) == 1) != (test.warning != "") || len(warnings) == 1 && warnings[0].Name != test.warning {
			t.Errorf("%v: %v", test.values, warnings)
		}
	}
}

func TestARefusalIsOneSentenceWithFileReasonAndCure(t *testing.T) {
	var err error = volume.Refuse(volume.CodeDamaged, "the file is cut", "copy it again").In("IM1").In("IM2")
	var r *volume.Refusal
	if !errors.As(err, &r) || err.Error() != "IM1: the file is cut; copy it again" {
		t.Errorf("%v", err)
	}
}

func TestAWarningIsOneStringInJSON(t *testing.T) {
	b, err := json.Marshal([]volume.Warning{volume.Warn("units-metre", "the unit is %s", "m")})
	if err != nil || string(b) != `["units-metre: the unit is m"]` {
		t.Errorf("%s, %v", b, err)
	}
}
