package pngfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/adler32"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// inflaters keeps the state of decompressors, some 40 KB each, between images.
var inflaters sync.Pool // of io.ReadCloser that are zlib.Resetter

// pixelReader reads the filtered rows of a PNG.
type pixelReader struct{ inflater io.ReadCloser }

func (p *File) pixels() (pixelReader, error) {
	var source io.Reader
	if first, next, err := nextChunk(p.data); err == nil && len(next) == 0 {
		source = bytes.NewReader(first.content)
	} else {
		source = bufio.NewReaderSize(&dataReader{rest: p.data}, 32<<10)
	}
	inflater, ok := inflaters.Get().(io.ReadCloser)
	var err error
	if ok {
		err = inflater.(zlib.Resetter).Reset(source, nil)
	} else {
		inflater, err = zlib.NewReader(source)
	}
	switch {
	case err == nil:
		return pixelReader{inflater}, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return pixelReader{}, fmt.Errorf("%w: the PNG has no pixel data", ErrCorrupt)
	}
	return pixelReader{}, fmt.Errorf("%w: the pixel data of the PNG is not a zlib stream", ErrCorrupt)
}

// emptyStream is a zlib stream of nothing.
const emptyStream = "\x78\x01\x01\x00\x00\xff\xff\x00\x00\x00\x01"

func (r pixelReader) close() {
	// Another source, so that the pool does not keep the file.
	if r.inflater.(zlib.Resetter).Reset(strings.NewReader(emptyStream), nil) == nil {
		inflaters.Put(r.inflater)
	}
}

// read fills b.
func (r pixelReader) read(b []byte) error {
	_, err := io.ReadFull(r.inflater, b)
	return r.failure(err)
}

// end compares the checksum of the stream. What goes on after the pixels is let
// be, checksum included, as libpng lets it.
func (r pixelReader) end() error {
	var more [1]byte
	if _, err := r.inflater.Read(more[:]); err != nil && err != io.EOF {
		return r.failure(err)
	}
	return nil
}

func (r pixelReader) failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the PNG has less pixel data than its size needs", ErrCorrupt)
	case errors.Is(err, zlib.ErrChecksum):
		return fmt.Errorf("%w: the checksum of the PNG's pixels is wrong", ErrCorrupt)
	}
	return fmt.Errorf("%w: the pixel data of the PNG cannot be inflated: %w", ErrCorrupt, err)
}

// dataReader reads the contents of a run of IDAT chunks.
type dataReader struct{ rest, content []byte }

func (d *dataReader) Read(b []byte) (int, error) {
	for len(d.content) == 0 {
		if len(d.rest) == 0 {
			return 0, io.EOF
		}
		c, next, err := nextChunk(d.rest)
		if err != nil {
			return 0, err
		}
		d.content, d.rest = c.content, next
	}
	n := copy(b, d.content)
	d.content = d.content[n:]
	return n, nil
}

// decodeGrey reads what slices mostly are: 8-bit grey, row after row, straight
// into the slice.
func (p *File) decodeGrey() (*image.Gray, error) {
	rows, err := p.pixels()
	if err != nil {
		return nil, err
	}
	defer rows.close()
	out := image.NewGray(image.Rect(0, 0, p.width, p.height))
	above := make([]uint8, p.width)
	var filter [1]byte
	for y := range p.height {
		row := out.Pix[y*p.width:][:p.width:p.width]
		if err := rows.read(filter[:]); err != nil {
			return nil, err
		}
		if err := rows.read(row); err != nil {
			return nil, err
		}
		if err := unfilter(filter[0], row, above); err != nil {
			return nil, err
		}
		above = row
	}
	return out, rows.end()
}

// unfilter undoes the filter of a row of single bytes; above is the row before,
// as long, or zeros.
func unfilter(filter byte, row, above []uint8) error {
	above = above[:len(row)]
	var left uint8
	switch filter {
	case 0:
	case 1:
		for x, v := range row {
			left += v
			row[x] = left
		}
	case 2:
		for x, v := range above {
			row[x] += v
		}
	case 3:
		for x, v := range above {
			left = row[x] + uint8((int(left)+int(v))/2)
			row[x] = left
		}
	case 4:
		// Paeth's predictor: of left, above and corner the nearest to
		// left + above - corner; written without branches, which noise would
		// make the processor guess wrongly at every other pixel.
		var left, corner int
		for x, a := range above {
			up := int(a)
			toLeft, toUp := up-corner, left-corner
			toCorner := magnitude(toLeft + toUp)
			toLeft, toUp = magnitude(toLeft), magnitude(toUp)
			nearest := min(toLeft, toUp, toCorner)
			predicted := corner
			if toUp == nearest {
				predicted = up
			}
			if toLeft == nearest {
				predicted = left
			}
			left, corner = (int(row[x])+predicted)&0xff, up
			row[x] = uint8(left)
		}
	default:
		return fmt.Errorf("%w: a row of the PNG has a filter that does not exist", ErrCorrupt)
	}
	return nil
}

func magnitude(n int) int {
	sign := n >> 63
	return (n ^ sign) - sign
}

// decodeOther has package image/png read the pixels, from a PNG that holds
// nothing but what they need, no longer compressed.
func (p *File) decodeOther() (image.Image, error) {
	rows, err := p.pixels()
	if err != nil {
		return nil, err
	}
	defer rows.close()
	plain := &plainPNG{rows: rows, left: p.rawBytes(), sum: adler32.New()}
	plain.begin(p)
	picture, err := png.Decode(plain)
	if plain.err != nil {
		return nil, plain.err
	}
	return picture, err
}

// rawBytes is the length of the filtered rows, a filter byte each.
func (p *File) rawBytes() int64 {
	bits := int64(p.channels() * p.depth)
	pass := func(x, y, stepX, stepY int) int64 {
		columns, rows := int64(p.width-x+stepX-1)/int64(stepX), int64(p.height-y+stepY-1)/int64(stepY)
		if columns <= 0 || rows <= 0 {
			return 0
		}
		return rows * (1 + (columns*bits+7)/8)
	}
	if !p.interlaced {
		return pass(0, 0, 1, 1)
	}
	return pass(0, 0, 8, 8) + pass(4, 0, 8, 8) + pass(0, 4, 4, 8) + pass(2, 0, 4, 4) + pass(0, 2, 2, 4) + pass(1, 0, 2, 2) + pass(0, 1, 1, 2)
}

// plainPNG is a PNG as a stream: the header, palette and transparency of a file
// and its rows in deflate blocks that are stored, not compressed.
type plainPNG struct {
	rows  pixelReader
	left  int64 // of the rows, in bytes
	sum   hash.Hash32
	block []byte // a stored block and what belongs to it
	piece []byte // a chunk or more
	ready []byte // what of the piece has not been read
	ended bool
	err   error // of rows
}

// storedBytes is the most that a stored block holds.
const storedBytes = 1<<16 - 1

func (s *plainPNG) begin(p *File) {
	s.ready = appendChunk([]byte(Signature), "IHDR", p.ihdr)
	if p.palette != nil {
		s.ready = appendChunk(s.ready, "PLTE", p.palette)
	}
	if p.transparency != nil {
		s.ready = appendChunk(s.ready, "tRNS", p.transparency)
	}
	s.ready = appendChunk(s.ready, "IDAT", []byte{0x78, 0x01})
}

func (s *plainPNG) Read(b []byte) (int, error) {
	if len(s.ready) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if s.err == nil {
			s.err = s.next()
		}
		if s.err != nil {
			return 0, s.err
		}
	}
	n := copy(b, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// next makes the next piece: a chunk with a stored block.
func (s *plainPNG) next() error {
	n := int(min(s.left, storedBytes))
	s.left -= int64(n)
	if s.block == nil {
		s.block = make([]byte, 5+n, 5+n+4)
	}
	content := s.block[:5+n]
	if err := s.rows.read(content[5:]); err != nil {
		return err
	}
	s.sum.Write(content[5:])
	binary.LittleEndian.PutUint16(content[1:], uint16(n))
	binary.LittleEndian.PutUint16(content[3:], ^uint16(n))
	if s.left == 0 {
		if err := s.rows.end(); err != nil {
			return err
		}
		content[0] = 1 // the last block
		content = binary.BigEndian.AppendUint32(content, s.sum.Sum32())
	}
	s.piece = appendChunk(s.piece[:0], "IDAT", content)
	if s.left == 0 {
		s.piece, s.ended = appendChunk(s.piece, "IEND", nil), true
	}
	s.ready = s.piece
	return nil
}

// appendChunk appends a chunk of a PNG.
func appendChunk(to []byte, kind string, content []byte) []byte {
	to = binary.BigEndian.AppendUint32(to, uint32(len(content)))
	start := len(to)
	to = append(append(to, kind...), content...)
	return binary.BigEndian.AppendUint32(to, crc32.ChecksumIEEE(to[start:]))
}
