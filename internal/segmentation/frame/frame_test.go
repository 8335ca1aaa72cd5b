package frame_test

import (
	"bytes"
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation/frame"
)

func TestTheFrameAgreesWithTheTrainingSide(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("testdata", "frame.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Width, Height, Least, Multiple int
		High                           float32
		Rectangles                     [][5]int // top, left, height, width, grey value
		Frame                          frame.Frame
	}
	if err := json.Unmarshal(document, &cases); err != nil || len(cases) < 50 {
		t.Fatalf("%d cases, error %v", len(cases), err)
	}
	for _, c := range cases {
		slice := image.NewGray(image.Rect(0, 0, c.Width, c.Height))
		for _, r := range c.Rectangles {
			at := image.Rect(r[1], r[0], r[1]+r[3], r[0]+r[2]).Intersect(slice.Rect)
			for y := at.Min.Y; y < at.Max.Y; y++ {
				copy(slice.Pix[y*slice.Stride+at.Min.X:][:at.Dx()], bytes.Repeat([]byte{uint8(r[4])}, at.Dx()))
			}
		}
		rule := model.Frame{Least: c.Least, Margin: 8, Bright: 0.1, BrightPixels: 4}
		if got := frame.Find(&rule, c.Multiple, slice, c.High); got != c.Frame {
			t.Errorf("%d x %d, %v: %+v, want %+v", c.Width, c.Height, c.Rectangles, got, c.Frame)
		}
	}
}

func BenchmarkFindAndShow(b *testing.B) {
	slice := image.NewGray(image.Rect(0, 0, 256, 256))
	for y := 50; y < 210; y++ {
		for x := 30; x < 220; x++ {
			slice.Pix[y*slice.Stride+x] = uint8(x * y)
		}
	}
	rule := model.Frame{Least: 192, Margin: 8, Bright: 0.1, BrightPixels: 4}
	for b.Loop() {
		f := frame.Find(&rule, 8, slice, 250)
		f.Show(slice)
	}
}
