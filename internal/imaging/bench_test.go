package imaging

import (
	"image"
	"image/png"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// BenchmarkDecode measures drawn slices of 256 x 256 and the sample slices.
func BenchmarkDecode(b *testing.B) {
	pictures := map[string][]byte{
		"grey": encodePNG(b, brain(256, 256)),
		"rgb":  encodePNG(b, asRGBA(brain(256, 256))),
	}
	samples, err := filepath.Glob("../../artifacts/samples/*/*.png")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range samples {
		if pictures[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(pictures)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Decode(pictures[name], Limits{}); err != nil {
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
	b.Run("package image/png, best speed", func(b *testing.B) {
		picture := &image.Gray{Pix: mask, Stride: 256, Rect: image.Rect(0, 0, 256, 256)}
		b.ReportAllocs()
		for b.Loop() {
			if err := overlayEncoder.Encode(io.Discard, picture); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("package image/png, default level", func(b *testing.B) {
		picture := &image.Gray{Pix: mask, Stride: 256, Rect: image.Rect(0, 0, 256, 256)}
		for b.Loop() {
			if err := png.Encode(io.Discard, picture); err != nil {
				b.Fatal(err)
			}
		}
	})
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
