package dicom

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/images"
)

// ordered is the frames of a volume in the order of their slices.
type ordered struct {
	frames []*images.Frame
	size   [3]int
	affine volume.Affine
}

// Tolerances.
const (
	// placeSlack is how far a slice may be off its place, in mm and as a share of
	// the distance between slices: what rounding leaves.
	placeSlack      = 0.06
	placeSlackShare = 0.02
	// samePlace is the share of the distance between slices below which two are
	// at one place.
	samePlace = 0.05
)

// check refuses a series of which the images are no one volume, before their
// places are looked at.
func (s *series) check() error {
	if !slices.ContainsFunc(s.objects, func(o *images.Object) bool { return o.Err == nil || o.Err.Code != volume.CodeNoImage }) {
		return volume.Refuse(volume.CodeNoImage, "no file of the series has pixel data: there is no image in it", "export the images, not their headers alone")
	}
	for _, o := range s.objects {
		if o.Err != nil {
			return o.Err.In(o.File.Name)
		}
	}
	first := s.objects[0]
	for _, o := range s.objects {
		if r := o.Check(); r != nil {
			return r.In(o.File.Name)
		}
		if o.Rows != first.Rows || o.Columns != first.Columns {
			return volume.Refuse(volume.CodeMixedSeries, fmt.Sprintf("Rows and Columns (the matrix size) differ within the series: %d x %d here, %d x %d in %q", o.Columns, o.Rows, first.Columns, first.Rows, first.File.Name), "give the images of one matrix size").In(o.File.Name)
		}
		if o.FrameOfReference != first.FrameOfReference && o.FrameOfReference != "" && first.FrameOfReference != "" {
			return volume.Refuse(volume.CodeMixedSeries, "the series holds images of different frames of reference (FrameOfReferenceUID), so two scans share one series UID", "give the files of one scan").In(o.File.Name)
		}
	}
	frames := s.frames()
	for _, f := range frames {
		if f.Err != nil {
			return f.Err.In(f.Object.File.Name)
		}
	}
	for _, f := range frames {
		if f.Differs(frames[0]) {
			return volume.Refuse(volume.CodeMixedSeries, "the orientation differs within the series (a localizer, or several scans in one)", "give the images of one orientation").In(f.Object.File.Name)
		}
		for i, spacing := range f.Spacing {
			if math.Abs(spacing-frames[0].Spacing[i]) > 0.001*frames[0].Spacing[i] {
				return volume.Refuse(volume.CodeMixedSeries, "PixelSpacing (0028,0030) differs within the series", "give the images of one resolution").In(f.Object.File.Name)
			}
		}
	}
	return nil
}

// slices orders the frames along the normal of their plane and finds the grid.
func (c *catalogue) slices(ctx context.Context, scan *volume.Scan, s *series, options volume.Options) (*ordered, error) {
	frames := s.frames()
	row, column := meanDirections(scan, frames)
	normal := row.Cross(column)
	sortAlong(frames, normal)
	frames, err := c.apart(ctx, scan, frames, normal, options.Volume)
	if err != nil {
		return nil, err
	}
	if len(frames) < 2 {
		return nil, volume.Refuse(volume.CodeNotAVolume, "there is only one slice, which is no volume", "give the folder with the whole series")
	}
	n := len(frames)
	origin := frames[0].Position
	step := frames[n-1].Position.Minus(origin).Times(1 / float64(n-1))
	if err := evenly(frames, normal); err != nil {
		return nil, err
	}
	slack := math.Max(placeSlack, placeSlackShare*step.Length())
	worst := 0.0
	for i, f := range frames {
		off := f.Position.Minus(origin.Plus(step.Times(float64(i)))).Length()
		if worst = math.Max(worst, off); off > slack {
			return nil, volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("the positions (ImagePositionPatient) are not on a straight line: one is %.3g mm off", off), "export the series again").In(f.Object.File.Name)
		}
	}
	if !inStackOrder(frames) {
		scan.Warn("stack-order-ignored", "the stated order of the frames (InStackPositionNumber) is not that of their positions, which count")
	}
	if worst > 0.001 {
		scan.Warn("positions-rounded", "slices are up to %.3g mm off an even row, which was taken", worst)
	}
	along := normal.Times(step.Dot(normal))
	if drift := step.Minus(along).Length() * float64(n-1); drift <= slack {
		step = along
	} else {
		scan.Warn("shear", "slices are shifted against each other by %.3g mm in all (a gantry tilt or the like); the affine keeps the shear", drift)
	}
	spacing := frames[0].Spacing
	g := &ordered{frames: frames, size: [3]int{s.objects[0].Columns, s.objects[0].Rows, n}}
	ras := func(v volume.Vector) volume.Vector { return volume.Vector{-v[0], -v[1], v[2]} }
	g.affine = volume.FromColumns(ras(row.Times(spacing[1])), ras(column.Times(spacing[0])), ras(step), ras(origin))
	if !g.affine.Usable() {
		return nil, volume.Refuse(volume.CodeBadGeometry, "positions and orientation span no volume: the slices are shifted within their plane", "export the series again")
	}
	if extent := (volume.Grid{Size: g.size, Affine: g.affine}).Extent(); extent < volume.SmallestExtent || extent > volume.LargestExtent {
		return nil, volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("by PixelSpacing and ImagePositionPatient the image is %.3g mm long, which no head is", extent), "correct the header or export the series again")
	}
	return g, nil
}

// inStackOrder tells whether the order that enhanced images state runs with or
// against the positions.
func inStackOrder(frames []*images.Frame) bool {
	up, down := true, true
	for i := 1; i < len(frames); i++ {
		a, b := frames[i-1].InStack, frames[i].InStack
		if a > 0 && b > 0 && a != b {
			up, down = up && a < b, down && a > b
		}
	}
	return up || down
}

// meanDirections averages the directions, which may differ by rounding.
func meanDirections(scan *volume.Scan, frames []*images.Frame) (row, column volume.Vector) {
	differ := false
	for _, f := range frames {
		row, column = row.Plus(f.Row), column.Plus(f.Column)
		differ = differ || f.Row != frames[0].Row || f.Column != frames[0].Column
	}
	row = row.Times(1 / row.Length())
	column = column.Minus(row.Times(row.Dot(column)))
	column = column.Times(1 / column.Length())
	if differ {
		scan.Warn("orientation-averaged", "the orientation differs between slices by rounding; the mean was taken")
	} else {
		row, column = frames[0].Row, frames[0].Column
	}
	return row, column
}

// sortAlong orders frames by their place along the normal; those at one place by
// file and number, so that the order of a folder does not matter.
func sortAlong(frames []*images.Frame, normal volume.Vector) {
	sort.SliceStable(frames, func(i, j int) bool {
		a, b := frames[i], frames[j]
		if x, y := a.Position.Dot(normal), b.Position.Dot(normal); x != y {
			return x < y
		}
		if a.Object != b.Object {
			return a.Object.File.Name < b.Object.File.Name
		}
		return a.Index < b.Index
	})
}

// steps are the distances between neighbours along the normal.
func steps(frames []*images.Frame, normal volume.Vector) []float64 {
	var list []float64
	for i := 1; i < len(frames); i++ {
		list = append(list, frames[i].Position.Minus(frames[i-1].Position).Dot(normal))
	}
	return list
}

// median of those above least; 0 if there are none.
func median(list []float64, least float64) float64 {
	var above []float64
	for _, v := range list {
		if v > least {
			above = append(above, v)
		}
	}
	if len(above) == 0 {
		return 0
	}
	slices.Sort(above)
	return above[len(above)/2]
}

// doubleSlack is the distance in mm up to which two slices are always at one
// place.
const doubleSlack = 0.01

// evenly refuses gaps and spacing that varies.
func evenly(frames []*images.Frame, normal volume.Vector) error {
	list := steps(frames, normal)
	usual := median(list, doubleSlack)
	slack := math.Max(placeSlack, placeSlackShare*usual)
	least, most, at := list[0], list[0], 0
	for i, d := range list {
		if d > most {
			most, at = d, i
		}
		least = math.Min(least, d)
	}
	if most-least <= 2*slack {
		return nil
	}
	where := fmt.Sprintf("between %s and %s", quoted(frames[at]), quoted(frames[at+1]))
	if missing := math.Round(most/usual) - 1; missing >= 1 && math.Abs(most-(missing+1)*usual) <= slack*(missing+1) && float64(count(list, usual, slack)) >= 0.75*float64(len(list)-1) {
		return volume.Refuse(volume.CodeMissingSlices, fmt.Sprintf("there is a gap of %.4g mm %s: %d slice(s) are missing, which are %.4g mm apart elsewhere", most, where, int(missing), usual), "fetch or export the missing images")
	}
	return volume.Refuse(volume.CodeMissingSlices, fmt.Sprintf("the spacing of the slices is uneven, from %.4g to %.4g mm (a gap, or missing slices), with the largest %s", least, most, where), "give a series with even spacing, or resample it yourself")
}

func count(list []float64, usual, slack float64) int {
	n := 0
	for _, d := range list {
		if math.Abs(d-usual) <= slack {
			n++
		}
	}
	return n
}

// quoted names frames in a sentence, for hide.
func quoted(frames ...*images.Frame) string {
	var names []string
	for _, f := range frames {
		name := fmt.Sprintf("%q", f.Object.File.Name)
		if f.Object.FrameCount > 1 {
			name = fmt.Sprintf("frame %d of %s", f.Index+1, name)
		}
		names = append(names, name)
	}
	return strings.Join(names, " and ")
}
