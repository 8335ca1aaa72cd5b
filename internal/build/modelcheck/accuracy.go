package modelcheck

import (
	"context"
	"fmt"
	"image"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

// ignore is the label of pixels of which the truth is not known.
const ignore = 255

// picturePlane names the slices that come as PNG: their plane is not known.
const picturePlane = "picture"

// pair is an image and its labels.
type pair struct{ image, labels string }

// suffixes of an image and of its labels.
var suffixes = []struct{ image, labels string }{
	{"_T1w.nii.gz", "_seg.nii.gz"}, {"_T1w.nii", "_seg.nii"},
	{".nii.gz", "_mask.nii.gz"}, {".nii", "_mask.nii"}, {".png", "_mask.png"},
}

// pairs finds the labelled images below dir.
func pairs(dir string) ([]pair, error) {
	var found []pair
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		for _, s := range suffixes {
			stem, ok := strings.CutSuffix(path, s.image)
			if !ok {
				continue
			}
			if info, err := os.Stat(stem + s.labels); err == nil && info.Mode().IsRegular() {
				found = append(found, pair{path, stem + s.labels})
				break
			}
		}
		return nil
	})
	return found, err
}

// tally is the counts of one image, or of all, by plane.
type tally map[string]confusion

func (t tally) plane(name string, classes int) confusion {
	if t[name] == nil {
		t[name] = newConfusion(classes)
	}
	return t[name]
}

// accuracy runs all labelled images.
func (c *checker) accuracy(ctx context.Context) (*model.Accuracy, error) {
	found, err := pairs(c.options.Labels)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLabels, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: %s has no pairs NAME.png and NAME_mask.png, NAME_T1w.nii.gz and NAME_seg.nii.gz, or NAME.nii.gz and NAME_mask.nii.gz", ErrLabels, c.options.Labels)
	}
	a := &model.Accuracy{Images: len(found), Planes: make(map[string]model.PlaneAccuracy), WorstImage: math.Inf(1)}
	total := make(tally)
	for i, p := range found {
		c.options.Progress("labelled images", i, len(found))
		own := make(tally)
		n, err := c.labelled(ctx, p, own)
		if err != nil {
			return nil, err
		}
		a.Slices += n
		var means []float64
		for _, plane := range slices.Sorted(maps.Keys(own)) {
			counts := own[plane]
			total.plane(plane, len(c.classes())).add(counts)
			means = append(means, meanDice(counts.dice()))
		}
		if mean := meanOf(means); mean < a.WorstImage {
			a.WorstImage = mean
		}
	}
	return a, c.summarise(a, total)
}

// summarise fills in what follows from the counts.
func (c *checker) summarise(a *model.Accuracy, total tally) error {
	a.Dice = make(map[string]float64)
	perClass := make(map[string][]float64)
	var means []float64
	// In order, because sums depend on theirs in the last digit.
	for _, plane := range slices.Sorted(maps.Keys(total)) {
		counts := total[plane]
		figures := model.PlaneAccuracy{Dice: make(map[string]float64), Confusion: counts}
		dice := counts.dice()
		for _, class := range c.classes()[1:] {
			if d := dice[class.Value]; !math.IsNaN(d) {
				figures.Dice[class.Name] = round(d)
				perClass[class.Name] = append(perClass[class.Name], d)
			}
		}
		if mean := meanDice(dice); !math.IsNaN(mean) {
			figures.MeanDice = round(mean)
			means = append(means, mean)
		}
		a.Planes[plane] = figures
	}
	for name, values := range perClass {
		a.Dice[name] = round(meanOf(values))
	}
	if len(means) == 0 {
		return fmt.Errorf("%w: neither labels nor masks have a class but the background", ErrLabels)
	}
	a.MeanDice = round(meanOf(means))
	if math.IsInf(a.WorstImage, 0) {
		a.WorstImage = 0
	}
	a.WorstImage = round(a.WorstImage)
	return nil
}

// labelled runs one labelled image and returns its number of slices.
func (c *checker) labelled(ctx context.Context, p pair, counts tally) (int, error) {
	if strings.HasSuffix(p.image, ".png") {
		slice, err := readPNG(p.image)
		if err != nil {
			return 0, fmt.Errorf("%w: %s: %w", ErrLabels, p.image, err)
		}
		labels, err := readPNG(p.labels)
		if err != nil {
			return 0, fmt.Errorf("%w: %s: %w", ErrLabels, p.labels, err)
		}
		return 1, c.compare(ctx, p, slice, labels, counts.plane(picturePlane, len(c.classes())))
	}
	head, isGrey, err := readTurned(ctx, p.image)
	if err != nil {
		return 0, err
	}
	truth, _, err := readTurned(ctx, p.labels)
	if err != nil {
		return 0, err
	}
	if head.Size != truth.Size {
		return 0, fmt.Errorf("%w: %s has %v voxels, and its labels %v", ErrLabels, p.image, head.Size, truth.Size)
	}
	grey, labels := head.Grey(), make([]uint8, len(truth.Values))
	if isGrey {
		for i, v := range head.Values {
			grey[i] = uint8(v)
		}
	}
	for i, v := range truth.Values {
		if v < 0 || v > 255 || v != float32(uint8(v)) {
			return 0, fmt.Errorf("%w: %s has a label %v, and labels are whole numbers up to 255", ErrLabels, p.labels, v)
		}
		labels[i] = uint8(v)
	}
	n := 0
	for _, plane := range volume.Planes {
		for index := range head.Size[plane] {
			want := truth.Slice(labels, plane, index)
			if !hasTissue(want.Pix) {
				continue // as the training code counts
			}
			if err := c.compare(ctx, p, head.Slice(grey, plane, index), want, counts.plane(plane.String(), len(c.classes()))); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// readTurned reads a volume and turns it to R-A-S; labelled data that record no
// orientation are taken to run so already. isGrey tells that the file holds
// unsigned bytes, which are grey levels as they are.
func readTurned(ctx context.Context, path string) (turned *volume.Volume, isGrey bool, err error) {
	s, _, err := nifti.Read(ctx, path, volume.Options{Assume: "RAS"})
	if err != nil {
		return nil, false, fmt.Errorf("%w: %s: %w", ErrLabels, path, err)
	}
	return s.Turned(), s.DataType == "uint8" && s.Scaling == nil, nil
}

func hasTissue(labels []uint8) bool {
	for _, v := range labels {
		if v != 0 && v != ignore {
			return true
		}
	}
	return false
}

// compare counts the pixels of one slice.
func (c *checker) compare(ctx context.Context, p pair, slice, labels *image.Gray, counts confusion) error {
	if slice.Rect != labels.Rect {
		return fmt.Errorf("%w: %s has %d x %d pixels, and its labels %d x %d", ErrLabels, p.image,
			slice.Rect.Dx(), slice.Rect.Dy(), labels.Rect.Dx(), labels.Rect.Dy())
	}
	mask, err := c.segment(ctx, slice)
	if err != nil {
		return err
	}
	for i, v := range mask {
		label := labels.Pix[i]
		if label == ignore {
			continue
		}
		if int(label) >= len(counts) {
			return fmt.Errorf("%w: %s has label %d, and the model has %d classes", ErrLabels, p.labels, label, len(counts))
		}
		counts[label][v]++
	}
	return nil
}

// meanOf leaves NaN out; NaN where all are.
func meanOf(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			sum += v
			n++
		}
	}
	return sum / float64(n)
}

// round keeps four digits, as many as mean something.
func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }
