// Package threeplane segments a whole scan with a network that knows slices
// only: it runs the network over sagittal, coronal and axial slices at the
// voxel size that the network was trained for, takes the mean of the planes'
// scores (or their votes, of a network that gives no scores), and brings the
// result back to the scan's own grid.
//
// It reads and writes no files and knows no particular network: the caller
// gives it a Segmenter. The commands of brainseg call it. Axes are swapped,
// flipped and scaled, never rotated: an oblique scan is segmented along its own
// axes, which loses nothing and keeps the grid.
package threeplane

import (
	"context"
	"errors"
	"fmt"
	"image"
	"runtime"

	"github.com/brainseg/brainseg/internal/volume"
)

// Segmenter gives each pixel of a grey slice its class; mask has width x height
// elements. It may be called concurrently. The front (axial slices) or the top
// is up in a slice, and the patient's left at the left.
type Segmenter interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
}

// Scorer is a Segmenter that can also tell how sure it is of each class: scores
// has classes x height x width elements, of which those of a pixel sum up to 255.
// Confidence is how likely the mask is good, and known how likely the slice is of
// the kind that the network was trained for, 0 to 1; NaN where it does not say.
type Scorer interface {
	Segmenter
	Scores(ctx context.Context, slice *image.Gray, mask, scores []uint8) (confidence, known float64, err error)
}

// Options are the settings of Segment. The zero value works.
type Options struct {
	// Classes is the number of classes that the network tells apart. Default 4.
	Classes int
	// Scored tells that the network is a Scorer, and of up to MaxScored classes. Default:
	// the planes vote.
	Scored bool
	// Probabilities keeps the scores for Result.Probability. Default: they are let go.
	Probabilities bool
	// VoxelSize is the size in mm that the network was trained for. Default 1.
	VoxelSize float64
	// Planes are the planes to run. Default: all three, or the one that has
	// resolution where the slices are thick.
	Planes []volume.Plane
	// Workers is the number of slices in work at once. Default: one a processor.
	Workers int
	// MaxVoxels bounds the scan's voxels at that size. Default: volume.MaxVoxels.
	MaxVoxels int
	// Progress, if not nil, is told from one goroutine at a time how many slices
	// are done.
	Progress func(done, total int)
}

func (o Options) withDefaults() Options {
	if o.Classes <= 0 {
		o.Classes = 4
	}
	if o.VoxelSize <= 0 {
		o.VoxelSize = 1
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.MaxVoxels <= 0 {
		o.MaxVoxels = volume.MaxVoxels
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	return o
}

// Result is a segmented scan.
type Result struct {
	// Labels has the class of each voxel, on the scan's own grid.
	Labels volume.Labels
	// Probability gives the mean probability of a class, in 255ths, of each voxel on
	// the scan's own grid, worked out when it is called. It is nil unless
	// Options.Probabilities asked for it and the planes have scores; until the Result
	// is let go it holds a byte for each class but one and each voxel of the network's.
	Probability func(class uint8) []uint8
	// Planes that were run, and the number of their slices.
	Planes []volume.Plane
	Slices int
	// Thick tells that the distance of the slices left one plane only.
	Thick bool
	// Agreement is the share of voxels in which all planes say the same, of
	// those where any says that there is tissue; 1 for one plane.
	Agreement float64
	// Confidence and Known are what the network says of its masks, the means over the
	// slices by their tissue; see Scorer. NaN where it says nothing, or sees none.
	Confidence, Known float64
}

// ErrEmpty says that nothing in the scan stands out from its background.
var ErrEmpty = errors.New("nothing in the scan stands out from the background")

// ErrTooLarge says that the scan has more than Options.MaxVoxels voxels at the
// network's size, and than it has itself.
var ErrTooLarge = errors.New("the scan is too large for the size of the network's voxels")

// Segment segments a scan. Besides the scan and its result it holds two to five
// bytes a voxel at the network's size. An error is the Segmenter's, the
// context's, ErrEmpty or ErrTooLarge.
func Segment(ctx context.Context, scan *volume.Volume, network Segmenter, opts Options) (*Result, error) {
	opts = opts.withDefaults()
	w, err := newWork(scan, opts.VoxelSize, opts.MaxVoxels)
	if err != nil {
		return nil, err
	}
	planes := opts.Planes
	if len(planes) == 0 {
		planes = w.resolved()
	}
	box, ok := w.headBox()
	if !ok {
		return nil, ErrEmpty
	}
	r := &Result{Planes: planes, Thick: w.thick >= 0}
	var jobs [][]job
	for i, plane := range planes {
		var list []job
		for index := box.from[plane]; index < box.to[plane]; index++ {
			list = append(list, job{plane: plane, number: i, index: index})
		}
		jobs = append(jobs, list)
		r.Slices += len(list)
	}
	c := cutter{work: w, box: box, network: network, classes: opts.Classes}
	if scorer, ok := network.(Scorer); ok && opts.Scored && opts.Classes <= MaxScored {
		c.scorer, c.planes = scorer, newSums(len(planes), w.size, opts.Classes)
	} else {
		c.planes = newVotes(len(planes), w.size, opts.Classes)
	}
	if err := c.run(ctx, jobs, r.Slices, opts); err != nil {
		return nil, fmt.Errorf("segment the scan: %w", err)
	}
	var fused []uint8
	fused, r.Agreement = c.planes.fuse()
	r.Confidence, r.Known = c.judged.means()
	r.Labels = volume.Labels{Grid: scan.Grid, Values: w.toScan(fused, c.planes, opts.Classes)}
	if s, ok := c.planes.(*sums); ok && opts.Probabilities {
		w.grey = nil // all that is needed from here on is its grid
		r.Probability = func(class uint8) []uint8 { return w.probability(s, int(class)) }
	}
	return r, nil
}
