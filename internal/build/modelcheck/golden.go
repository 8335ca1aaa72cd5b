package modelcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

const goldenSuffix = "_golden.png"

// golden runs the golden slices.
func (c *checker) golden(ctx context.Context) ([]Mask, error) {
	paths, err := pngs(c.options.Golden)
	if err != nil {
		return nil, fmt.Errorf("find the golden slices: %w", err)
	}
	var masks []Mask
	found := false
	for _, path := range paths {
		if strings.HasSuffix(path, goldenSuffix) {
			continue
		}
		mask, err := c.goldenSlice(ctx, path)
		if err != nil {
			return masks, err
		}
		masks = append(masks, mask)
		found = found || mask.Pixels[c.classes()[0].Name] < mask.Width*mask.Height
		c.options.Progress("golden slice " + mask.Slice)
	}
	if len(masks) == 0 {
		return nil, fmt.Errorf("%w: %s has no golden slices (*.png)", ErrGolden, c.options.Golden)
	}
	if !found {
		return masks, fmt.Errorf("%w: %d golden slices, all background", ErrNothing, len(masks))
	}
	return masks, nil
}

func (c *checker) goldenSlice(ctx context.Context, path string) (Mask, error) {
	relative, err := filepath.Rel(c.options.Golden, path)
	if err != nil {
		return Mask{}, err
	}
	name := filepath.ToSlash(relative)
	slice, err := readPNG(path)
	if err != nil {
		return Mask{}, fmt.Errorf("read golden slice %s: %w", name, err)
	}
	first, err := c.segment(ctx, slice)
	if err != nil {
		return Mask{}, fmt.Errorf("golden slice %s: %w", name, err)
	}
	first = bytes.Clone(first)
	again, err := c.segment(ctx, slice)
	if err != nil {
		return Mask{}, fmt.Errorf("golden slice %s: %w", name, err)
	}
	if !bytes.Equal(first, again) {
		return Mask{}, fmt.Errorf("%w: the mask of %s is another the second time", ErrGolden, name)
	}
	mask := Mask{Slice: name, Width: slice.Rect.Dx(), Height: slice.Rect.Dy(), Pixels: make(map[string]int)}
	counts := segmentation.Counts(first)
	for _, class := range c.classes() {
		mask.Pixels[class.Name] = counts[class.Value]
	}
	want, err := readPNG(strings.TrimSuffix(path, ".png") + goldenSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return mask, nil
	}
	if err != nil {
		return mask, fmt.Errorf("read the golden mask of %s: %w", name, err)
	}
	if want.Rect != slice.Rect {
		return mask, fmt.Errorf("%w: the golden mask of %s has another size", ErrGolden, name)
	}
	same := 0
	for i, v := range first {
		if v == want.Pix[i] {
			same++
		}
	}
	agreement := float64(same) / float64(len(first))
	mask.Agreement = &agreement
	if agreement < minAgreement {
		return mask, fmt.Errorf("%w: %.3f %% of the pixels of %s are as in the golden mask, and %.1f %% must be", ErrGolden, 100*agreement, name, 100*minAgreement)
	}
	return mask, nil
}

// pngs lists the PNG files below dir, by path.
func pngs(dir string) ([]string, error) {
	var paths []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".png") {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

func readPNG(path string) (*image.Gray, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	slice, _, err := imaging.Decode(content, imaging.Limits{})
	return slice, err
}
