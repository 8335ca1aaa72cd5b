package dicom

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/brainseg/brainseg/internal/volume"
)

// ordered is the frames of a volume in the order of their slices.
type ordered struct {
	frames []*frame
	size   [3]int
	affine volume.Affine
}

// Tolerances.
const (
	// directionSlack is how far directions of one series may differ: 0.1 degrees.
	directionSlack = 0.002
	// placeSlack is how far a slice may be off its place, in mm and as a share of
	// the distance between slices: what rounding leaves.
	placeSlack      = 0.06
	placeSlackShare = 0.02
	// samePlace is the share of the distance between slices below which two are
	// at one place.
	samePlace = 0.05
)

// differs tells whether two frames have another orientation.
func (f *frame) differs(g *frame) bool {
	return f.row.Minus(g.row).Length() > directionSlack || f.column.Minus(g.column).Length() > directionSlack
}

// check refuses a series of which the images are no one volume, before their
// places are looked at.
func (s *series) check() error {
	for _, o := range s.objects {
		if o.err != nil {
			return o.err.In(o.file.name)
		}
	}
	if !slices.ContainsFunc(s.objects, func(o *object) bool { return o.hasPixels && o.pixelLength != 0 }) {
		return volume.Refuse(volume.CodeNoImage, "no file of the series has pixel data: there is no image in it", "export the images, not their headers alone")
	}
	first := s.objects[0]
	for _, o := range s.objects {
		if r := o.check(); r != nil {
			return r.In(o.file.name)
		}
		if o.rows != first.rows || o.columns != first.columns {
			return volume.Refuse(volume.CodeMixedSeries, fmt.Sprintf("Rows and Columns (the matrix size) differ within the series: %d x %d here, %d x %d in %q", o.columns, o.rows, first.columns, first.rows, first.file.name), "give the images of one matrix size").In(o.file.name)
		}
		if o.frameOfReference != first.frameOfReference && o.frameOfReference != "" && first.frameOfReference != "" {
			return volume.Refuse(volume.CodeMixedSeries, "the series holds images of different frames of reference (FrameOfReferenceUID), so two scans share one series UID", "give the files of one scan").In(o.file.name)
		}
	}
	frames := s.frames()
	for _, f := range frames {
		if f.err != nil {
			return f.err.In(f.object.file.name)
		}
	}
	for _, f := range frames {
		if f.differs(frames[0]) {
			return volume.Refuse(volume.CodeMixedSeries, "the orientation differs within the series (a localizer, or several scans in one)", "give the images of one orientation").In(f.object.file.name)
		}
		for i, spacing := range f.spacing {
			if math.Abs(spacing-frames[0].spacing[i]) > 0.001*frames[0].spacing[i] {
				return volume.Refuse(volume.CodeMixedSeries, "PixelSpacing (0028,0030) differs within the series", "give the images of one resolution").In(f.object.file.name)
			}
		}
	}
	return nil
}

// check refuses an image whose pixels are of a kind that is not read.
func (o *object) check() *volume.Refusal {
	cure := "give the original grey images"
	switch {
	case o.mosaic:
		return volume.Refuse(volume.CodeMosaic, "the image is a mosaic: many slices in one picture, whose places are told only by the maker's private header", "export the series as one image for each slice, or as enhanced MR")
	case o.samples != 1 || o.photometric != "" && !strings.HasPrefix(o.photometric, "MONOCHROME"):
		return volume.Refuse(volume.CodeColour, fmt.Sprintf("the image is in colour (PhotometricInterpretation %s)", knownPhotometric(o.photometric)), cure)
	case !o.hasPixels || o.pixelLength == 0:
		return volume.Refuse(volume.CodeNoImage, "it has no pixel data", "export the series again")
	case o.rows < 1 || o.columns < 1:
		return volume.Refuse(volume.CodeBadHeader, "Rows (0028,0010) or Columns (0028,0011) is missing or 0", "export the series again")
	case o.modalityLUT:
		return volume.Refuse(volume.CodeBadHeader, "its values follow from a table (ModalityLUTSequence), which is not read", "export the series with RescaleSlope")
	case o.bitsAllocated != 8 && o.bitsAllocated != 16 && o.bitsAllocated != 32:
		return volume.Refuse(volume.CodeUnsupportedDataType, fmt.Sprintf("BitsAllocated (0028,0100) is %d, and 8, 16 and 32 are read", o.bitsAllocated), cure)
	case o.bitsStored < 1 || o.bitsStored > o.bitsAllocated || o.highBit < o.bitsStored-1 || o.highBit >= o.bitsAllocated:
		return volume.Refuse(volume.CodeBadHeader, fmt.Sprintf("BitsStored %d and HighBit %d do not fit BitsAllocated %d", o.bitsStored, o.highBit, o.bitsAllocated), "correct the header or export the series again")
	}
	return nil
}

func knownPhotometric(p string) string {
	for _, known := range []string{"RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "HSV", "ARGB", "CMYK", "MONOCHROME1", "MONOCHROME2"} {
		if p == known {
			return p
		}
	}
	return "of another kind"
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
	origin := frames[0].position
	step := frames[n-1].position.Minus(origin).Times(1 / float64(n-1))
	if err := evenly(frames, normal); err != nil {
		return nil, err
	}
	slack := math.Max(placeSlack, placeSlackShare*step.Length())
	worst := 0.0
	for i, f := range frames {
		off := f.position.Minus(origin.Plus(step.Times(float64(i)))).Length()
		if worst = math.Max(worst, off); off > slack {
			return nil, volume.Refuse(volume.CodeBadGeometry, fmt.Sprintf("the positions (ImagePositionPatient) are not on a straight line: one is %.3g mm off", off), "export the series again").In(f.object.file.name)
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
	spacing := frames[0].spacing
	g := &ordered{frames: frames, size: [3]int{s.objects[0].columns, s.objects[0].rows, n}}
	ras := func(v volume.Vector) volume.Vector { return volume.Vector{-v[0], -v[1], v[2]} }
	g.affine = volume.FromColumns(ras(row.Times(spacing[1])), ras(column.Times(spacing[0])), ras(step), ras(origin))
	if !g.affine.Usable() {
		return nil, volume.Refuse(volume.CodeBadGeometry, "positions and orientation span no volume: the slices are shifted within their plane", "export the series again")
	}
	return g, nil
}

// inStackOrder tells whether the order that enhanced images state runs with or
// against the positions.
func inStackOrder(frames []*frame) bool {
	up, down := true, true
	for i := 1; i < len(frames); i++ {
		a, b := frames[i-1].inStack, frames[i].inStack
		if a > 0 && b > 0 && a != b {
			up, down = up && a < b, down && a > b
		}
	}
	return up || down
}

// meanDirections averages the directions, which may differ by rounding.
func meanDirections(scan *volume.Scan, frames []*frame) (row, column volume.Vector) {
	differ := false
	for _, f := range frames {
		row, column = row.Plus(f.row), column.Plus(f.column)
		differ = differ || f.row != frames[0].row || f.column != frames[0].column
	}
	row = row.Times(1 / row.Length())
	column = column.Minus(row.Times(row.Dot(column)))
	column = column.Times(1 / column.Length())
	if differ {
		scan.Warn("orientation-averaged", "the orientation differs between slices by rounding; the mean was taken")
	} else {
		row, column = frames[0].row, frames[0].column
	}
	return row, column
}

// sortAlong orders frames by their place along the normal; those at one place by
// file and number, so that the order of a folder does not matter.
func sortAlong(frames []*frame, normal volume.Vector) {
	sort.SliceStable(frames, func(i, j int) bool {
		a, b := frames[i], frames[j]
		if x, y := a.position.Dot(normal), b.position.Dot(normal); x != y {
			return x < y
		}
		if a.object != b.object {
			return a.object.file.name < b.object.file.name
		}
		return a.index < b.index
	})
}

// steps are the distances between neighbours along the normal.
func steps(frames []*frame, normal volume.Vector) []float64 {
	var list []float64
	for i := 1; i < len(frames); i++ {
		list = append(list, frames[i].position.Minus(frames[i-1].position).Dot(normal))
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
func evenly(frames []*frame, normal volume.Vector) error {
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
