package pixelsize_test

import (
	"context"
	"errors"
	"image"
	"image/png"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/brainseg/brainseg/internal/resample"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/pixelsize"
)

// byGrey is a network without weights: four grey levels are its classes.
type byGrey struct{ shown image.Rectangle }

func (n *byGrey) Segment(_ context.Context, slice *image.Gray, mask []uint8) error {
	n.shown = slice.Rect
	for i, v := range slice.Pix {
		mask[i] = v / 64
	}
	return nil
}

// discs is a picture of discs in mm, in pixels of a size.
func discs(size pixelsize.Size, wideMM, highMM float64) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, int(wideMM/size.Across), int(highMM/size.Down)))
	for y := range g.Rect.Dy() {
		for x := range g.Rect.Dx() {
			dx, dy := (float64(x)+0.5)*size.Across-wideMM/2, (float64(y)+0.5)*size.Down-highMM/2
			switch r := math.Hypot(dx, dy); {
			case r < 20:
				g.Pix[y*g.Stride+x] = 230
			case r < 40:
				g.Pix[y*g.Stride+x] = 160
			case r < 60:
				g.Pix[y*g.Stride+x] = 100
			}
		}
	}
	return g
}

func TestTheNetworkSeesPixelsOfItsOwnSizeAndTheMaskComesBackInPlace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		size  pixelsize.Size
		shown image.Point
		least float64 // share of pixels that come back as they are drawn
	}{
		{"its own", pixelsize.Size{Across: 1, Down: 1}, image.Pt(160, 128), 1},
		{"nearly its own", pixelsize.Size{Across: 1.04, Down: 0.97}, image.Pt(153, 131), 1},
		{"half", pixelsize.Size{Across: 0.5, Down: 0.5}, image.Pt(160, 128), 0.98},
		{"a third", pixelsize.Size{Across: 0.31, Down: 0.31}, image.Pt(160, 128), 0.98},
		{"twice", pixelsize.Size{Across: 2, Down: 2}, image.Pt(160, 128), 0.93},
		{"long", pixelsize.Size{Across: 1, Down: 3}, image.Pt(160, 126), 0.94},
	} {
		t.Run(tt.name, func(t *testing.T) {
			slice := discs(tt.size, 160, 128)
			mask := make([]uint8, len(slice.Pix))
			n := &byGrey{}
			if err := (pixelsize.Scaler{Network: n, MaxPixels: 1 << 20}).Segment(t.Context(), slice, mask, tt.size); err != nil {
				t.Fatal(err)
			}
			if n.shown.Size() != tt.shown {
				t.Errorf("the network was shown %v, want %v", n.shown.Size(), tt.shown)
			}
			same := 0
			for i, class := range mask {
				if class == slice.Pix[i]/64 {
					same++
				}
			}
			if share := float64(same) / float64(len(mask)); share < tt.least {
				t.Errorf("%.3f of the pixels have their class, want %.2f", share, tt.least)
			}
		})
	}
}

func TestASizeThatIsNoneAndASliceThatWouldBecomeTooLargeAreRefused(t *testing.T) {
	slice := discs(pixelsize.Of, 160, 128)
	mask := make([]uint8, len(slice.Pix))
	for _, tt := range []struct {
		name string
		size pixelsize.Size
		want error
	}{
		{"zero", pixelsize.Size{}, pixelsize.ErrSize},
		{"negative", pixelsize.Size{Across: -1, Down: 1}, pixelsize.ErrSize},
		{"not a number", pixelsize.Size{Across: math.NaN(), Down: 1}, pixelsize.ErrSize},
		{"a kilometre", pixelsize.Size{Across: 1, Down: 1e6}, pixelsize.ErrSize},
		{"a hundred times as many pixels", pixelsize.Size{Across: 10, Down: 10}, pixelsize.ErrTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := (pixelsize.Scaler{Network: &byGrey{}, MaxPixels: 1 << 20}).Segment(t.Context(), slice, mask, tt.size)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
	for _, side := range []int{1, 2, 3, 7} {
		slice := image.NewGray(image.Rect(0, 0, side, 1))
		if err := (pixelsize.Scaler{Network: &byGrey{}, MaxPixels: 1 << 20}).Segment(t.Context(), slice, make([]uint8, side), pixelsize.Size{Across: 0.05, Down: 10}); err != nil {
			t.Errorf("%d pixels in a row: %v", side, err)
		}
	}
}

// striped sees class 2 in every other column, barely, and class 1 in the rest, surely.
type striped struct{}

func (striped) Segment(_ context.Context, _ *image.Gray, mask []uint8) error {
	for i := range mask {
		mask[i] = uint8(2 - i%2)
	}
	return nil
}

func (n striped) Scores(ctx context.Context, slice *image.Gray, mask, scores []uint8) error {
	for i := range mask {
		ofOne := [2]uint8{120, 250}[i%2]
		scores[len(mask)+i], scores[2*len(mask)+i] = ofOne, 255-ofOne
	}
	return n.Segment(ctx, slice, mask)
}

func TestScoresSettleWhatAVoteCannot(t *testing.T) {
	slice := image.NewGray(image.Rect(0, 0, 40, 40))
	for classes, want := range map[int]uint8{3: 1, 0: 2} { // pixels of 2 mm lie between two columns
		mask := make([]uint8, len(slice.Pix))
		if err := (pixelsize.Scaler{Network: striped{}, Classes: classes}).Segment(t.Context(), slice, mask, pixelsize.Size{Across: 2, Down: 2}); err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(mask, func(class uint8) bool { return class != want }); i >= 0 {
			t.Errorf("with %d scores a pixel has class %d, want %d", classes, mask[i], want)
		}
	}
}

var samples = filepath.Join("..", "..", "..", "artifacts", "samples")

func readSample(t *testing.T, path string) *image.Gray {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return picture.(*image.Gray)
}

// inPixelsOf is a slice of 1 mm in pixels of another size.
func inPixelsOf(slice *image.Gray, mm float64) *image.Gray {
	pixels, grid := slice.Pix, [3]int{slice.Rect.Dx(), slice.Rect.Dy(), 1}
	for axis := range 2 {
		pixels, grid = resample.Axis(pixels, grid, axis, mm)
	}
	return &image.Gray{Pix: pixels, Stride: grid[0], Rect: image.Rect(0, 0, grid[0], grid[1])}
}

func wholeHeads(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(samples, "whole-head", "*.png"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	return list
}

func TestPixelsAreGuessedWhereAHeadWouldBeTooLargeOrTooSmallAndElsewhereNot(t *testing.T) {
	for _, path := range wholeHeads(t) {
		slice := readSample(t, path)
		if size, ok := pixelsize.Guess(slice); ok {
			t.Errorf("%s has pixels of 1 mm, and %v is guessed", filepath.Base(path), size)
		}
		for _, mm := range []float64{0.4, 0.5, 2} {
			size, ok := pixelsize.Guess(inPixelsOf(slice, mm))
			if ratio := size.Across / mm; !ok || size.Down != size.Across || ratio < 0.7 || ratio > 1.4 {
				t.Errorf("%s in pixels of %g mm: %v, %v is guessed", filepath.Base(path), mm, size, ok)
			}
		}
	}
}

func TestNothingIsGuessedOfASheetOrAPictureWithoutAHead(t *testing.T) {
	slice := readSample(t, wholeHeads(t)[0])
	wide, high := slice.Rect.Dx(), slice.Rect.Dy()
	sheet := image.NewGray(image.Rect(0, 0, 3*(wide+40), 2*(high+40)))
	for row := range 2 {
		for column := range 3 {
			for y := range high {
				copy(sheet.Pix[(row*(high+40)+20+y)*sheet.Stride+column*(wide+40)+20:], slice.Pix[y*slice.Stride:][:wide])
			}
		}
	}
	speck := image.NewGray(image.Rect(0, 0, 512, 512))
	speck.Pix[100*512+100] = 255
	for name, picture := range map[string]*image.Gray{
		"sheet": sheet, "nothing": image.NewGray(image.Rect(0, 0, 512, 512)), "one pixel": image.NewGray(image.Rect(0, 0, 1, 1)), "a speck": speck,
	} {
		if size, ok := pixelsize.Guess(picture); ok {
			t.Errorf("%s: %v is guessed", name, size)
		}
	}
}

func TestOblongPixelsAreThoughtOfWhereNoHeadIsSoLong(t *testing.T) {
	for _, path := range wholeHeads(t) {
		slice := readSample(t, path)
		if sizes := pixelsize.Oblong(slice); len(sizes) > 0 {
			t.Errorf("%s has square pixels, and %v is thought of", filepath.Base(path), sizes)
		}
		for axis, want := range []pixelsize.Size{{Across: 3, Down: 1}, {Across: 1, Down: 3}} {
			pixels, grid := resample.Axis(slice.Pix, [3]int{slice.Rect.Dx(), slice.Rect.Dy(), 1}, axis, 3)
			long := &image.Gray{Pix: pixels, Stride: grid[0], Rect: image.Rect(0, 0, grid[0], grid[1])}
			if sizes := pixelsize.Oblong(long); !slices.Contains(sizes, want) {
				t.Errorf("%s in pixels of %v mm: %v", filepath.Base(path), want, sizes)
			}
		}
	}
}

func TestNoiseIsTold(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, path := range wholeHeads(t) {
		slice := readSample(t, path)
		for _, size := range []float64{0.5, 1, 2} {
			if given := inPixelsOf(slice, size); pixelsize.Noisy(given) {
				t.Errorf("%s in pixels of %g mm is taken for noisy", filepath.Base(path), size)
			}
		}
		for i, v := range slice.Pix {
			slice.Pix[i] = uint8(min(max(float64(v)+25*random.NormFloat64(), 0), 255))
		}
		if !pixelsize.Noisy(slice) {
			t.Errorf("%s with noise of 25 is not taken for noisy", filepath.Base(path))
		}
	}
	for side := range 4 {
		if pixelsize.Noisy(image.NewGray(image.Rect(0, 0, side, 1))) {
			t.Errorf("%d pixels are taken for noisy", side)
		}
	}
}

func TestAScreensResolutionIsNotTheSizeOfAPatient(t *testing.T) {
	for _, tt := range []struct {
		across, down float64
		want         bool
	}{
		{0, 0, false}, {25.4 / 72, 25.4 / 72, false}, {25.4 / 96, 25.4 / 96, false}, {25.4 / 300, 25.4 / 300, false},
		{1, 0, false}, {1, math.Inf(1), false}, {100, 100, false},
		{0.45, 0.45, true}, {1, 1, true}, {0.94, 3, true},
	} {
		if size, ok := pixelsize.FromFile(tt.across, tt.down); ok != tt.want || ok && size != (pixelsize.Size{Across: tt.across, Down: tt.down}) {
			t.Errorf("%g x %g mm: %v, %v", tt.across, tt.down, size, ok)
		}
	}
}

func TestAHeadInFinePixelsIsSegmentedAsOneInPixelsOfAMillimetre(t *testing.T) {
	model, err := segmentation.Open(filepath.Join("..", "..", "..", "artifacts", "model"), segmentation.Options{
		Library: filepath.Join("..", "..", "..", "artifacts", "onnxruntime", "linux-amd64", "libonnxruntime.so.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	slice := readSample(t, wholeHeads(t)[0])
	want := make([]uint8, len(slice.Pix))
	if err := model.Segment(t.Context(), slice, want); err != nil {
		t.Fatal(err)
	}
	fine := inPixelsOf(slice, 0.4)
	guessed, ok := pixelsize.Guess(fine)
	if !ok {
		t.Fatal("nothing is guessed")
	}
	agreement := func(size pixelsize.Size) float64 {
		mask := make([]uint8, len(fine.Pix))
		if err := (pixelsize.Scaler{Network: model}).Segment(t.Context(), fine, mask, size); err != nil {
			t.Fatal(err)
		}
		same, tissue := 0, 0
		for i, class := range mask {
			x, y := float64(i%fine.Stride)+0.5, float64(i/fine.Stride)+0.5
			other := want[min(int(y*0.4), slice.Rect.Dy()-1)*slice.Stride+min(int(x*0.4), slice.Rect.Dx()-1)]
			if class != 0 || other != 0 {
				tissue++
				if class == other {
					same++
				}
			}
		}
		return float64(same) / float64(tissue)
	}
	stated, unscaled, guess := agreement(pixelsize.Size{Across: 0.4, Down: 0.4}), agreement(pixelsize.Of), agreement(guessed)
	t.Logf("share of tissue with the same class: stated %.3f, guessed %.3f, taken for 1 mm %.3f", stated, guess, unscaled)
	if stated < 0.88 || guess < 0.8 || unscaled > 0.7 {
		t.Errorf("stated %.3f, guessed %.3f, taken for 1 mm %.3f", stated, guess, unscaled)
	}
}
