package segmentation

import (
	"context"
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/brainseg/brainseg/internal/model"
)

// maxNetworkBytes is far above any network that can be run.
const maxNetworkBytes = 1 << 30

// Model is an opened model. Its methods may be called concurrently.
type Model struct {
	manifest model.Manifest
	opts     Options
	network  *network
	session  *ort.DynamicAdvancedSession // of slices of up to commonPixels
	medium   passingSession              // of those of up to largePixels
	turn     chan struct{}               // held by the one above, which has a session of its own
	cache    cache

	mu     sync.RWMutex // read-held by every run
	closed bool         // guarded by mu
}

// Open reads the model in the folder dir: it checks the manifest, compares the
// network's checksum, loads ONNX Runtime where that was not done before, and
// runs the network once on a tiny image to see that it does what the manifest
// says. An error wraps model.ErrManifest, model.ErrChecksum, model.ErrNetwork or
// ErrRuntime.
//
// Where dir is a link, manifest and network come from the folder that it leads to
// at first, though a deployment sets it anew meanwhile.
func Open(dir string, opts Options) (*Model, error) {
	opts = opts.withDefaults()
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	manifest, err := model.ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, manifest.File)
	network, err := openNetwork(path, manifest.SHA256)
	if err != nil {
		return nil, err
	}
	m := &Model{manifest: *manifest, opts: opts, network: network, turn: make(chan struct{}, 1)}
	m.medium.open = m.open
	if m.session, err = m.open(); err != nil {
		network.close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := m.probe(); err != nil {
		m.Close()
		return nil, fmt.Errorf("try %s: %w: %w", path, model.ErrNetwork, err)
	}
	returnMemory() // some 4 MB that reading and optimising the network took
	return m, nil
}

// open makes a session of the network.
func (m *Model) open() (*ort.DynamicAdvancedSession, error) {
	content, err := m.network.read()
	if err != nil {
		return nil, err
	}
	if err := loadRuntime(m.opts.Library); err != nil {
		return nil, err
	}
	options, err := sessionOptions(m.opts.Threads)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRuntime, err)
	}
	defer options.Destroy()
	inputs := []string{m.manifest.Input.Name}
	if m.manifest.Normalisation.Kind == model.NormalisationPercentileWindow {
		inputs = append(inputs, m.manifest.Normalisation.Input)
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(content, inputs, []string{m.manifest.Output.Name}, options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrNetwork, reason(err))
	}
	return session, nil
}

// probe runs the network on black images of the two smallest oblong sizes, with
// an output that ONNX Runtime allocates, so that its type and shape can be
// compared. Asking ONNX Runtime what a network takes would build a second
// session.
func (m *Model) probe() error {
	multiple := m.manifest.Input.SizeMultiple
	for _, s := range []size{{multiple, 2 * multiple}, {2 * multiple, multiple}} {
		if err := m.probeSize(s); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) probeSize(s size) error {
	t, err := newTensors(&m.manifest, s)
	if err != nil {
		return err
	}
	defer t.destroy()
	if t.window != nil {
		t.window[0], t.window[1] = 0, 255
	}
	outputs := []ort.Value{nil}
	if err := m.session.RunWithOptions(t.inputs, outputs, t.options); err != nil {
		return fmt.Errorf("run it on an image of %d x %d pixels: %w", s.width, s.height, err)
	}
	defer outputs[0].Destroy()
	got, want := outputs[0].GetShape(), outputShape(&m.manifest, s)
	if !slices.Equal(got, want) {
		return fmt.Errorf("output %s has shape %v for an image of %d x %d pixels, and the manifest means %v", m.manifest.Output.Name, got, s.width, s.height, want)
	}
	if got, want := outputs[0].DataType(), t.outputs[0].DataType(); got != want {
		return fmt.Errorf("output %s has elements of type %v, and the manifest says %s", m.manifest.Output.Name, ort.TensorElementDataType(got), m.manifest.Output.Type)
	}
	return nil
}

// Manifest returns what the model says of itself. It must not be changed.
func (m *Model) Manifest() *model.Manifest { return &m.manifest }

// Segment writes the class of each pixel of slice, row by row, to mask, which
// must have width x height elements. slice may have any size up to
// Options.MaxPixels and is not changed.
//
// What is far larger than the slices that models are made for is worked on in
// tiles that overlap, one such slice at a time, so that the memory of a run does
// not grow with the slice and is given back: see commonPixels to tilePixels.
//
// An error wraps ErrSize, ErrTooLarge, ErrTooMuchMemory, model.ErrNetwork, ErrRuntime, ErrClosed or
// the context's; mask is undefined then. When ctx ends the run ends soon after.
func (m *Model) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("segment: %w", context.Cause(ctx))
	}
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if int64(width)*int64(height) > m.opts.MaxPixels {
		return fmt.Errorf("segment: %w: %d x %d, and at most %d are allowed", ErrTooLarge, width, height, m.opts.MaxPixels)
	}
	if width <= 0 || height <= 0 || len(mask) != width*height || len(slice.Pix) < (height-1)*slice.Stride+width {
		return fmt.Errorf("segment: %w: an image of %d x %d pixels and a mask of %d", ErrSize, width, height, len(mask))
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return fmt.Errorf("segment: %w", ErrClosed)
	}
	var window Window
	if n := m.manifest.Normalisation; n.Kind == model.NormalisationPercentileWindow {
		counts := histogram(slice)
		window = PercentileWindow(&counts, n.Low, n.High, n.IgnoreBelowOrEqual)
	}
	if err := m.segment(ctx, slice, mask, window); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// segment runs the network over the slice, in one piece or in tiles.
func (m *Model) segment(ctx context.Context, slice *image.Gray, mask []uint8, window Window) error {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	whole := tile{outer: image.Rect(0, 0, width, height), inner: image.Rect(0, 0, width, height)}
	pixels := padded(&m.manifest, width, height).pixels()
	if pixels <= commonPixels {
		return m.segmentTile(ctx, m.session, slice, mask, window, whole)
	}
	if pixels <= largePixels {
		if err := m.fits(pixels); err != nil {
			return err
		}
		session, err := m.medium.acquire()
		if err != nil {
			return err
		}
		defer m.medium.release()
		return m.segmentTile(ctx, session, slice, mask, window, whole)
	}
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := m.fits(pixels); err != nil {
		return err
	}
	session, err := m.open()
	if err != nil {
		return err
	}
	defer func() {
		session.Destroy() // an error would not undo the mask
		returnMemory()
		m.medium.tidy()
	}()
	if pixels <= tilePixels {
		return m.segmentTile(ctx, session, slice, mask, window, whole)
	}
	for part := range tiles(width, height, m.manifest.Input.SizeMultiple) {
		if err := m.segmentTile(ctx, session, slice, mask, window, part); err != nil {
			return err
		}
	}
	return nil
}

// segmentTile runs the network over the outer rectangle of a tile, and sets the
// mask in the inner one.
func (m *Model) segmentTile(ctx context.Context, session *ort.DynamicAdvancedSession, slice *image.Gray, mask []uint8, window Window, part tile) error {
	s := padded(&m.manifest, part.outer.Dx(), part.outer.Dy())
	t := m.cache.take(s)
	if t == nil {
		var err error
		if t, err = newTensors(&m.manifest, s); err != nil {
			return err
		}
	}
	defer m.cache.put(t)

	t.setImage(slice.SubImage(part.outer.Add(slice.Rect.Min)).(*image.Gray))
	if t.window != nil {
		t.window[0], t.window[1] = window.Low, window.High
	}
	if err := m.run(ctx, session, t); err != nil {
		return err
	}
	width := slice.Rect.Dx()
	to := mask[part.inner.Min.Y*width+part.inner.Min.X:]
	if largest := t.mask(to, width, part.inner.Sub(part.outer.Min)); int(largest) >= len(m.manifest.Classes) {
		return fmt.Errorf("%w: a pixel has class %d, and the manifest has %d classes", model.ErrNetwork, largest, len(m.manifest.Classes))
	}
	return nil
}

// run runs the network, and stops it when ctx ends.
func (m *Model) run(ctx context.Context, session *ort.DynamicAdvancedSession, t *tensors) error {
	if ctx.Done() == nil {
		return m.failure(session.RunWithOptions(t.inputs, t.outputs, t.options))
	}
	terminated := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(terminated)
		t.options.Terminate()
	})
	err := session.RunWithOptions(t.inputs, t.outputs, t.options)
	if !stop() {
		<-terminated
		t.options.UnsetTerminate()
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return m.failure(err)
}

func (m *Model) failure(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRuntime, reason(err))
}

// Close waits for the runs in progress and lets go of the model's memory. A
// second call does nothing.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	m.cache.clear()
	if err := errors.Join(m.session.Destroy(), m.medium.close(), m.network.close()); err != nil {
		return fmt.Errorf("close the model: %w", errors.Join(ErrRuntime, err))
	}
	return nil
}
