package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func writePNG(t *testing.T, path string, picture image.Image) {
	t.Helper()
	var encoded bytes.Buffer
	if err := png.Encode(&encoded, picture); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, encoded.Bytes(), 0o640); err != nil {
		t.Fatal(err)
	}
}

func gradient(width, height int) *image.Gray {
	picture := image.NewGray(image.Rect(0, 0, width, height))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(i * 7)
	}
	return picture
}

func TestSlicesVaryAndAreTheSameEveryTime(t *testing.T) {
	samples := t.TempDir()
	writePNG(t, filepath.Join(samples, "a.png"), gradient(40, 30))
	writePNG(t, filepath.Join(samples, "b.png"), gradient(20, 30))
	writePNG(t, filepath.Join(samples, "a.mask.png"), gradient(1, 1))
	writePNG(t, filepath.Join(samples, "colour.png"), image.NewNRGBA(image.Rect(0, 0, 5, 5)))
	var rounds [2]map[string]bool
	for i := range rounds {
		list, err := writeSlices(samples, t.TempDir(), 20)
		if err != nil {
			t.Fatal(err)
		}
		rounds[i] = make(map[string]bool)
		for k, s := range list {
			if want := 20 + k/10*20; s.width != want || s.height != 30 {
				t.Errorf("slice %d has %d x %d pixels, want %d x 30", k, s.width, s.height, want)
			}
			content, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			rounds[i][string(content)] = true
		}
		if len(rounds[i]) < 19 {
			t.Errorf("only %d of 20 slices are different", len(rounds[i]))
		}
	}
	for content := range rounds[0] {
		if !rounds[1][content] {
			t.Fatal("the slices of two calls differ")
		}
	}
	if _, err := writeSlices(t.TempDir(), t.TempDir(), 20); err == nil {
		t.Error("a folder without samples is accepted")
	}
}

func TestAgreementCountsEqualPixels(t *testing.T) {
	dir := t.TempDir()
	a, b := gradient(10, 10), gradient(10, 10)
	b.Pix[3]++
	writePNG(t, filepath.Join(dir, "a.png"), a)
	writePNG(t, filepath.Join(dir, "b.png"), b)
	equal, pixels, err := agreement(filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png"), slice{width: 10, height: 10})
	if equal != 99 || pixels != 100 || err != nil {
		t.Errorf("%d of %d, error %v", equal, pixels, err)
	}
	if _, _, err := agreement(filepath.Join(dir, "a.png"), filepath.Join(dir, "b.png"), slice{width: 11, height: 10}); err == nil {
		t.Error("masks of a wrong size are accepted")
	}
}

func TestPercentile(t *testing.T) {
	times := []time.Duration{5, 1, 4, 2, 3}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.95: 4, 1: 5} {
		if got := percentile(times, share); got != want {
			t.Errorf("%v: %d, want %d", share, got, want)
		}
	}
}

func TestProcessFiguresAreReadOfThisProcess(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	after := before
	for end := time.Now().Add(time.Minute); after-before < 20*time.Millisecond; {
		if after, err = cpuTime(os.Getpid()); err != nil || time.Now().After(end) {
			t.Fatalf("%v of processor time, error %v", after-before, err)
		}
	}
	if peak, err := peakMemory(os.Getpid()); err != nil || peak < 1<<20 {
		t.Errorf("%d bytes, error %v", peak, err)
	}
}
