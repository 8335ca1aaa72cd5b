// Package pngfile reads PNG files as libpng does, with the damage that it only
// warns of: it finds the chunks that the pixels need, passes over all others, and
// says what is wrong where it refuses. Slices, which are mostly 8-bit grey, it
// reads itself; for every other kind it has package image/png read the pixels.
//
// It knows no limits and no grey values. Package imaging calls it.
package pngfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
)

// Signature is what every PNG begins with.
const Signature = "\x89PNG\r\n\x1a\n"

// Errors by which a caller decides. Every error of this package wraps one of
// them, or is one of image/png.
var (
	// ErrUnsupported: a kind of PNG that is not read.
	ErrUnsupported = errors.New("this kind of image is not supported")
	// ErrCorrupt: the image breaks the rules of PNG or ends early.
	ErrCorrupt = errors.New("the image is corrupt or cut short")
)

// The colour types of PNG.
const (
	grey      = 0
	rgb       = 2
	palette   = 3
	greyAlpha = 4
	rgba      = 6
)

// File is what the pixels of a PNG need of it. Everything else in the file is
// passed over, as libpng does: chunks whose checksum is wrong but which the
// pixels do not need, a palette in a grey image, transparency in one that has
// alpha, and whatever follows the pixels, the end mark included.
type File struct {
	file          []byte
	ihdr          []byte // the content of IHDR, 13 bytes
	width, height int
	depth         int // bits of a sample
	colourType    int
	interlaced    bool
	palette       []byte    // the content of PLTE in an image with a palette, otherwise nil
	perMetre      [2]uint32 // pixels across and down, as pHYs states them; 0 for none
	transparency  []byte    // the content of tRNS where there is one that counts, otherwise nil
	data          []byte    // the run of IDAT chunks, lengths, names and checksums included
}

// Open reads the header of a file that begins with Signature: 8 bytes of it are
// taken as read.
func Open(file []byte) (*File, error) {
	p := &File{file: file}
	c, _, err := nextChunk(file[len(Signature):])
	if err != nil {
		return nil, err
	}
	if err := p.setHeader(c); err != nil {
		return nil, err
	}
	return p, nil
}

// Size returns width and height in pixels.
func (p *File) Size() (width, height int) { return p.width, p.height }

// Bits returns the bits of a sample as decoded: 8 or 16.
func (p *File) Bits() int { return max(8, p.depth) }

// Colour reports whether the file stores colour.
func (p *File) Colour() bool {
	return p.colourType == rgb || p.colourType == palette || p.colourType == rgba
}

// PixelMM returns the distances in mm between columns and between rows that the
// file states, 0 where it states none. Survey comes before.
func (p *File) PixelMM() (across, down float64) {
	if p.perMetre[0] == 0 || p.perMetre[1] == 0 {
		return 0, 0
	}
	return 1000 / float64(p.perMetre[0]), 1000 / float64(p.perMetre[1])
}

// Survey finds the chunks and compares their checksums; Decode needs it. It allocates nothing that grows with the file.
func (p *File) Survey() error {
	_, rest, _ := nextChunk(p.file[len(Signature):]) // the header
	start := 0
	for {
		c, next, err := nextChunk(rest)
		if err != nil {
			if p.data != nil && !c.is("IDAT") {
				return nil
			}
			return err
		}
		switch {
		case c.is("IDAT"):
			if !c.intact() {
				return fmt.Errorf("%w: the checksum of a PNG's pixel data is wrong", ErrCorrupt)
			}
			if p.data == nil {
				start = len(p.file) - len(rest)
			}
			p.data = p.file[start : len(p.file)-len(next)]
		case p.data != nil: // whatever follows
			return nil
		case c.is("IEND"):
			return fmt.Errorf("%w: the PNG has no pixel data", ErrCorrupt)
		case c.is("IHDR"):
			return fmt.Errorf("%w: the PNG has two headers", ErrCorrupt)
		case c.is("PLTE") && p.colourType == palette:
			if err := p.setPalette(c); err != nil {
				return err
			}
		case c.is("pHYs") && len(c.content) == 9 && c.content[8] == 1 && c.intact():
			p.perMetre = [2]uint32{binary.BigEndian.Uint32(c.content), binary.BigEndian.Uint32(c.content[4:])}
		case c.is("tRNS") && p.transparency == nil && c.intact() && p.takesTransparency(len(c.content)):
			p.transparency = c.content
		}
		rest = next
	}
}

// chunk is one chunk of a PNG.
type chunk struct {
	kind    []byte // four letters
	content []byte
	summed  []byte // kind and content
	sum     uint32 // the checksum that the file gives
}

func (c chunk) is(kind string) bool { return string(c.kind) == kind }

// intact reports whether the chunk has the checksum that the file gives.
func (c chunk) intact() bool { return crc32.ChecksumIEEE(c.summed) == c.sum }

// nextChunk splits the first chunk from rest. Where that is cut short, the error
// comes with the chunk's kind as far as that can be read.
func nextChunk(rest []byte) (c chunk, next []byte, err error) {
	if len(rest) >= 8 {
		c.kind = rest[4:8]
	}
	if len(rest) < 12 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-12) {
		return c, nil, fmt.Errorf("%w: the PNG ends inside a chunk", ErrCorrupt)
	}
	end := 8 + int(binary.BigEndian.Uint32(rest))
	c.content, c.summed, c.sum = rest[8:end:end], rest[4:end], binary.BigEndian.Uint32(rest[end:])
	return c, rest[end+4:], nil
}

func (p *File) setHeader(c chunk) error {
	if c.is("CgBI") {
		return fmt.Errorf("%w: PNG in Apple's own variant (CgBI)", ErrUnsupported)
	}
	if !c.is("IHDR") || len(c.content) != 13 {
		return fmt.Errorf("%w: the PNG does not begin with its header", ErrCorrupt)
	}
	if !c.intact() {
		return fmt.Errorf("%w: the checksum of the PNG's header is wrong", ErrCorrupt)
	}
	width, height := binary.BigEndian.Uint32(c.content), binary.BigEndian.Uint32(c.content[4:])
	if width == 0 || height == 0 || width > 1<<31-1 || height > 1<<31-1 {
		return fmt.Errorf("%w: it has no pixels", ErrCorrupt)
	}
	p.ihdr, p.width, p.height = c.content, int(width), int(height)
	p.depth, p.colourType, p.interlaced = int(c.content[8]), int(c.content[9]), c.content[12] == 1
	if p.channels() == 0 || p.depth == 0 || p.depth > 16 {
		return fmt.Errorf("%w: the PNG has a header without meaning", ErrCorrupt)
	}
	return nil
}

func (p *File) setPalette(c chunk) error {
	if p.palette != nil {
		return fmt.Errorf("%w: the PNG has two palettes", ErrCorrupt)
	}
	if n := len(c.content); !c.intact() || n == 0 || n%3 != 0 || n > 3*256 {
		return fmt.Errorf("%w: the palette of the PNG is damaged", ErrCorrupt)
	}
	p.palette = c.content[:min(len(c.content), 3<<p.depth)]
	return nil
}

// takesTransparency reports whether a tRNS chunk of n bytes belongs here.
func (p *File) takesTransparency(n int) bool {
	switch p.colourType {
	case grey:
		return n == 2
	case rgb:
		return n == 6
	case palette:
		return n > 0 && 3*n <= len(p.palette)
	}
	return false
}

// channels is the number of samples of a pixel, 0 where the colour type is none.
func (p *File) channels() int {
	switch p.colourType {
	case grey, palette:
		return 1
	case greyAlpha:
		return 2
	case rgb:
		return 3
	case rgba:
		return 4
	}
	return 0
}

// PixelBytes is the memory in bytes that Decode takes for a pixel.
func (p *File) PixelBytes() int {
	bytes := 4
	switch {
	case p.colourType == palette, p.colourType == grey && p.transparency == nil:
		bytes = 1
	}
	if p.depth == 16 {
		bytes *= 2
	}
	if p.interlaced {
		bytes *= 2 // the passes, and the picture of them
	}
	return bytes
}

// Decode reads the pixels, in one of the types of package image/png.
func (p *File) Decode() (image.Image, error) {
	if p.colourType == grey && p.depth == 8 && !p.interlaced && p.transparency == nil {
		return p.decodeGrey()
	}
	return p.decodeOther()
}
