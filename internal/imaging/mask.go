package imaging

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"sync"
)

// bufferPool keeps the compressor's state, some 1.2 MB, between pictures.
type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() *png.EncoderBuffer {
	buffer, _ := b.pool.Get().(*png.EncoderBuffer)
	return buffer
}

func (b *bufferPool) Put(buffer *png.EncoderBuffer) { b.pool.Put(buffer) }

var encoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: new(bufferPool)}

// EncodeMask writes mask, one class a pixel row by row, as an 8-bit greyscale
// PNG whose pixel values are the classes themselves. An error wraps ErrMaskSize
// where mask does not hold width x height values, otherwise it is w's.
func EncodeMask(w io.Writer, mask []uint8, width, height int) error {
	if err := checkMask(mask, width, height); err != nil {
		return fmt.Errorf("encode mask: %w", err)
	}
	picture := image.Gray{Pix: mask, Stride: width, Rect: image.Rect(0, 0, width, height)}
	if err := encoder.Encode(w, &picture); err != nil {
		return fmt.Errorf("encode mask: %w", err)
	}
	return nil
}

func checkMask(mask []uint8, width, height int) error {
	if width <= 0 || height <= 0 || len(mask) != width*height {
		return fmt.Errorf("%w: %d values for %d x %d", ErrMaskSize, len(mask), width, height)
	}
	return nil
}
