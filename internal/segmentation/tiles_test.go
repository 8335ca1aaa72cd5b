package segmentation

import (
	"bytes"
	"context"
	"errors"
	"image"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/segmentation/tiling"
)

func TestALargeSliceGetsTheSameMaskInTiles(t *testing.T) {
	for _, name := range []string{"threshold", "scores"} {
		m := open(t, name, Options{})
		want := func(slice *image.Gray) []uint8 {
			if name == "threshold" {
				return threshold(m, slice)
			}
			mask := make([]uint8, len(slice.Pix))
			for i, v := range slice.Pix {
				mask[i] = uint8((int(v) + 39) / 80)
			}
			return mask
		}
		for _, size := range [][2]int{{320, 321}, {513, 513}, {800, 760}, {1001, 999}, {6001, 101}} {
			slice := randomSlice(rand.New(rand.NewPCG(8, 9)), size[0], size[1])
			mask := bytes.Repeat([]byte{99}, len(slice.Pix))
			if err := m.Segment(t.Context(), slice, mask); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(mask, want(slice)) {
				t.Errorf("%s: the mask of %v is wrong", name, size)
			}
		}
	}
}

// sheet is a slice as large as many: the samples side by side.
func sheet(t *testing.T, columns, rows int) *image.Gray {
	const width, height = 181, 217
	all := image.NewGray(image.Rect(0, 0, columns*width, rows*height))
	paths := sampleSlices(t)
	for i := range columns * rows {
		slice := readGrey(t, paths[i%len(paths)])
		for y := range min(height, slice.Rect.Dy()) {
			to := all.Pix[(i/columns*height+y)*all.Stride+i%columns*width:]
			copy(to[:width], slice.Pix[y*slice.Stride:][:slice.Rect.Dx()])
		}
	}
	return all
}

func TestTilesOfTheShippedModelAgreeWithOneRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	m := openShipped(t)
	m.manifest.Frame = nil  // it would move what is compared
	slice := sheet(t, 5, 4) // 905 x 868
	mask := make([]uint8, len(slice.Pix))
	if err := m.Segment(t.Context(), slice, mask); err != nil {
		t.Fatal(err)
	}
	whole := make([]uint8, len(mask))
	counts, n := histogram(slice), m.manifest.Normalisation
	window := PercentileWindow(&counts, n.Low, n.High, n.IgnoreBelowOrEqual)
	if err := m.segmentTile(t.Context(), m.session, &run{slice: slice, window: window, mask: whole}, tiling.Tile{Outer: slice.Rect, Inner: slice.Rect}); err != nil {
		t.Fatal(err)
	}
	differ := 0
	for i, v := range mask {
		if v != whole[i] {
			differ++
		}
	}
	t.Logf("%d of %d pixels differ", differ, len(mask))
	if 100*differ > len(mask) {
		t.Errorf("%d of %d pixels differ from those of one run", differ, len(mask))
	}
}

func TestTheMemoryOfLargeSlicesIsBoundedAndComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	m := openShipped(t)
	segment := func(width, height int) {
		t.Helper()
		if err := m.Segment(t.Context(), image.NewGray(image.Rect(0, 0, width, height)), make([]uint8, width*height)); err != nil {
			t.Fatal(err)
		}
	}
	segment(256, 256)
	returnMemory()
	before := residentMemory(t)
	most := before
	for _, size := range [][2]int{{1600, 1200}, {4096, 256}, {512, 512}} {
		segment(size[0], size[1])
		most = max(most, residentMemory(t))
	}
	m.medium.mu.Lock()
	waiting := m.medium.idle != nil && m.medium.session != nil
	m.medium.mu.Unlock()
	if !waiting {
		t.Error("nothing waits to take the session of medium slices down")
	}
	if err := m.medium.drop(); err != nil { // what the timer does
		t.Fatal(err)
	}
	after := residentMemory(t)
	t.Logf("resident memory %.1f MB before, at most %.1f, %.1f after", before, most, after)
	if most > before+90 || after > before+25 {
		t.Errorf("resident memory %.1f MB before, at most %.1f, %.1f after", before, most, after)
	}
	segment(512, 512)
}

func TestALargeSliceThatWaitsForAnotherStopsWithItsContext(t *testing.T) {
	m := open(t, "threshold", Options{})
	m.turn <- struct{}{} // a large slice is in work
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() {
		slice := image.NewGray(image.Rect(0, 0, 900, 900))
		stopped <- m.Segment(ctx, slice, make([]uint8, len(slice.Pix)))
	}()
	cancel()
	select {
	case err := <-stopped:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it still waits")
	}
	<-m.turn
}

func TestASliceForWhichThereIsNoMemoryIsRefusedBeforeItIsRun(t *testing.T) {
	var left int64
	m := open(t, "threshold", Options{Memory: func() int64 { return left }})
	for _, tt := range []struct {
		side int
		left int64
		want error
	}{
		{320, 0, nil},
		{337, 10 << 20, ErrTooMuchMemory}, {337, 20 << 20, nil},
		{529, 60 << 20, ErrTooMuchMemory}, {529, 70 << 20, nil},
		{2000, 100 << 20, ErrTooMuchMemory}, {2000, 120 << 20, nil},
	} {
		left = tt.left
		err := m.Segment(t.Context(), image.NewGray(image.Rect(0, 0, tt.side, tt.side)), make([]uint8, tt.side*tt.side))
		if !errors.Is(err, tt.want) {
			t.Errorf("side %d, %d bytes left: error %v, want %v", tt.side, tt.left, err, tt.want)
		}
	}
}
