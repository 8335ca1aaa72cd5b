package imaging

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pattern is a sample that differs from its neighbours and fills its depth.
func pattern(depth int) func(x, y, c int) int {
	return func(x, y, c int) int { return (x*7919 + y*104729 + c*31337 + x*y*13) % (1 << depth) }
}

// referenceGrey applies the documented rules in floating point to straight
// samples between 0 and top.
func referenceGrey(r, g, b, a, top int) int {
	return int(math.RoundToEven(float64((30*r+59*g+11*b)*a) / float64(100*top)))
}

func TestDecodeReadsEveryKindOfPNG(t *testing.T) {
	palette, transparency := make([]byte, 3*256), make([]byte, 256)
	for i := range 256 {
		palette[3*i], palette[3*i+1], palette[3*i+2] = byte(i*37), byte(255-i), byte(i*i)
		transparency[i] = byte(i * 91)
	}
	kinds := []struct {
		name       string
		colourType int
		depths     []int
		trns       bool
	}{
		{"grey", 0, []int{1, 2, 4, 8, 16}, false},
		{"RGB", 2, []int{8, 16}, false},
		{"palette", 3, []int{1, 2, 4, 8}, false},
		{"palette with transparency", 3, []int{1, 2, 4, 8}, true},
		{"grey and alpha", 4, []int{8, 16}, false},
		{"RGBA", 6, []int{8, 16}, false},
	}
	for _, kind := range kinds {
		for _, depth := range kind.depths {
			for _, interlaced := range []bool{false, true} {
				name := fmt.Sprintf("%s/%d bit/interlaced %t", kind.name, depth, interlaced)
				t.Run(name, func(t *testing.T) {
					raw := rawPNG{width: 21, height: 13, colourType: kind.colourType, depth: depth, interlaced: interlaced, sample: pattern(depth)}
					if kind.colourType == 3 {
						raw.chunks = append(raw.chunks, [2]string{"PLTE", string(palette[:3<<depth])})
					}
					if kind.trns {
						raw.chunks = append(raw.chunks, [2]string{"tRNS", string(transparency[:1<<depth])})
					}
					greys, largest := make([]int, 0, 21*13), 0
					top := 1<<depth - 1
					for y := range raw.height {
						for x := range raw.width {
							s := func(c int) int { return raw.sample(x, y, c) }
							var v int
							switch kind.colourType {
							case 0:
								v = s(0)
								if depth < 8 {
									v = v * 255 / top
								}
							case 2:
								v = referenceGrey(s(0), s(1), s(2), 1, 1)
							case 3:
								i, alpha := s(0), 255
								if kind.trns {
									alpha = int(transparency[i])
								}
								v = referenceGrey(int(palette[3*i]), int(palette[3*i+1]), int(palette[3*i+2]), alpha, 255)
							case 4:
								v = referenceGrey(s(0), s(0), s(0), s(1), top)
							case 6:
								v = referenceGrey(s(0), s(1), s(2), s(3), top)
							}
							greys = append(greys, v)
							largest = max(largest, v)
						}
					}
					want := make([]uint8, len(greys))
					for i, v := range greys {
						want[i] = uint8(v)
						if depth == 16 {
							want[i] = uint8(math.RoundToEven(float64(v*255) / float64(largest)))
						}
					}
					got, info, err := Decode(raw.bytes(), Limits{})
					if err != nil {
						t.Fatal(err)
					}
					wantInfo := Info{Format: PNG, Width: 21, Height: 13, Bits: max(8, depth), Colour: kind.colourType&2 != 0}
					if diff := cmp.Diff(wantInfo, info); diff != "" {
						t.Errorf("info (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(want, got.Pix); diff != "" {
						t.Errorf("grey values (-want +got):\n%s", diff)
					}
					if got.Stride != 21 || got.Rect != image.Rect(0, 0, 21, 13) {
						t.Errorf("the slice is not packed: stride %d, %v", got.Stride, got.Rect)
					}
				})
			}
		}
	}
}

func TestEqualRedGreenAndBlueGiveTheirOwnValue(t *testing.T) {
	for v := range 256 {
		u := uint8(v)
		if got := opaqueGrey8(u, u, u); got != u {
			t.Errorf("opaqueGrey8(%d, %d, %d) = %d", v, v, v, got)
		}
		if got := grey8(u, u, u, 255); got != u {
			t.Errorf("grey8(%d, %d, %d, 255) = %d", v, v, v, got)
		}
	}
	for v := range 1 << 16 {
		u := uint16(v)
		if got := grey16(u, u, u, 0xffff); got != u {
			t.Errorf("grey16(%d, %d, %d, 65535) = %d", v, v, v, got)
		}
	}
}

func TestTwelveBitDataInASixteenBitFileKeepsItsContrast(t *testing.T) {
	values := []int{0, 8, 9, 2047, 2048, 4095}
	raw := rawPNG{width: len(values), height: 1, depth: 16, sample: func(x, _, _ int) int { return values[x] }}
	got, _, err := Decode(raw.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint8{0, 0, 1, 127, 128, 255}, got.Pix); diff != "" {
		t.Errorf("grey values (-want +got):\n%s", diff)
	}
}

func TestASixteenBitImageOfZerosStaysBlack(t *testing.T) {
	raw := rawPNG{width: 3, height: 2, depth: 16, sample: func(_, _, _ int) int { return 0 }}
	got, _, err := Decode(raw.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(make([]uint8, 6), got.Pix); diff != "" {
		t.Errorf("grey values (-want +got):\n%s", diff)
	}
}

func TestAnAnimatedPNGGivesItsFirstImage(t *testing.T) {
	raw := rawPNG{width: 9, height: 9, depth: 8, sample: pattern(8),
		chunks: [][2]string{{"acTL", "\x00\x00\x00\x02\x00\x00\x00\x00"}},
		after:  [][2]string{{"fdAT", "\x00\x00\x00\x01 second image"}}}
	got, _, err := Decode(raw.bytes(), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.Pix {
		if int(v) != raw.sample(i%9, i/9, 0) {
			t.Fatalf("pixel %d is %d", i, v)
		}
	}
}

func TestDecodeReadsGreyJPEGOfAnySize(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {7, 9}, {8, 8}, {17, 33}, {256, 256}} {
		slice := brain(size.X, size.Y)
		for i := range slice.Pix { // smooth: what is tested is the place of each pixel
			slice.Pix[i] = uint8((i%size.X)*100/size.X + (i/size.X)*100/size.Y)
		}
		var data bytes.Buffer
		if err := jpeg.Encode(&data, slice, &jpeg.Options{Quality: 100}); err != nil {
			t.Fatal(err)
		}
		got, info, err := Decode(data.Bytes(), Limits{})
		if err != nil {
			t.Fatalf("%v: %v", size, err)
		}
		info.Flags = nil // a single pixel has no contrast
		if diff := cmp.Diff(Info{Format: JPEG, Width: size.X, Height: size.Y, Bits: 8}, info); diff != "" {
			t.Errorf("%v: info (-want +got):\n%s", size, diff)
		}
		if len(got.Pix) != size.X*size.Y || got.Stride != size.X {
			t.Fatalf("%v: the slice is not packed: %d bytes, stride %d", size, len(got.Pix), got.Stride)
		}
		for i, v := range got.Pix {
			if d := int(v) - int(slice.Pix[i]); d < -3 || d > 3 {
				t.Fatalf("%v: pixel %d is %d, want about %d", size, i, v, slice.Pix[i])
			}
		}
	}
}

func TestDecodeUsesTheColourWeightsForJPEG(t *testing.T) {
	for _, c := range []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {200, 100, 50, 255}, {90, 90, 90, 255}} {
		picture := image.NewRGBA(image.Rect(0, 0, 33, 17))
		for i := range picture.Pix {
			picture.Pix[i] = [4]uint8{c.R, c.G, c.B, c.A}[i%4]
		}
		var data bytes.Buffer
		if err := jpeg.Encode(&data, picture, &jpeg.Options{Quality: 100}); err != nil {
			t.Fatal(err)
		}
		got, _, err := Decode(data.Bytes(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		want := referenceGrey(int(c.R), int(c.G), int(c.B), 1, 1)
		if d := int(got.GrayAt(20, 9).Y) - want; d < -2 || d > 2 {
			t.Errorf("%v: grey %d, want about %d", c, got.GrayAt(20, 9).Y, want)
		}
	}
}
