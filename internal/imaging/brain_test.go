package imaging

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"
)

var tissues = Palette{{}, {0x3b, 0x82, 0xf6, 0xff}, {0xf5, 0x9e, 0x0b, 0xff}, {0xf8, 0xfa, 0xfc, 0xff}}

// anatomy draws rings like those of a brain slice: the class of each pixel.
func anatomy(x, y, width, height int) uint8 {
	dx, dy := float64(2*x-width)/float64(width), float64(2*y-height)/float64(height)
	r, angle := math.Hypot(dx, 1.15*dy), math.Atan2(dy, dx)
	// The conversions forbid fused operations, which would move edges between machines.
	r += float64(0.03*math.Sin(13*angle)) + float64(0.02*math.Sin(float64(29*angle)+1))
	switch {
	case r < 0.14:
		return 1
	case r < 0.45:
		return 3
	case r < 0.62:
		return 2
	case r < 0.68:
		return 1
	}
	return 0
}

func brainMask(width, height int) []uint8 {
	mask := make([]uint8, width*height)
	for i := range mask {
		mask[i] = anatomy(i%width, i/width, width, height)
	}
	return mask
}

// brain draws a slice with the noise and contrasts of a T1 image.
func brain(width, height int) *image.Gray {
	noise := rand.New(rand.NewPCG(1, 2))
	p := image.NewGray(image.Rect(0, 0, width, height))
	for i := range p.Pix {
		level := []float64{3, 60, 120, 175}[anatomy(i%width, i/width, width, height)]
		p.Pix[i] = uint8(max(0, min(255, level+float64(6*noise.NormFloat64()))))
	}
	return p
}

func asRGBA(p *image.Gray) *image.RGBA {
	out := image.NewRGBA(p.Rect)
	for i, v := range p.Pix {
		out.SetRGBA(i%p.Stride, i/p.Stride, color.RGBA{v, v, v, 0xff})
	}
	return out
}

func encodePNG(t testing.TB, p image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, p); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
