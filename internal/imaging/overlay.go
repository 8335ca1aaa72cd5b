package imaging

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"sync"
)

// Palette gives each class its colour by index. Class 0 is the background and
// is never drawn, nor is a class beyond the palette's end or with alpha 0;
// other values of alpha count as opaque.
type Palette []color.RGBA

// DefaultOpacity is that of class colours over the slice.
const DefaultOpacity = 0.45

// OverlayOptions says how EncodeOverlay draws. The zero value is ready to use.
type OverlayOptions struct {
	// Opacity of the class colours over the slice, above 0 and at most 1;
	// default 0.45.
	Opacity float64
}

// bufferPool keeps the compressor's state, some 1.2 MB, between pictures.
type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() *png.EncoderBuffer {
	buffer, _ := b.pool.Get().(*png.EncoderBuffer)
	return buffer
}

func (b *bufferPool) Put(buffer *png.EncoderBuffer) { b.pool.Put(buffer) }

var overlayEncoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: new(bufferPool)}

// EncodeOverlay writes an RGB PNG of the slice with the class colours blended
// over it. Pixels of the background keep their grey. mask holds one class a
// pixel in the order of slice.Pix, which is packed as Decode returns it; an
// error wraps ErrMaskSize where the sizes differ, otherwise it is w's.
func EncodeOverlay(w io.Writer, slice *image.Gray, mask []uint8, palette Palette, options OverlayOptions) error {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if err := checkSlice(slice, mask); err != nil {
		return fmt.Errorf("encode overlay: %w", err)
	}
	blend := newBlender(palette, options.Opacity)
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for i, grey := range slice.Pix[:width*height] {
		c := blend.at(grey, mask[i])
		p := picture.Pix[4*i : 4*i+4 : 4*i+4]
		p[0], p[1], p[2], p[3] = c.R, c.G, c.B, 0xff
	}
	if err := overlayEncoder.Encode(w, picture); err != nil {
		return fmt.Errorf("encode overlay: %w", err)
	}
	return nil
}

func checkSlice(slice *image.Gray, mask []uint8) error {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if slice.Stride != width || len(slice.Pix) < width*height {
		return fmt.Errorf("%w: the slice is not packed", ErrMaskSize)
	}
	return checkMask(mask, width, height)
}

// blender holds what every class adds to a pixel, in 1/256.
type blender struct {
	drawn   [256]bool
	colours [256][3]uint32 // colour times opacity
	keep    uint32         // share of the grey that stays
}

func newBlender(palette Palette, opacity float64) *blender {
	if !(opacity > 0) {
		opacity = DefaultOpacity
	}
	share := uint32(min(opacity, 1)*256 + 0.5)
	b := &blender{keep: 256 - share}
	for class, c := range palette[:min(len(palette), 256)] {
		b.drawn[class] = class != 0 && c.A != 0
		b.colours[class] = [3]uint32{share * uint32(c.R), share * uint32(c.G), share * uint32(c.B)}
	}
	return b
}

func (b *blender) at(grey, class uint8) color.RGBA {
	if !b.drawn[class] {
		return color.RGBA{grey, grey, grey, 0xff}
	}
	base := b.keep*uint32(grey) + 128
	c := &b.colours[class]
	return color.RGBA{uint8((base + c[0]) >> 8), uint8((base + c[1]) >> 8), uint8((base + c[2]) >> 8), 0xff}
}
