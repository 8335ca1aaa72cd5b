package imaging

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// maskEncoder writes PNG in the one form that masks have: 8-bit grey, rows
// without a filter. Package image/png tries five filters on every row, which
// takes five times as long and gains nothing on areas of one value.
type maskEncoder struct {
	out        bytes.Buffer
	row        []byte // the filter's number, then the pixels
	compressor *zlib.Writer
}

// maskLevel makes the smallest masks of the levels that take half the time of
// compress/zlib's fastest.
const maskLevel = 4

// maskEncoders keeps the compressors' state, some 700 KB each, between masks.
var maskEncoders = sync.Pool{New: func() any {
	compressor, err := zlib.NewWriterLevel(io.Discard, maskLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &maskEncoder{compressor: compressor}
}}

// maskHeader is the header after width and height: 8 bits, grey, the only
// compression and filter method there are, not interlaced.
const maskHeader = "\x08\x00\x00\x00\x00"

// EncodeMask writes mask, one class a pixel row by row, as an 8-bit greyscale
// PNG whose pixel values are the classes themselves. An error wraps ErrMaskSize
// where mask does not hold width x height values, otherwise it is w's.
func EncodeMask(w io.Writer, mask []uint8, width, height int) error {
	if err := checkMask(mask, width, height); err != nil {
		return fmt.Errorf("encode mask: %w", err)
	}
	e := maskEncoders.Get().(*maskEncoder)
	defer maskEncoders.Put(e)
	e.out.Reset()
	if err := e.encode(mask, width, height); err != nil {
		return fmt.Errorf("encode mask: %w", err)
	}
	if _, err := w.Write(e.out.Bytes()); err != nil {
		return fmt.Errorf("encode mask: %w", err)
	}
	return nil
}

func (e *maskEncoder) encode(mask []uint8, width, height int) error {
	e.out.WriteString(pngSignature)
	header := e.begin("IHDR")
	var size [8]byte
	binary.BigEndian.PutUint32(size[:4], uint32(width))
	binary.BigEndian.PutUint32(size[4:], uint32(height))
	e.out.Write(size[:])
	e.out.WriteString(maskHeader)
	e.end(header)

	data := e.begin("IDAT")
	e.compressor.Reset(&e.out)
	e.row = append(e.row[:0], 0) // no filter
	for y := range height {
		e.row = append(e.row[:1], mask[y*width:][:width]...)
		if _, err := e.compressor.Write(e.row); err != nil {
			return err
		}
	}
	if err := e.compressor.Close(); err != nil {
		return err
	}
	e.end(data)
	e.end(e.begin("IEND"))
	return nil
}

// begin starts a chunk and returns where it is.
func (e *maskEncoder) begin(kind string) (start int) {
	start = e.out.Len()
	e.out.WriteString("\x00\x00\x00\x00") // the length, set by end
	e.out.WriteString(kind)
	return start
}

// end completes the chunk that begins at start.
func (e *maskEncoder) end(start int) {
	chunk := e.out.Bytes()[start:]
	binary.BigEndian.PutUint32(chunk, uint32(len(chunk)-8))
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE(chunk[4:]))
	e.out.Write(sum[:])
}

func checkMask(mask []uint8, width, height int) error {
	if width <= 0 || height <= 0 || len(mask) != width*height {
		return fmt.Errorf("%w: %d values for %d x %d", ErrMaskSize, len(mask), width, height)
	}
	return nil
}
