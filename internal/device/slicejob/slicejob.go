// Package slicejob carries out requests of single slices: it decodes the image, has
// the model segment it, encodes mask and overlay, has them written, and makes the
// answer. Writes that hang are given up and left behind, so that a worker goes on;
// how many may be is bounded.
//
// It knows no queue, fetches no image and signs no answer; package engine does, and
// calls it. Whole scans are package scanjob's.
package slicejob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/view"
)

// Network segments slices; see segmentation.Model.
type Network interface {
	Segment(ctx context.Context, slice *image.Gray, mask []uint8) error
	Manifest() *model.Manifest
}

// Job is a slice to be segmented. All but Decoded, Done, Timeout and Logger must be
// set.
type Job struct {
	Number   uint64 // of the request, for the log
	Request  request.Request
	Image    []byte // encoded
	Accepted time.Time
	Fetch    time.Duration // for which the image was read
	Limits   imaging.Limits
	Network  Network
	Palette  []color.RGBA // of the overlay
	// Decoded, if not nil, is called when the bytes of the image are not needed any more.
	Decoded func()
	// Write stores a result; see store.Store. Its errors are *request.Error
	// wherever the requester can do something about them.
	Write func(ctx context.Context, destination string, data []byte) (*request.File, error)
	// Timeout bounds the writing. Default 60 s.
	Timeout time.Duration
	// Done, if not nil, is called when nothing is written any more. left tells that the
	// writes were left behind, and Run has returned before.
	Done func(left bool)
	// Logger is told of faults of the component. Default: none.
	Logger *zap.Logger
}

// Worker does one job after the other, in buffers of its own.
type Worker struct {
	writes  *Writes
	classes []uint8      // the mask, a class a pixel
	mask    bytes.Buffer // the mask as PNG
	overlay bytes.Buffer
	lent    bool // to writes that do not come back
}

// NewWorker makes a worker; all of an engine share the writes.
func NewWorker(writes *Writes) *Worker { return &Worker{writes: writes} }

// keepPixels is the largest mask whose buffers are kept for the next job.
const keepPixels = 1 << 20

// Trim lets go of buffers of a large image, and of those that are lent. It is called
// once the outcome of a job is not needed any more.
func (w *Worker) Trim() {
	if w.lent || cap(w.classes) > keepPixels {
		*w = Worker{writes: w.writes}
	}
}

// Run does a job. Its errors are *request.Error wherever the requester can do
// something about them, and wrap ErrLeft where writes were left behind; a panic is an
// error, too. A result with a mask is the answer in spite of an error: that is of the
// overlay then. Mask and overlay of the outcome are the worker's until the next job.
func (w *Worker) Run(ctx context.Context, j Job) (o job.Outcome, err error) {
	if j.Timeout <= 0 {
		j.Timeout = 60 * time.Second
	}
	if j.Logger == nil {
		j.Logger = zap.NewNop()
	}
	defer func() {
		if p := recover(); p != nil {
			j.Logger.Error("request failed by a fault of the component", zap.Uint64("request", j.Number), zap.ByteString("stack", debug.Stack()))
			o, err = job.Outcome{}, fmt.Errorf("panic: %v", p)
		}
		if j.Done != nil && !errors.Is(err, ErrLeft) {
			j.Done(false)
		}
	}()
	return w.run(ctx, &j)
}

func (w *Worker) run(ctx context.Context, j *Job) (job.Outcome, error) {
	r := &j.Request
	lap := time.Now()
	t := request.Timings{Queue: request.Milliseconds(lap.Sub(j.Accepted) - j.Fetch), Read: request.Milliseconds(j.Fetch)}
	measure := func(d *float64) {
		now := time.Now()
		*d += request.Milliseconds(now.Sub(lap))
		lap = now
	}

	slice, info, err := imaging.Decode(j.Image, j.Limits)
	j.Image, r.Image.Inline = nil, nil // the garbage collector's
	if j.Decoded != nil {
		j.Decoded()
	}
	if err != nil {
		return job.Outcome{}, failure.Decode(err)
	}
	measure(&t.Decode)

	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if cap(w.classes) < width*height {
		w.classes = make([]uint8, width*height)
	}
	w.classes = w.classes[:width*height]
	shown := view.View{Network: j.Network, MaxPixels: j.Limits.MaxPixels, StatedMM: r.Image.SpacingMM, Info: info}
	seen, err := shown.Segment(ctx, slice, w.classes)
	if err != nil {
		return job.Outcome{}, failure.Segment(err)
	}
	measure(&t.Inference)

	w.mask.Reset()
	w.overlay.Reset()
	if err := imaging.EncodeMask(&w.mask, w.classes, width, height); err != nil {
		return job.Outcome{}, fmt.Errorf("encode the mask: %w", err)
	}
	if r.Output.Overlay {
		if err := imaging.EncodeOverlay(&w.overlay, slice, w.classes, j.Palette, imaging.OverlayOptions{}); err != nil {
			return job.Outcome{}, fmt.Errorf("encode the overlay: %w", err)
		}
	}
	measure(&t.Encode)

	result := request.Result{
		ID: r.ID, Status: request.StatusSucceeded, Complete: true,
		Tissues: tissues(j.Network.Manifest(), w.classes),
		Image: &request.Dimensions{
			Width: width, Height: height, SpacingMM: &[2]float64{seen.Size.Across, seen.Size.Down}, SpacingFrom: string(seen.Source),
		},
	}
	for _, flag := range seen.Flags {
		result.Image.Flags = append(result.Image.Flags, string(flag))
	}
	judge(result.Image, seen.Judgement, j.Network.Manifest())
	if !r.Output.Discard {
		err = w.save(ctx, j, &result)
		if err != nil && result.Mask == nil {
			return job.Outcome{}, err
		}
	}
	if r.Output.Inline && result.Mask != nil {
		result.Mask.Base64 = bytes.Clone(w.mask.Bytes())
	}
	measure(&t.Write)
	t.Total = request.Milliseconds(time.Since(j.Accepted))
	result.Timings = &t
	if err != nil { // of the overlay: the mask is there all the same
		failure := request.AsError(err)
		result.Status, result.Error = request.StatusFailed, &request.Failure{Code: failure.Code, Message: "the mask is written, the overlay is not: " + failure.Message}
	}
	return job.Outcome{Result: result, Mask: w.mask.Bytes(), Overlay: w.overlay.Bytes()}, err
}

// judge adds to an answer what the model says of its mask.
func judge(image *request.Dimensions, said *model.Judgement, manifest *model.Manifest) {
	if said == nil || manifest.Judgement == nil {
		return
	}
	confidence := math.Round(said.Confidence*1e4) / 1e4
	image.Confidence = &confidence
	if said.Known < manifest.Judgement.LeastKnown {
		image.Flags = append(image.Flags, string(imaging.FlagUnfamiliar))
	}
}

// tissues counts the classes of a mask.
func tissues(m *model.Manifest, mask []uint8) []request.Tissue {
	counts := segmentation.Counts(mask)
	inside := len(mask) - counts[0]
	list := make([]request.Tissue, 0, len(m.Classes))
	for _, class := range m.Classes {
		t := request.Tissue{Value: class.Value, Name: class.Name, Colour: class.Colour, Pixels: counts[class.Value]}
		if class.Value != 0 && inside > 0 {
			t.Share = float64(t.Pixels) / float64(inside)
		}
		list = append(list, t)
	}
	return list
}
