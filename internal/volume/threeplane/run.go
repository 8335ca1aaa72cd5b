package threeplane

import (
	"context"
	"image"
	"math"
	"sync"

	"github.com/brainseg/brainseg/internal/volume"
)

// job is one slice. Jobs of one plane write to different voxels.
type job struct {
	plane  volume.Plane
	number int // of the plane, among those that are run
	index  int
}

// cutter has slices of a work segmented, and gives what comes of them to planes.
type cutter struct {
	work    *work
	box     box
	network Segmenter
	scorer  Scorer // nil where classes are all that is asked for
	classes int
	planes  fuser
	judged  judged
}

// judged sums up what the network says of its masks, by their tissue: in whole
// numbers, for the sum must not hang on the order of the slices.
type judged struct {
	mu                sync.Mutex
	tissue            int64 // guarded by mu
	confidence, known int64 // in judgedParts; guarded by mu
}

const judgedParts = 1e6

// add adds what is said of a mask.
func (j *judged) add(confidence, known float64, mask []uint8) {
	if math.IsNaN(confidence) || math.IsNaN(known) {
		return
	}
	var tissue int64
	for _, class := range mask {
		if class != 0 {
			tissue++
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tissue += tissue
	j.confidence += tissue * int64(math.Round(confidence*judgedParts))
	j.known += tissue * int64(math.Round(known*judgedParts))
}

func (j *judged) means() (confidence, known float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.tissue == 0 {
		return math.NaN(), math.NaN()
	}
	of := judgedParts * float64(j.tissue)
	return float64(j.confidence) / of, float64(j.known) / of
}

// run works off the jobs, plane after plane; the first error ends all. It waits
// for its workers.
func (c *cutter) run(ctx context.Context, planes [][]job, total int, opts Options) error {
	done := 0
	for _, jobs := range planes {
		before := done
		err := c.runPlane(ctx, jobs, opts.Workers, func(n int) { opts.Progress(before+n, total) })
		if err != nil {
			return err
		}
		done += len(jobs)
	}
	return nil
}

func (c *cutter) runPlane(ctx context.Context, jobs []job, workers int, progress func(done int)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int // guarded by mu
		done int // guarded by mu
	)
	take := func() (job, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(jobs) || ctx.Err() != nil {
			return job{}, false
		}
		next++
		return jobs[next-1], true
	}
	for range min(workers, len(jobs)) {
		wg.Go(func() {
			s := slicer{cutter: c}
			for {
				j, ok := take()
				if !ok {
					return
				}
				if err := s.segment(ctx, j); err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				done++
				progress(done)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// slicer owns the buffers of one worker.
type slicer struct {
	*cutter
	slice  image.Gray
	mask   []uint8
	scores []uint8   // classes x height x width, where there is a scorer
	rows   [][]uint8 // of one row of scores, one a class
}

// segment cuts one slice of the box out, has it segmented, and gives what comes of
// it to the planes.
func (s *slicer) segment(ctx context.Context, j job) error {
	w, b := s.work, s.box
	across, up := j.plane.PictureAxes()
	strides := [3]int{1, w.size[0], w.size[0] * w.size[1]}
	width, height := b.to[across]-b.from[across], b.to[up]-b.from[up]
	s.reserve(width, height)
	start := j.index*strides[j.plane] + b.from[across]*strides[across]
	tissue := false
	for y := range height {
		at := start + (b.to[up]-1-y)*strides[up]
		row := s.slice.Pix[y*width:][:width]
		for x := range row {
			v := w.grey[at]
			row[x] = v
			tissue = tissue || v > air
			at += strides[across]
		}
	}
	if err := s.ask(ctx, tissue); err != nil {
		return err
	}
	for y := range height {
		for class := range s.rows {
			s.rows[class] = s.scores[class*len(s.mask)+y*width:][:width]
		}
		s.planes.put(j.number, start+(b.to[up]-1-y)*strides[up], strides[across], s.mask[y*width:][:width], s.rows)
	}
	return nil
}

// reserve has buffers for a slice.
func (s *slicer) reserve(width, height int) {
	n := width * height
	if cap(s.mask) < n {
		s.mask, s.slice.Pix = make([]uint8, n), make([]uint8, n)
		if s.scorer != nil {
			s.scores, s.rows = make([]uint8, n*s.classes), make([][]uint8, s.classes)
		}
	}
	s.mask, s.slice.Pix = s.mask[:n], s.slice.Pix[:n]
	s.slice.Rect, s.slice.Stride = image.Rect(0, 0, width, height), width
	if s.scorer != nil {
		s.scores = s.scores[:n*s.classes]
	}
}

// ask has the network segment the slice; where nothing but air is in it, all is
// background.
func (s *slicer) ask(ctx context.Context, tissue bool) error {
	switch {
	case tissue && s.scorer != nil:
		confidence, known, err := s.scorer.Scores(ctx, &s.slice, s.mask, s.scores)
		if err == nil {
			s.judged.add(confidence, known, s.mask)
		}
		return err
	case tissue:
		return s.network.Segment(ctx, &s.slice, s.mask)
	}
	clear(s.mask)
	clear(s.scores)
	if s.scores != nil {
		for i := range s.mask {
			s.scores[i] = 255
		}
	}
	return nil
}
