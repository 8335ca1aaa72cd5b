package segmentation

import (
	"fmt"
	"image"
	"sync"
	"syscall"
	"unsafe"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/brainseg/brainseg/internal/model"
)

// size is height and width of a network's input, both multiples of
// Input.SizeMultiple.
type size struct{ height, width int }

func (s size) pixels() int { return s.height * s.width }

// padded returns the smallest size that m takes an image in.
func padded(m *model.Manifest, width, height int) size {
	up := func(n int) int { return (n + m.Input.SizeMultiple - 1) / m.Input.SizeMultiple * m.Input.SizeMultiple }
	return size{height: up(height), width: up(width)}
}

// form is what tensors are made for.
type form struct {
	size   size
	scored bool // the graph is asked for its scores
}

func (f form) outputsOf(m *model.Manifest) []model.Tensor {
	return m.Outputs(f.size.height, f.size.width, f.scored)
}

// tensors are the inputs and the outputs of one run, of one form. Only one run
// at a time may use them.
type tensors struct {
	form
	bytes   int64
	options *ort.RunOptions
	inputs  []ort.Value // in the order of Manifest.InputNames
	outputs []ort.Value // in the order of Manifest.Outputs

	image     elements
	window    []float32 // low and high; nil without a window
	output    elements
	scores    []uint8   // classes x height x width; nil unless they are asked for
	judgement []float32 // confidence and known; nil where the graph gives none

	// The elements' memory. ONNX Runtime keeps its addresses between runs, so it
	// is not the garbage collector's.
	memory [][]byte
}

// elements is the memory of a tensor: one of the two is set.
type elements struct {
	uint8   []uint8
	float32 []float32
}

func newTensors(m *model.Manifest, f form) (*tensors, error) {
	t := &tensors{form: f}
	if err := t.allocate(m); err != nil {
		t.destroy()
		return nil, fmt.Errorf("%w: allocate tensors of %d x %d pixels: %w", ErrRuntime, f.size.width, f.size.height, err)
	}
	return t, nil
}

func (t *tensors) allocate(m *model.Manifest) error {
	var err error
	if t.options, err = ort.NewRunOptions(); err != nil {
		return err
	}
	in, image, err := t.tensor(m.Input.Type, ort.NewShape(1, 1, int64(t.size.height), int64(t.size.width)))
	if err != nil {
		return err
	}
	t.inputs, t.image = append(t.inputs, in), image
	if m.Normalisation.Kind == model.NormalisationPercentileWindow {
		in, window, err := t.tensor(model.TypeFloat32, ort.NewShape(2))
		if err != nil {
			return err
		}
		t.inputs, t.window = append(t.inputs, in), window.float32
	}
	if m.Scores != nil {
		in, err := ort.NewTensor(ort.NewShape(1), []bool{t.scored})
		if err != nil {
			return err
		}
		t.inputs = append(t.inputs, in)
	}
	for i, o := range t.outputsOf(m) {
		out, values, err := t.tensor(o.Type, ort.NewShape(o.Shape...))
		if err != nil {
			return err
		}
		t.outputs = append(t.outputs, out)
		switch {
		case i == 0:
			t.output = values
		case o.Type == model.TypeFloat32:
			t.judgement = values.float32
		case t.scored:
			t.scores = values.uint8
		}
	}
	return nil
}

// tensor makes a tensor in memory of its own.
func (t *tensors) tensor(kind string, shape ort.Shape) (ort.Value, elements, error) {
	n := int(shape.FlattenedSize())
	bytes := n
	if kind == model.TypeFloat32 {
		bytes *= 4
	}
	memory, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, elements{}, fmt.Errorf("%d bytes: %w", bytes, err)
	}
	t.memory, t.bytes = append(t.memory, memory), t.bytes+int64(bytes)
	if kind == model.TypeUint8 {
		value, err := ort.NewTensor(shape, memory)
		return value, elements{uint8: memory}, err
	}
	floats := unsafe.Slice((*float32)(unsafe.Pointer(&memory[0])), n)
	value, err := ort.NewTensor(shape, floats)
	return value, elements{float32: floats}, err
}

func (t *tensors) destroy() {
	for _, v := range append(t.inputs, t.outputs...) {
		v.Destroy()
	}
	if t.options != nil {
		t.options.Destroy()
	}
	for _, memory := range t.memory {
		syscall.Munmap(memory)
	}
	*t = tensors{form: t.form}
}

// setImage copies slice to the input's upper left corner and zeros to the rest.
func (t *tensors) setImage(slice *image.Gray) {
	if t.image.uint8 != nil {
		pad(t.image.uint8, t.size, slice)
	} else {
		pad(t.image.float32, t.size, slice)
	}
}

func pad[T uint8 | float32](to []T, s size, slice *image.Gray) {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	bytes, _ := any(to).([]uint8)
	for y := range height {
		from := slice.Pix[y*slice.Stride:][:width]
		row := to[y*s.width:][:s.width]
		if bytes != nil {
			copy(bytes[y*s.width:], from)
		} else {
			for x, v := range from {
				row[x] = T(v)
			}
		}
		clear(row[width:])
	}
	clear(to[height*s.width:])
}

// mask copies the classes of the pixels in r to mask, whose rows begin stride
// elements apart, and returns the largest of them.
func (t *tensors) mask(mask []uint8, stride int, r image.Rectangle) uint8 {
	if t.output.float32 != nil {
		t.argmax(mask, stride, r)
		return 0
	}
	var largest uint8
	for y := range r.Dy() {
		row := mask[y*stride:][:r.Dx()]
		copy(row, t.output.uint8[(r.Min.Y+y)*t.size.width+r.Min.X:])
		for _, v := range row {
			largest = max(largest, v)
		}
	}
	return largest
}

// copyScores copies the scores of the pixels in r to scores, class by class, whose
// rows begin stride elements apart and whose classes begin plane elements apart.
func (t *tensors) copyScores(scores []uint8, stride, plane int, r image.Rectangle) {
	for class := range len(t.scores) / t.size.pixels() {
		from := t.scores[class*t.size.pixels()+r.Min.Y*t.size.width+r.Min.X:]
		for y := range r.Dy() {
			copy(scores[class*plane+y*stride:][:r.Dx()], from[y*t.size.width:])
		}
	}
}

// argmax sets each pixel of mask to the class with the largest score, of equal
// ones to the first.
func (t *tensors) argmax(mask []uint8, stride int, r image.Rectangle) {
	plane := t.size.pixels()
	best := make([]float32, r.Dx())
	for y := range r.Dy() {
		row := mask[y*stride:][:r.Dx()]
		clear(row)
		start := (r.Min.Y+y)*t.size.width + r.Min.X
		copy(best, t.output.float32[start:])
		for class := 1; class*plane < len(t.output.float32); class++ {
			for x, score := range t.output.float32[class*plane+start:][:r.Dx()] {
				if score > best[x] {
					best[x], row[x] = score, uint8(class)
				}
			}
		}
	}
}

// The bounds of what a cache keeps for later runs.
const (
	maxCachedTensors = 8
	maxCachedBytes   = 16 << 20
)

// cache keeps the tensors of the sizes used last.
type cache struct {
	mu    sync.Mutex
	free  []*tensors // the last used at the end; guarded by mu
	bytes int64      // guarded by mu
}

// take returns unused tensors of a form, nil where there are none.
func (c *cache) take(f form) *tensors {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.free) - 1; i >= 0; i-- {
		if t := c.free[i]; t.form == f {
			c.free = append(c.free[:i], c.free[i+1:]...)
			c.bytes -= t.bytes
			return t
		}
	}
	return nil
}

// put keeps t for a later run, and lets go of those unused longest.
func (c *cache) put(t *tensors) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, t)
	c.bytes += t.bytes
	drop := 0
	for len(c.free)-drop > maxCachedTensors || c.bytes > maxCachedBytes {
		c.bytes -= c.free[drop].bytes
		c.free[drop].destroy()
		drop++
	}
	c.free = append(c.free[:0], c.free[drop:]...)
}

// clear lets go of everything.
func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.free {
		t.destroy()
	}
	c.free, c.bytes = nil, 0
}
