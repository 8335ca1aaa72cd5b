package imaging

import (
	"bytes"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	return want
}

func TestMaskIsAnEightBitGreyPNGOfItsClasses(t *testing.T) {
	every := make([]uint8, 16*16)
	for i := range every {
		every[i] = uint8(i)
	}
	cases := []struct {
		name          string
		mask          []uint8
		width, height int
	}{
		{"every value", every, 16, 16},
		{"brain", brainMask(176, 208), 176, 208},
		{"one pixel", []uint8{3}, 1, 1},
		{"a row", brainMask(301, 1), 301, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := EncodeMask(&out, c.mask, c.width, c.height); err != nil {
				t.Fatal(err)
			}
			if depth, kind := out.Bytes()[24], out.Bytes()[25]; depth != 8 || kind != 0 {
				t.Errorf("bit depth %d, colour type %d, want 8 and 0", depth, kind)
			}
			got, info, err := Decode(out.Bytes(), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			info.Flags = nil // some masks have one class only
			if diff := cmp.Diff(Info{Format: PNG, Width: c.width, Height: c.height, Bits: 8}, info); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
			if !bytes.Equal(c.mask, got.Pix) {
				t.Error("the values differ from the classes")
			}
		})
	}
}

func TestPicturesOfAMaskOfAnotherSizeAreRefused(t *testing.T) {
	slice := image.NewGray(image.Rect(0, 0, 4, 3))
	part := slice.SubImage(image.Rect(0, 0, 2, 3)).(*image.Gray)
	errs := map[string]error{
		"mask too short":     EncodeMask(io.Discard, make([]uint8, 11), 4, 3),
		"mask of no pixels":  EncodeMask(io.Discard, nil, 0, 0),
		"negative size":      EncodeMask(io.Discard, make([]uint8, 12), -4, -3),
		"overlay too long":   EncodeOverlay(io.Discard, slice, make([]uint8, 13), tissues, OverlayOptions{}),
		"overlay not packed": EncodeOverlay(io.Discard, part, make([]uint8, 6), tissues, OverlayOptions{}),
		"terminal too short": TerminalPicture(io.Discard, slice, make([]uint8, 11), tissues, 10),
	}
	for name, err := range errs {
		if !errors.Is(err, ErrMaskSize) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

type failingWriter struct{}

var errDiskFull = errors.New("disk full")

func (failingWriter) Write([]byte) (int, error) { return 0, errDiskFull }

func TestErrorsOfTheWriterComeBack(t *testing.T) {
	slice, mask := brain(8, 8), brainMask(8, 8)
	for name, err := range map[string]error{
		"mask":     EncodeMask(failingWriter{}, mask, 8, 8),
		"overlay":  EncodeOverlay(failingWriter{}, slice, mask, tissues, OverlayOptions{}),
		"terminal": TerminalPicture(failingWriter{}, slice, mask, tissues, 4),
	} {
		if !errors.Is(err, errDiskFull) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestOverlayBlendsTheClassColoursOverTheSlice(t *testing.T) {
	slice := &image.Gray{Pix: []uint8{100, 100, 100, 100, 0, 255}, Stride: 6, Rect: image.Rect(0, 0, 6, 1)}
	mask := []uint8{0, 1, 2, 9, 1, 1}
	palette := Palette{{255, 0, 0, 255}, {255, 0, 40, 255}, {9, 9, 9, 0}}
	var out bytes.Buffer
	if err := EncodeOverlay(&out, slice, mask, palette, OverlayOptions{Opacity: 0.5}); err != nil {
		t.Fatal(err)
	}
	if depth, kind := out.Bytes()[24], out.Bytes()[25]; depth != 8 || kind != 2 {
		t.Errorf("bit depth %d, colour type %d, want 8 and 2", depth, kind)
	}
	picture, err := png.Decode(&out)
	if err != nil {
		t.Fatal(err)
	}
	grey := color.RGBA{100, 100, 100, 255}
	want := []color.RGBA{
		grey,                 // background, though the palette has a colour for it
		{178, 50, 70, 255},   // drawn
		grey,                 // transparent in the palette
		grey,                 // beyond the palette
		{128, 0, 20, 255},    // over black
		{255, 128, 148, 255}, // over white
	}
	for x, c := range want {
		if got := picture.At(x, 0); got != color.Color(c) {
			t.Errorf("pixel %d is %v, want %v", x, got, c)
		}
	}
}

func TestOverlayOfABrainMatchesItsGoldenPicture(t *testing.T) {
	var out bytes.Buffer
	if err := EncodeOverlay(&out, brain(96, 112), brainMask(96, 112), tissues, OverlayOptions{}); err != nil {
		t.Fatal(err)
	}
	// Pixels, not bytes: the compressor may change between Go versions.
	got, err := png.Decode(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	want, err := png.Decode(bytes.NewReader(golden(t, "overlay.golden.png", out.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want.(*image.RGBA).Pix, got.(*image.RGBA).Pix) {
		t.Error("the overlay differs from testdata/overlay.golden.png; look at both, then run go test -update")
	}
}

func TestTerminalPictureMatchesItsGoldenText(t *testing.T) {
	var out bytes.Buffer
	if err := TerminalPicture(&out, brain(96, 111), brainMask(96, 111), tissues, 24); err != nil {
		t.Fatal(err)
	}
	want := golden(t, "terminal.golden.txt", out.Bytes())
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTerminalPictureFitsItsColumns(t *testing.T) {
	escapes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	cases := []struct{ width, height, columns, wantColumns, wantLines int }{
		{256, 256, 40, 40, 20},
		{256, 128, 40, 40, 10},
		{100, 90, 30, 30, 14}, // 27 cells high: the last line is half a line
		{10, 10, 80, 10, 5},
		{10, 10, 0, 1, 1},
		{500, 1, 20, 20, 1},
		{1, 500, 20, 1, 250},
	}
	for _, c := range cases {
		var out bytes.Buffer
		if err := TerminalPicture(&out, brain(c.width, c.height), brainMask(c.width, c.height), tissues, c.columns); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(escapes.ReplaceAllString(out.String(), ""), "\n"), "\n")
		if len(lines) != c.wantLines {
			t.Errorf("%+v: %d lines", c, len(lines))
		}
		for _, line := range lines {
			if line != strings.Repeat("▀", c.wantColumns) {
				t.Errorf("%+v: line %q", c, line)
			}
		}
	}
}
