package imaging

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// The colour types of PNG.
const (
	pngGrey      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGreyAlpha = 4
	pngRGBA      = 6
)

// rawPNG writes the kinds of PNG that image/png reads but does not write.
type rawPNG struct {
	width, height int
	colourType    int // 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA
	depth         int
	interlaced    bool
	// sample returns channel c of a pixel, at most 1<<depth - 1.
	sample func(x, y, c int) int
	// chunks go between IHDR and IDAT, as pairs of type and content.
	chunks [][2]string
	// after goes between IDAT and IEND.
	after [][2]string
}

func (r rawPNG) channels() int { return map[int]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[r.colourType] }

func (r rawPNG) bytes() []byte {
	var out bytes.Buffer
	out.WriteString(pngSignature)
	header := binary.BigEndian.AppendUint32(nil, uint32(r.width))
	header = binary.BigEndian.AppendUint32(header, uint32(r.height))
	interlace := byte(0)
	if r.interlaced {
		interlace = 1
	}
	writeChunk(&out, "IHDR", append(header, byte(r.depth), byte(r.colourType), 0, 0, interlace))
	for _, c := range r.chunks {
		writeChunk(&out, c[0], []byte(c[1]))
	}
	var body bytes.Buffer
	deflate := zlib.NewWriter(&body)
	r.writeRows(deflate)
	_ = deflate.Close()
	writeChunk(&out, "IDAT", body.Bytes())
	for _, c := range r.after {
		writeChunk(&out, c[0], []byte(c[1]))
	}
	writeChunk(&out, "IEND", nil)
	return out.Bytes()
}

func (r rawPNG) writeRows(w io.Writer) {
	passes := [][4]int{{0, 0, 1, 1}} // x, y, step of x, step of y
	if r.interlaced {
		passes = [][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}
	}
	for _, p := range passes {
		for y := p[1]; y < r.height; y += p[3] {
			row, filled := []byte{0}, 0
			for x := p[0]; x < r.width; x += p[2] {
				for c := range r.channels() {
					v := r.sample(x, y, c)
					if r.depth == 16 {
						row = append(row, byte(v>>8), byte(v))
						continue
					}
					if filled%8 == 0 {
						row = append(row, 0)
					}
					row[len(row)-1] |= byte(v << (8 - r.depth - filled%8))
					filled += r.depth
				}
			}
			if len(row) > 1 {
				_, _ = w.Write(row)
			}
		}
	}
}

func writeDeflated(w io.Writer, content string) {
	deflate := zlib.NewWriter(w)
	_, _ = io.WriteString(deflate, content)
	_ = deflate.Close()
}

func writeChunk(out *bytes.Buffer, kind string, content []byte) {
	_ = binary.Write(out, binary.BigEndian, uint32(len(content)))
	start := out.Len()
	out.WriteString(kind)
	out.Write(content)
	_ = binary.Write(out, binary.BigEndian, crc32.ChecksumIEEE(out.Bytes()[start:]))
}
