package imaging

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"grey", "rgb"} {
		data := encodePNG(b, brain(256, 256))
		if name == "rgb" {
			data = encodePNG(b, asRGBA(brain(256, 256)))
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Decode(data, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncodeMask compares ways to write the same mask.
func BenchmarkEncodeMask(b *testing.B) {
	mask := brainMask(256, 256)
	b.Run("grey", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := EncodeMask(io.Discard, mask, 256, 256); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("identity palette", func(b *testing.B) {
		palette := make(color.Palette, 256)
		for i := range palette {
			palette[i] = color.RGBA{uint8(i), uint8(i), uint8(i), 0xff}
		}
		picture := &image.Paletted{Pix: mask, Stride: 256, Rect: image.Rect(0, 0, 256, 256), Palette: palette}
		b.ReportAllocs()
		for b.Loop() {
			if err := encoder.Encode(io.Discard, picture); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("grey, default level", func(b *testing.B) {
		picture := &image.Gray{Pix: mask, Stride: 256, Rect: image.Rect(0, 0, 256, 256)}
		for b.Loop() {
			if err := png.Encode(io.Discard, picture); err != nil {
				b.Fatal(err)
			}
		}
	})
	var out bytes.Buffer
	_ = EncodeMask(&out, mask, 256, 256)
	b.Logf("bytes: %d", out.Len())
}

func BenchmarkEncodeOverlay(b *testing.B) {
	slice, mask := brain(256, 256), brainMask(256, 256)
	b.ReportAllocs()
	for b.Loop() {
		if err := EncodeOverlay(io.Discard, slice, mask, tissues, OverlayOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
