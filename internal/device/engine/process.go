package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/brainseg/brainseg/internal/device/failure"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
	"github.com/brainseg/brainseg/internal/segmentation/view"
)

// worker owns the buffers that one request after the other uses.
type worker struct {
	e       *Engine
	classes []uint8      // the mask, a class a pixel
	mask    bytes.Buffer // the mask as PNG
	overlay bytes.Buffer
	lent    bool // to writes that do not come back
}

// keepPixels is the largest mask whose buffers are kept for the next request.
const keepPixels = 1 << 20

// trim lets go of buffers of a large image, and of those that are lent.
func (w *worker) trim() {
	if w.lent || cap(w.classes) > keepPixels {
		*w = worker{e: w.e}
	}
}

// process does the work on a job whose image was fetched. Its errors are
// *request.Error wherever the requester can do something about them.
func (w *worker) process(ctx context.Context, j *Job) (Outcome, error) {
	s, r := j.setup, j.Request
	m := w.e.models.Use() // one for all of the request
	defer m.Release()
	lap := time.Now()
	t := request.Timings{Queue: milliseconds(lap.Sub(j.Accepted) - j.fetch), Read: milliseconds(j.fetch)}
	measure := func(d *float64) {
		now := time.Now()
		*d += milliseconds(now.Sub(lap))
		lap = now
	}

	slice, info, err := imaging.Decode(j.data, s.limits)
	j.data, j.Request.Image.Inline, r.Image.Inline = nil, nil, nil // the garbage collector's
	j.hold.Release()
	if err != nil {
		return Outcome{}, failure.Decode(err)
	}
	measure(&t.Decode)

	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if cap(w.classes) < width*height {
		w.classes = make([]uint8, width*height)
	}
	w.classes = w.classes[:width*height]
	shown := view.View{Network: m.Network, MaxPixels: s.limits.MaxPixels, StatedMM: r.Image.SpacingMM, Info: info}
	seen, err := shown.Segment(ctx, slice, w.classes)
	if err != nil {
		return Outcome{}, failure.Segment(err)
	}
	measure(&t.Inference)

	w.mask.Reset()
	w.overlay.Reset()
	if err := imaging.EncodeMask(&w.mask, w.classes, width, height); err != nil {
		return Outcome{}, fmt.Errorf("encode the mask: %w", err)
	}
	if r.Output.Overlay {
		if err := imaging.EncodeOverlay(&w.overlay, slice, w.classes, m.Palette, imaging.OverlayOptions{}); err != nil {
			return Outcome{}, fmt.Errorf("encode the overlay: %w", err)
		}
	}
	measure(&t.Encode)

	result := request.Result{
		ID: r.ID, Status: request.StatusSucceeded, Complete: true,
		Tissues: tissues(m.Network.Manifest(), w.classes),
		Image: &request.Dimensions{
			Width: width, Height: height, SpacingMM: &[2]float64{seen.Size.Across, seen.Size.Down}, SpacingFrom: string(seen.Source),
		},
	}
	for _, flag := range seen.Flags {
		result.Image.Flags = append(result.Image.Flags, string(flag))
	}
	judge(result.Image, seen.Judgement, m.Network.Manifest())
	if !r.Output.Discard {
		err = w.save(ctx, j, &result)
		if err != nil && result.Mask == nil {
			return Outcome{}, err
		}
	}
	if r.Output.Inline && result.Mask != nil {
		result.Mask.Base64 = bytes.Clone(w.mask.Bytes())
	}
	measure(&t.Write)
	t.Total = milliseconds(time.Since(j.Accepted))
	result.Timings = &t
	w.e.sign(&result, m.Identity)
	if err != nil { // of the overlay: the mask is there all the same
		failure := request.AsError(err)
		result.Status, result.Error = request.StatusFailed, &request.Failure{Code: failure.Code, Message: "the mask is written, the overlay is not: " + failure.Message}
	}
	return Outcome{Result: result, Mask: w.mask.Bytes(), Overlay: w.overlay.Bytes()}, err
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

// reference says where the image of r is in the store; it is empty for one that
// came inline.
func reference(r request.Request) store.Reference {
	if r.Image.S3 != "" {
		return store.Reference{Location: r.Image.S3}
	}
	return store.Reference{Location: r.Image.Path}
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

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// detail tells everything of an error, for the log at debug level.
func detail(err error) string {
	var stored *fault.Error
	if errors.As(err, &stored) {
		return stored.Detail()
	}
	return err.Error()
}
