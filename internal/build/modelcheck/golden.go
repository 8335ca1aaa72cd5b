package modelcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

const goldenSuffix = "_golden.png"

// golden runs the golden slices.
func (c *checker) golden(ctx context.Context) ([]model.GoldenMask, error) {
	paths, err := pngs(c.options.Golden)
	if err != nil {
		return nil, fmt.Errorf("find the golden slices: %w", err)
	}
	paths = slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, goldenSuffix) })
	var masks []model.GoldenMask
	found := false
	for i, path := range paths {
		c.options.Progress("golden slices", i, len(paths))
		mask, err := c.goldenSlice(ctx, path)
		if err != nil {
			return masks, err
		}
		masks = append(masks, mask)
		found = found || mask.Pixels[c.classes()[0].Name] < mask.Width*mask.Height
	}
	if len(masks) == 0 {
		return nil, fmt.Errorf("%w: %s has no golden slices (*.png)", ErrGolden, c.options.Golden)
	}
	if !found {
		return masks, fmt.Errorf("%w: %d golden slices, all background", ErrNothing, len(masks))
	}
	return masks, nil
}

func (c *checker) goldenSlice(ctx context.Context, path string) (model.GoldenMask, error) {
	relative, err := filepath.Rel(c.options.Golden, path)
	if err != nil {
		return model.GoldenMask{}, err
	}
	name := filepath.ToSlash(relative)
	slice, err := readPNG(path)
	if err != nil {
		return model.GoldenMask{}, fmt.Errorf("read golden slice %s: %w", name, err)
	}
	first, err := c.segment(ctx, slice)
	if err != nil {
		return model.GoldenMask{}, fmt.Errorf("golden slice %s: %w", name, err)
	}
	first = bytes.Clone(first)
	again, err := c.segment(ctx, slice)
	if err != nil {
		return model.GoldenMask{}, fmt.Errorf("golden slice %s: %w", name, err)
	}
	if !bytes.Equal(first, again) {
		return model.GoldenMask{}, fmt.Errorf("%w: the mask of %s is another the second time", ErrGolden, name)
	}
	if err := c.scoresAgree(ctx, slice, first); err != nil {
		return model.GoldenMask{}, fmt.Errorf("golden slice %s: %w", name, err)
	}
	mask := model.GoldenMask{Slice: name, Width: slice.Rect.Dx(), Height: slice.Rect.Dy(), Pixels: make(map[string]int)}
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

// maxPictureBytes is far above any slice or mask.
const maxPictureBytes = 64 << 20

func readPNG(path string) (*image.Gray, error) {
	content, err := boundedfile.Read(path, maxPictureBytes)
	if err != nil {
		return nil, err
	}
	slice, _, err := imaging.Decode(content, imaging.Limits{})
	return slice, err
}
