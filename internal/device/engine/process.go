package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"image/color"
	"strings"
	"time"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// worker owns the buffers that one request after the other uses.
type worker struct {
	s       *Service
	classes []uint8      // the mask, a class a pixel
	mask    bytes.Buffer // the mask as PNG
	overlay bytes.Buffer
}

// keepPixels is the largest mask whose buffers are kept for the next request.
const keepPixels = 1 << 20

// process does the work. Its errors are *request.Error wherever the requester
// can do something about them.
func (w *worker) process(ctx context.Context, j job) (Outcome, error) {
	s, r := w.s, j.request
	lap := time.Now()
	t := request.Timings{Queue: milliseconds(lap.Sub(j.accepted))}
	measure := func(d *float64) {
		now := time.Now()
		*d += milliseconds(now.Sub(lap))
		lap = now
	}

	location := r.Image.Path
	if r.Image.S3 != "" {
		location = r.Image.S3
	}
	data, err := s.opts.Store.Read(ctx, store.Reference{Location: location, Inline: r.Image.Inline})
	if err != nil {
		return Outcome{}, readError(err)
	}
	measure(&t.Read)

	slice, _, err := imaging.Decode(data, s.opts.Limits)
	if err != nil {
		return Outcome{}, decodeError(err)
	}
	measure(&t.Decode)

	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if cap(w.classes) < width*height || cap(w.classes) > keepPixels {
		w.classes = make([]uint8, width*height)
		w.mask, w.overlay = bytes.Buffer{}, bytes.Buffer{}
	}
	w.classes = w.classes[:width*height]
	if err := s.opts.Model.Segment(ctx, slice, w.classes); err != nil {
		return Outcome{}, segmentError(err)
	}
	measure(&t.Inference)

	manifest := s.opts.Model.Manifest()
	w.mask.Reset()
	if err := imaging.EncodeMask(&w.mask, w.classes, width, height); err != nil {
		return Outcome{}, fmt.Errorf("encode the mask: %w", err)
	}
	if r.Output.Overlay {
		w.overlay.Reset()
		if err := imaging.EncodeOverlay(&w.overlay, slice, w.classes, palette(manifest), imaging.OverlayOptions{}); err != nil {
			return Outcome{}, fmt.Errorf("encode the overlay: %w", err)
		}
	}
	measure(&t.Encode)

	result := request.Result{
		ID: r.ID, Status: request.StatusSucceeded, Complete: true,
		Tissues: tissues(manifest, w.classes),
		Image:   &request.Dimensions{Width: width, Height: height},
	}
	if !r.Output.Discard {
		if err := w.write(ctx, r, &result); err != nil {
			return Outcome{}, err
		}
	}
	if r.Output.Inline && result.Mask != nil {
		result.Mask.Base64 = bytes.Clone(w.mask.Bytes())
	}
	measure(&t.Write)
	t.Total = milliseconds(time.Since(j.accepted))
	result.Timings = &t
	s.sign(&result)
	return Outcome{Result: result, Mask: w.mask.Bytes()}, nil
}

// write stores mask and overlay and notes them in the result.
func (w *worker) write(ctx context.Context, r request.Request, result *request.Result) error {
	to := r.Output.To
	switch {
	case r.Seed:
		bucket, key, _ := strings.Cut(strings.TrimPrefix(r.Image.S3, "s3://"), "/")
		result.Bucket, result.Prefix = bucket, store.MaskKey(key)
		to = "s3://" + bucket + "/" + result.Prefix
	case to == "":
		to = fileName(r.ID) + ".png"
	}
	write := func(to string, b []byte) (*request.File, error) {
		written, err := w.s.opts.Store.Write(ctx, to, b)
		if err != nil {
			return nil, writeError(err)
		}
		f := &request.File{SHA256: written.SHA256, Bytes: len(b)}
		if strings.HasPrefix(written.Location, "s3://") {
			f.URI = written.Location
		} else {
			f.Path = written.Location
		}
		return f, nil
	}
	var err error
	if result.Mask, err = write(to, w.mask.Bytes()); err != nil {
		return err
	}
	if r.Output.Overlay {
		result.Overlay, err = write(strings.TrimSuffix(to, ".png")+".overlay.png", w.overlay.Bytes())
	}
	return err
}

// tissues counts the classes of a mask.
func tissues(m *segmentation.Manifest, mask []uint8) []request.Tissue {
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

func palette(m *segmentation.Manifest) imaging.Palette {
	p := make(imaging.Palette, len(m.Classes))
	for _, class := range m.Classes {
		if class.Value != 0 {
			p[class.Value] = color.RGBA(class.RGBA())
		}
	}
	return p
}

// fileName makes a file name of an id. One that had to be changed gets a hash of
// the id, so that two ids never share a name.
func fileName(id string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '_'
	}, id)
	clean = strings.TrimLeft(clean, ".")
	if clean == id {
		return clean
	}
	h := fnv.New64a()
	h.Write([]byte(id))
	return fmt.Sprintf("%s-%016x", clean, h.Sum64())
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}

// detail tells everything of an error, for the log at debug level.
func detail(err error) string {
	var stored *store.Error
	if errors.As(err, &stored) {
		return stored.Detail()
	}
	return err.Error()
}
