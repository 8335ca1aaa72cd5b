package segmentation

import (
	"encoding/json"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestPercentileWindowAgreesWithTheTrainingSideToTheLastBit(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("testdata", "window.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name               string
		Histogram          map[string]int
		Low, High          float64
		IgnoreBelowOrEqual int
		Window             [2]float32
	}
	if err := json.Unmarshal(document, &cases); err != nil || len(cases) < 50 {
		t.Fatalf("%d cases, error %v", len(cases), err)
	}
	for _, c := range cases {
		var histogram [256]int
		for value, count := range c.Histogram {
			v, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			histogram[v] = count
		}
		got := PercentileWindow(&histogram, c.Low, c.High, c.IgnoreBelowOrEqual)
		if want := (Window{c.Window[0], c.Window[1]}); got != want {
			t.Errorf("%s, %v to %v above %d: window %v, want %v", c.Name, c.Low, c.High, c.IgnoreBelowOrEqual, got, want)
		}
	}
}

func TestCountsCountsEveryValue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 3, 4, 5, 63, 1000, 65536} {
		mask := make([]uint8, n)
		var want [256]int
		for i := range mask {
			mask[i] = uint8(random.IntN(256))
			want[mask[i]]++
		}
		if Counts(mask) != want {
			t.Errorf("%d pixels are counted wrongly", n)
		}
	}
}

func TestHistogramCountsThePixelsOfASubImageOnly(t *testing.T) {
	whole := image.NewGray(image.Rect(0, 0, 9, 7))
	for i := range whole.Pix {
		whole.Pix[i] = 200
	}
	part := whole.SubImage(image.Rect(2, 3, 6, 5)).(*image.Gray)
	for y := 3; y < 5; y++ {
		for x := 2; x < 6; x++ {
			whole.Pix[whole.PixOffset(x, y)] = 5
		}
	}
	if counts := histogram(part); counts[5] != 8 || counts[200] != 0 {
		t.Errorf("%d and %d pixels, want 8 and 0", counts[5], counts[200])
	}
	if counts := histogram(whole); counts[5] != 8 || counts[200] != 55 {
		t.Errorf("%d and %d pixels, want 8 and 55", counts[5], counts[200])
	}
}
