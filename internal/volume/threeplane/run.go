package threeplane

import (
	"context"
	"image"
	"sync"

	"github.com/brainseg/brainseg/internal/volume"
)

// job is one slice. Jobs of one plane write to different parts of its votes.
type job struct {
	plane volume.Plane
	index int
	votes []uint8
}

// run works off the jobs; the first error ends all. It waits for its workers.
func run(ctx context.Context, w *work, b box, jobs []job, network Segmenter, opts Options) error {
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
	for range min(opts.Workers, len(jobs)) {
		wg.Go(func() {
			var s slicer
			for {
				j, ok := take()
				if !ok {
					return
				}
				if err := s.segment(ctx, w, b, j, network); err != nil {
					cancel(err)
					return
				}
				mu.Lock()
				done++
				opts.Progress(done, len(jobs))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// slicer owns the buffers of one worker.
type slicer struct {
	slice image.Gray
	mask  []uint8
}

// segment cuts one slice of the box out, has it segmented, and writes the
// classes to the votes of its plane.
func (s *slicer) segment(ctx context.Context, w *work, b box, j job, network Segmenter) error {
	across, up := j.plane.PictureAxes()
	strides := [3]int{1, w.size[0], w.size[0] * w.size[1]}
	width, height := b.to[across]-b.from[across], b.to[up]-b.from[up]
	if cap(s.mask) < width*height {
		s.mask, s.slice.Pix = make([]uint8, width*height), make([]uint8, width*height)
	}
	s.mask, s.slice.Pix = s.mask[:width*height], s.slice.Pix[:width*height]
	s.slice.Rect, s.slice.Stride = image.Rect(0, 0, width, height), width
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
	if !tissue {
		return nil
	}
	if err := network.Segment(ctx, &s.slice, s.mask); err != nil {
		return err
	}
	for y := range height {
		at := start + (b.to[up]-1-y)*strides[up]
		for _, class := range s.mask[y*width:][:width] {
			j.votes[at] = class
			at += strides[across]
		}
	}
	return nil
}
