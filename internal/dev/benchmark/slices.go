package main

import (
	"cmp"
	"fmt"
	"image"
	"image/png"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// slice is one image of the stream.
type slice struct {
	path          string
	width, height int
}

// writeSlices makes n slices of the greyscale PNG images below samples: each is
// one of them, shifted, mirrored and a little darker or brighter, so that no two
// are equal. Slices of one size follow each other, as those of a volume do.
func writeSlices(samples, folder string, n int) ([]slice, error) {
	pictures, err := readSamples(samples)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(2026, 11))
	list := make([]slice, n)
	for i := range list {
		// The pictures in order, each as often as the others.
		picture := vary(pictures[i*len(pictures)/n], random)
		list[i] = slice{
			path:  filepath.Join(folder, fmt.Sprintf("%03d.png", i)),
			width: picture.Rect.Dx(), height: picture.Rect.Dy(),
		}
		file, err := os.Create(list[i].path)
		if err != nil {
			return nil, err
		}
		err = png.Encode(file, picture)
		if closing := file.Close(); err == nil {
			err = closing
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readSamples(folder string) ([]*image.Gray, error) {
	var pictures []*image.Gray
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".png" || strings.Contains(entry.Name(), "mask") || strings.Contains(entry.Name(), "overlay") {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		picture, err := png.Decode(file)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if grey, ok := picture.(*image.Gray); ok {
			pictures = append(pictures, grey)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(pictures) == 0 {
		return nil, fmt.Errorf("there is no 8-bit greyscale PNG below %s", folder)
	}
	slices.SortStableFunc(pictures, func(a, b *image.Gray) int {
		return cmp.Or(cmp.Compare(a.Rect.Dx(), b.Rect.Dx()), cmp.Compare(a.Rect.Dy(), b.Rect.Dy()))
	})
	return pictures, nil
}

func vary(from *image.Gray, random *rand.Rand) *image.Gray {
	width, height := from.Rect.Dx(), from.Rect.Dy()
	dx, dy := random.IntN(9)-4, random.IntN(9)-4
	mirror := random.IntN(2) == 1
	brightness := 90 + random.IntN(21) // per cent
	to := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			sx, sy := x+dx, y+dy
			if mirror {
				sx = width - 1 - sx
			}
			if sx >= 0 && sx < width && sy >= 0 && sy < height {
				to.Pix[y*to.Stride+x] = uint8(min(255, int(from.Pix[sy*from.Stride+sx])*brightness/100))
			}
		}
	}
	return to
}
