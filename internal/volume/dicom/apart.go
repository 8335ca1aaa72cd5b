package dicom

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// apart makes sure that there is one frame at each place. Frames are in order
// along the normal. Copies of one image are dropped, and told. A series with
// several volumes is refused, unless wanted, from 1, names one.
func (c *catalogue) apart(ctx context.Context, scan *volume.Scan, frames []*frame, normal volume.Vector, wanted int) ([]*frame, error) {
	list := steps(frames, normal)
	same := math.Max(doubleSlack, samePlace*median(list, doubleSlack))
	var doubles [][2]*frame
	for i, d := range list {
		if d < same {
			doubles = append(doubles, [2]*frame{frames[i], frames[i+1]})
		}
	}
	if len(doubles) == 0 {
		if wanted > 1 {
			return nil, volume.Refuse(volume.CodeNoImage, fmt.Sprintf("the series holds one volume, and volume %d was asked for", wanted), "leave --volume out")
		}
		return frames, nil
	}
	if volumes, by := split(frames, normal, same); volumes != nil {
		if wanted < 1 || wanted > len(volumes) {
			return nil, volume.Refuse(volume.CodeAmbiguousVolume, fmt.Sprintf("the series holds %d volumes that differ by %s: there are several images (duplicates) at the same position, such as %s", len(volumes), by, quoted(doubles[0][0], doubles[0][1])), fmt.Sprintf("choose one by --volume 1 to %d (in the order of %s), or give the files of one", len(volumes), by))
		}
		scan.Warn("volume-chosen", "the series holds %d volumes that differ by %s; number %d was read, as asked", len(volumes), by, wanted)
		return volumes[wanted-1], nil
	}
	return c.dropCopies(ctx, scan, frames, doubles)
}

// dropCopies drops frames that are the same image once more.
func (c *catalogue) dropCopies(ctx context.Context, scan *volume.Scan, frames []*frame, doubles [][2]*frame) ([]*frame, error) {
	dropped := make(map[*frame]bool)
	for _, pair := range doubles {
		same := pair[0].position.Minus(pair[1].position).Length() < doubleSlack && pair[0].slope == pair[1].slope && pair[0].inter == pair[1].inter
		if same {
			var err error
			if same, err = c.samePixels(ctx, pair); err != nil {
				return nil, err
			}
		}
		if !same {
			return nil, volume.Refuse(volume.CodeAmbiguousVolume, fmt.Sprintf("there are two different images (duplicates) at the same position: %s", quoted(pair[0], pair[1])), "give the files of one volume only")
		}
		dropped[pair[1]] = true
	}
	scan.Warn("copies-dropped", "%d image(s) are there twice; the copies were left out", len(dropped))
	for _, pair := range doubles {
		c.left.add("a copy of another image", pair[1].object.file.name)
	}
	return slices.DeleteFunc(frames, func(f *frame) bool { return dropped[f] }), nil
}

// samePixels tells whether two frames have the same stored values.
func (c *catalogue) samePixels(ctx context.Context, pair [2]*frame) (bool, error) {
	var stored [2][]int32
	for i, f := range pair {
		err := c.decode(ctx, f.object, func(index int, samples []int32) error {
			if index == f.index {
				stored[i] = slices.Clone(samples)
			}
			return nil
		})
		if err != nil {
			return false, inFile(err, f.object.file.name)
		}
	}
	return slices.Equal(stored[0], stored[1]), nil
}

// split sorts the frames into volumes by the first of contrastTags in which they
// differ so that no volume has two at one place. It returns nil if there is none.
func split(frames []*frame, normal volume.Vector, same float64) (volumes [][]*frame, by string) {
	for i, t := range contrastTags {
		groups := make(map[string][]*frame)
		for _, f := range frames {
			groups[f.contrast[i]] = append(groups[f.contrast[i]], f)
		}
		if len(groups) < 2 {
			continue
		}
		clean := true
		for _, group := range groups {
			for _, d := range steps(group, normal) {
				clean = clean && d >= same
			}
		}
		if !clean {
			continue
		}
		var keys []string
		for key := range groups {
			keys = append(keys, key)
		}
		sort.Slice(keys, func(a, b int) bool { return contrastLess(keys[a], keys[b]) })
		for _, key := range keys {
			volumes = append(volumes, groups[key])
		}
		return volumes, tagNames[t].name
	}
	return nil, ""
}

// contrastLess orders numbers by size, and text after them.
func contrastLess(a, b string) bool {
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	switch {
	case errX == nil && errY == nil:
		return x < y
	case (errX == nil) != (errY == nil):
		return errX == nil
	}
	return strings.Compare(a, b) < 0
}
