package dicom

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
)

// apart makes sure that there is one frame at each place. Frames are in order
// along the normal. Copies of one image are dropped, and told. A series with
// several volumes is refused, unless wanted, from 1, names one.
func (c *catalogue) apart(ctx context.Context, scan *volume.Scan, frames []*images.Frame, normal volume.Vector, wanted int) ([]*images.Frame, error) {
	list := steps(frames, normal)
	same := math.Max(doubleSlack, samePlace*median(list, doubleSlack))
	var doubles [][2]*images.Frame
	for i, d := range list {
		if d < same {
			doubles = append(doubles, [2]*images.Frame{frames[i], frames[i+1]})
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
func (c *catalogue) dropCopies(ctx context.Context, scan *volume.Scan, frames []*images.Frame, doubles [][2]*images.Frame) ([]*images.Frame, error) {
	digests, err := c.digests(ctx, doubles)
	if err != nil {
		return nil, err
	}
	dropped := make(map[*images.Frame]bool)
	for _, pair := range doubles {
		a, b := pair[0], pair[1]
		if a.Position.Minus(b.Position).Length() >= doubleSlack || a.Slope != b.Slope || a.Intercept != b.Intercept || digests[a] != digests[b] {
			return nil, volume.Refuse(volume.CodeAmbiguousVolume, fmt.Sprintf("there are two different images (duplicates) at the same position: %s", quoted(pair[0], pair[1])), "give the files of one volume only")
		}
		dropped[pair[1]] = true
	}
	scan.Warn("copies-dropped", "%d image(s) are there twice; the copies were left out", len(dropped))
	for _, pair := range doubles {
		c.left.Add("a copy of another image", pair[1].Object.File.Name)
	}
	return slices.DeleteFunc(frames, func(f *images.Frame) bool { return dropped[f] }), nil
}

func flat(pairs [][2]*images.Frame) []*images.Frame {
	var list []*images.Frame
	for _, pair := range pairs {
		list = append(list, pair[0], pair[1])
	}
	return list
}

// digests are of the pixels of frames: equal for equal ones.
func (c *catalogue) digests(ctx context.Context, doubles [][2]*images.Frame) (map[*images.Frame][sha256.Size]byte, error) {
	digests := make(map[*images.Frame][sha256.Size]byte)
	done := make(map[*images.Object]bool)
	hash := sha256.New()
	for _, f := range flat(doubles) {
		if done[f.Object] {
			continue
		}
		done[f.Object] = true
		err := c.decoder.Decode(ctx, f.Object.File, &f.Object.Format, func(index int, samples []int32) error {
			hash.Reset()
			binary.Write(hash, binary.LittleEndian, samples)
			digests[&f.Object.Frames[index]] = [sha256.Size]byte(hash.Sum(nil))
			return nil
		})
		if err != nil {
			return nil, inFile(err, f.Object.File.Name)
		}
	}
	return digests, nil
}

// split sorts the frames into volumes by the first of images.ContrastTags in which they
// differ so that no volume has two at one place. It returns nil if there is none.
func split(frames []*images.Frame, normal volume.Vector, same float64) (volumes [][]*images.Frame, by string) {
	for i, t := range images.ContrastTags {
		groups := make(map[string][]*images.Frame)
		for _, f := range frames {
			groups[f.Contrast[i]] = append(groups[f.Contrast[i]], f)
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
		return volumes, t.Keyword()
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
