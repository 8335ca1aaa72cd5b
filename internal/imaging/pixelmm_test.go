package imaging

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"testing"
)

// withChunk puts a chunk behind the header of a PNG.
func withChunk(t *testing.T, kind string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2))); err != nil {
		t.Fatal(err)
	}
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), kind...)
	chunk = append(chunk, content...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = len(pngSignature) + 25
	return append(append(bytes.Clone(b.Bytes()[:header]), chunk...), b.Bytes()[header:]...)
}

// withDensity puts a JFIF header at the start of a JPEG.
func withDensity(t *testing.T, unit byte, across, down uint16) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 2)), nil); err != nil {
		t.Fatal(err)
	}
	header := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01"), unit)
	header = binary.BigEndian.AppendUint16(header, across)
	header = append(binary.BigEndian.AppendUint16(header, down), 0, 0)
	return append(header, b.Bytes()[2:]...)
}

func TestTheSizeOfAPixelIsReadAsTheFileStatesIt(t *testing.T) {
	damaged := withChunk(t, "pHYs", []byte{0, 0, 4, 0, 0, 0, 4, 0, 1})
	damaged[len(pngSignature)+25+8] ^= 1
	for _, tt := range []struct {
		name         string
		file         []byte
		across, down float64
	}{
		{"pHYs", withChunk(t, "pHYs", []byte{0, 0, 7, 0xd0, 0, 0, 3, 0xe8, 1}), 0.5, 1},
		{"pHYs without a unit", withChunk(t, "pHYs", []byte{0, 0, 7, 0xd0, 0, 0, 3, 0xe8, 0}), 0, 0},
		{"pHYs of nothing", withChunk(t, "pHYs", make([]byte, 9)), 0, 0},
		{"pHYs cut short", withChunk(t, "pHYs", []byte{0, 0, 7, 0xd0}), 0, 0},
		{"damaged pHYs", damaged, 0, 0},
		{"no pHYs", withChunk(t, "tEXt", []byte("a\x00b")), 0, 0},
		{"JFIF in inches", withDensity(t, 1, 254, 127), 0.1, 0.2},
		{"JFIF in centimetres", withDensity(t, 2, 10, 20), 1, 0.5},
		{"JFIF without a unit", withDensity(t, 0, 1, 1), 0, 0},
		{"JFIF of nothing", withDensity(t, 1, 0, 0), 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, info, err := Decode(tt.file, Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(info.AcrossMM-tt.across) > 1e-9 || math.Abs(info.DownMM-tt.down) > 1e-9 {
				t.Errorf("%g x %g mm, want %g x %g", info.AcrossMM, info.DownMM, tt.across, tt.down)
			}
		})
	}
}
