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
	"github.com/brainseg/brainseg/internal/segmentation/frame"
	"github.com/brainseg/brainseg/internal/segmentation/tiling"
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
	var outputs []string
	for _, o := range m.manifest.Outputs(0, 0, false) {
		outputs = append(outputs, o.Name)
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(content, m.manifest.InputNames(), outputs, options)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", model.ErrNetwork, reason(err))
	}
	return session, nil
}

// probe runs the network on black images of the two smallest oblong sizes, with
// outputs that ONNX Runtime allocates, so that their types and shapes can be
// compared. Asking ONNX Runtime what a network takes would build a second
// session.
func (m *Model) probe() error {
	multiple := m.manifest.Input.SizeMultiple
	for _, s := range []size{{multiple, 2 * multiple}, {2 * multiple, multiple}} {
		if err := m.probeForm(form{size: s}); err != nil {
			return err
		}
	}
	if m.manifest.Scores == nil {
		return nil
	}
	if err := m.probeForm(form{size{multiple, 2 * multiple}, true}); err != nil {
		return fmt.Errorf("with scores: %w", err)
	}
	return nil
}

func (m *Model) probeForm(f form) error {
	t, err := newTensors(&m.manifest, f)
	if err != nil {
		return err
	}
	defer t.destroy()
	if t.window != nil {
		t.window[0], t.window[1] = 0, 255
	}
	want := f.outputsOf(&m.manifest)
	outputs := make([]ort.Value, len(want))
	if err := m.session.RunWithOptions(t.inputs, outputs, t.options); err != nil {
		return fmt.Errorf("run it on an image of %d x %d pixels: %w", f.size.width, f.size.height, err)
	}
	defer func() {
		for _, o := range outputs {
			o.Destroy()
		}
	}()
	for i, o := range want {
		if got := outputs[i].GetShape(); !slices.Equal(got, o.Shape) {
			return fmt.Errorf("output %s has shape %v for an image of %d x %d pixels, and the manifest means %v", o.Name, got, f.size.width, f.size.height, o.Shape)
		}
		if got := outputs[i].DataType(); got != t.outputs[i].DataType() {
			return fmt.Errorf("output %s has elements of type %v, and the manifest says %s", o.Name, ort.TensorElementDataType(got), o.Type)
		}
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
// not grow with the slice and is given back: see commonPixels to tiling.Pixels.
//
// An error wraps ErrSize, ErrTooLarge, ErrTooMuchMemory, model.ErrNetwork, ErrRuntime, ErrClosed or
// the context's; mask is undefined then. When ctx ends the run ends soon after.
func (m *Model) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	return m.work(ctx, &run{slice: slice, mask: mask})
}

// SegmentDetailed is Segment that also returns what the network says of its mask,
// nil where its manifest has no judgement. Unless scores is nil it writes to it how
// sure each class is of each pixel, 255 times the softmax, classes x height x width;
// of a model whose manifest has no scores the error wraps ErrNoScores then.
func (m *Model) SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	if scores != nil && m.manifest.Scores == nil {
		return nil, fmt.Errorf("segment: %w", ErrNoScores)
	}
	if scores != nil && len(scores) != len(mask)*len(m.manifest.Classes) {
		return nil, fmt.Errorf("segment: %w: a mask of %d pixels and %d scores", ErrSize, len(mask), len(scores))
	}
	r := &run{slice: slice, mask: mask, scores: scores}
	if err := m.work(ctx, r); err != nil {
		return nil, err
	}
	return r.judgement(), nil
}

// work checks a slice and has the network run over it.
func (m *Model) work(ctx context.Context, r *run) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("segment: %w", context.Cause(ctx))
	}
	width, height := r.slice.Rect.Dx(), r.slice.Rect.Dy()
	if int64(width)*int64(height) > m.opts.MaxPixels {
		return fmt.Errorf("segment: %w: %d x %d, and at most %d are allowed", ErrTooLarge, width, height, m.opts.MaxPixels)
	}
	if width <= 0 || height <= 0 || len(r.mask) != width*height || len(r.slice.Pix) < (height-1)*r.slice.Stride+width {
		return fmt.Errorf("segment: %w: an image of %d x %d pixels and a mask of %d", ErrSize, width, height, len(r.mask))
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return fmt.Errorf("segment: %w", ErrClosed)
	}
	r.window = Window{Low: 0, High: 255}
	if n := m.manifest.Normalisation; n.Kind == model.NormalisationPercentileWindow {
		counts := histogram(r.slice)
		r.window = PercentileWindow(&counts, n.Low, n.High, n.IgnoreBelowOrEqual)
	}
	segment := m.segment
	if m.manifest.Frame != nil {
		segment = m.segmentFramed
	}
	if err := segment(ctx, r); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	return nil
}

// segment runs the network over the slice, in one piece or in tiles.
func (m *Model) segment(ctx context.Context, r *run) error {
	width, height := r.slice.Rect.Dx(), r.slice.Rect.Dy()
	whole := tiling.Tile{Outer: image.Rect(0, 0, width, height), Inner: image.Rect(0, 0, width, height)}
	pixels := padded(&m.manifest, width, height).pixels()
	if pixels <= commonPixels {
		return m.segmentTile(ctx, m.session, r, whole)
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
		return m.segmentTile(ctx, session, r, whole)
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
	if pixels <= tiling.Pixels {
		return m.segmentTile(ctx, session, r, whole)
	}
	for part := range tiling.Of(width, height, m.manifest.Input.SizeMultiple) {
		if err := m.segmentTile(ctx, session, r, part); err != nil {
			return err
		}
	}
	return nil
}

// segmentFramed has the network see the slice in its frame. What the canvas does not
// reach is background.
func (m *Model) segmentFramed(ctx context.Context, r *run) error {
	f := frame.Find(m.manifest.Frame, m.manifest.Input.SizeMultiple, r.slice, r.window.High)
	pixels := f.Width * f.Height
	shown := run{slice: f.Show(r.slice), window: r.window, mask: make([]uint8, pixels)}
	if r.scores != nil {
		shown.scores = make([]uint8, pixels*len(m.manifest.Classes))
	}
	if err := m.segment(ctx, &shown); err != nil {
		return err
	}
	width := r.slice.Rect.Dx()
	f.Back(r.mask, width, shown.mask, 0)
	sure := uint8(255)
	for class := range len(m.manifest.Classes) {
		if r.scores != nil {
			f.Back(r.scores[class*len(r.mask):][:len(r.mask)], width, shown.scores[class*pixels:][:pixels], sure)
		}
		sure = 0
	}
	r.confidence, r.known, r.pixelsOfJudging = shown.confidence, shown.known, shown.pixelsOfJudging
	return nil
}

// segmentTile runs the network over the outer rectangle of a tile, and sets what
// comes of the inner one.
func (m *Model) segmentTile(ctx context.Context, session *ort.DynamicAdvancedSession, r *run, part tiling.Tile) error {
	f := form{padded(&m.manifest, part.Outer.Dx(), part.Outer.Dy()), r.scores != nil}
	t := m.cache.take(f)
	if t == nil {
		var err error
		if t, err = newTensors(&m.manifest, f); err != nil {
			return err
		}
	}
	defer m.cache.put(t)

	t.setImage(r.slice.SubImage(part.Outer.Add(r.slice.Rect.Min)).(*image.Gray))
	if t.window != nil {
		t.window[0], t.window[1] = r.window.Low, r.window.High
	}
	if err := m.start(ctx, session, t); err != nil {
		return err
	}
	width, inner := r.slice.Rect.Dx(), part.Inner.Sub(part.Outer.Min)
	at := part.Inner.Min.Y*width + part.Inner.Min.X
	if largest := t.mask(r.mask[at:], width, inner); int(largest) >= len(m.manifest.Classes) {
		return fmt.Errorf("%w: a pixel has class %d, and the manifest has %d classes", model.ErrNetwork, largest, len(m.manifest.Classes))
	}
	if r.scores != nil {
		t.copyScores(r.scores[at:], width, len(r.mask), inner)
	}
	r.judge(t.judgement, inner.Dx()*inner.Dy())
	return nil
}

// start runs the network, and stops it when ctx ends.
func (m *Model) start(ctx context.Context, session *ort.DynamicAdvancedSession, t *tensors) error {
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
