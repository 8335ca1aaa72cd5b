package imaging

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"runtime/metrics"
	"strings"
	"testing"
)

// allocated returns the bytes that f takes from the heap.
func allocated(f func()) uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return sample[0].Value.Uint64() - before
}

// jpegHeader is a JPEG of the given size without a single coded pixel.
func jpegHeader(width, height int) []byte {
	return []byte{0xff, 0xd8, 0xff, 0xc0, 0, 11, 8,
		byte(height >> 8), byte(height), byte(width >> 8), byte(width), 1, 1, 0x11, 0,
		0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0}
}

func TestDecodeRefusesBadInputAtNoCost(t *testing.T) {
	grey := func(width, height int) []byte {
		raw := rawPNG{width: width, height: height, depth: 8, sample: pattern(8)}
		return raw.bytes()
	}
	header := func(width, height int) []byte { // PNG header and nothing else
		raw := rawPNG{width: width, height: height, depth: 16, colourType: 6}
		data := grey(1, 1)
		var out bytes.Buffer
		out.WriteString(pngSignature)
		ihdr := []byte{byte(width >> 24), byte(width >> 16), byte(width >> 8), byte(width),
			byte(height >> 24), byte(height >> 16), byte(height >> 8), byte(height), byte(raw.depth), byte(raw.colourType), 0, 0, 0}
		writeChunk(&out, "IHDR", ihdr)
		out.Write(data[33:])
		return out.Bytes()
	}
	scans := append(jpegHeader(64, 64), bytes.Repeat([]byte{0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0}, 100_000)...)
	cases := []struct {
		name   string
		data   []byte
		limits Limits
		want   error
	}{
		{"no bytes", nil, Limits{}, ErrEmpty},
		{"1 GB of zeros", make([]byte, 1<<30), Limits{}, ErrTooManyBytes},
		{"few zeros", make([]byte, 1000), Limits{}, ErrFormat},
		{"text", []byte("<svg/>"), Limits{}, ErrFormat},
		{"GIF", []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), Limits{}, ErrFormat},
		{"one byte above the limit", append(grey(4, 4), 0), Limits{MaxBytes: int64(len(grey(4, 4)))}, ErrTooManyBytes},
		{"PNG of 100,000 x 100,000", header(100_000, 100_000), Limits{}, ErrTooManyPixels},
		{"PNG of 2^31-1 x 2^31-1", header(1<<31-1, 1<<31-1), Limits{}, ErrTooManyPixels},
		{"PNG one row above the limit", grey(10, 11), Limits{MaxPixels: 100}, ErrTooManyPixels},
		{"PNG without pixels", header(0, 5), Limits{}, ErrCorrupt},
		{"PNG of negative size", header(-1, 5), Limits{}, ErrCorrupt},
		{"PNG signature only", []byte(pngSignature), Limits{}, ErrCorrupt},
		{"JPEG of 65,535 x 65,535", jpegHeader(65535, 65535), Limits{}, ErrTooManyPixels},
		{"JPEG without pixels", jpegHeader(0, 5), Limits{}, ErrCorrupt},
		{"JPEG signature only", []byte(jpegSignature), Limits{}, ErrCorrupt},
		{"JPEG of 100,000 scans", scans, Limits{}, ErrTooMuchWork},
		{"lossless JPEG", bytes.Replace(jpegHeader(8, 8), []byte{0xff, 0xc0}, []byte{0xff, 0xc3}, 1), Limits{}, ErrUnsupported},
		{"12-bit JPEG", bytes.Replace(jpegHeader(8, 8), []byte{0, 11, 8}, []byte{0, 11, 12}, 1), Limits{}, ErrUnsupported},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var err error
			cost := allocated(func() { _, _, err = Decode(c.data, c.limits) })
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if cost > 128<<10 {
				t.Errorf("refusing took %d bytes of memory", cost)
			}
		})
	}
}

func TestDecompressionBombsStayBounded(t *testing.T) {
	zeros := strings.Repeat("\x00", 64<<20)
	var deflated bytes.Buffer
	writeDeflated(&deflated, zeros)
	small := rawPNG{width: 4, height: 4, depth: 8, sample: pattern(8)}
	withText, withProfile := small, small
	withText.chunks = [][2]string{{"zTXt", "comment\x00\x00" + deflated.String()}}
	withProfile.chunks = [][2]string{{"iCCP", "profile\x00\x00" + deflated.String()}}
	tooMuch := func() []byte { // header of 4 x 4, pixels of 64 MiB
		data := small.bytes()
		var out bytes.Buffer
		out.Write(data[:33])
		writeChunk(&out, "IDAT", deflated.Bytes())
		writeChunk(&out, "IEND", nil)
		return out.Bytes()
	}()
	cases := []struct {
		name string
		data []byte
		want error
	}{
		{"text chunk", withText.bytes(), nil},
		{"colour profile", withProfile.bytes(), nil},
		{"pixels", tooMuch, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var err error
			cost := allocated(func() { _, _, err = Decode(c.data, Limits{}) })
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if cost > 256<<10 {
				t.Errorf("took %d bytes of memory", cost)
			}
		})
	}
}

func TestAnImageCutShortIsCorrupt(t *testing.T) {
	var asJPEG bytes.Buffer
	if err := jpeg.Encode(&asJPEG, brain(40, 40), nil); err != nil {
		t.Fatal(err)
	}
	asPNG := encodePNG(t, brain(40, 40))
	for name, data := range map[string][]byte{"PNG": asPNG, "JPEG": asJPEG.Bytes()} {
		for length := 9; length < len(data)-12; length += 7 {
			_, _, err := Decode(data[:length], Limits{})
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%s cut to %d of %d bytes: error %v", name, length, len(data), err)
			}
		}
	}
}

func TestDamagedPNGIsCorrupt(t *testing.T) {
	data := encodePNG(t, brain(40, 40))
	for at := 16; at < len(data)-12; at += 5 { // what follows the pixels does not matter
		damaged := bytes.Clone(data)
		damaged[at] ^= 0x10
		if _, _, err := Decode(damaged, Limits{}); err == nil {
			t.Errorf("a changed byte %d of %d went unnoticed", at, len(data))
		}
	}
}

// FuzzDecode holds Decode to its bound on memory and to a packed result.
func FuzzDecode(f *testing.F) {
	for _, kind := range [][2]int{{0, 1}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {4, 8}, {6, 8}, {6, 16}} {
		raw := rawPNG{width: 9, height: 5, colourType: kind[0], depth: kind[1], interlaced: kind[1] == 8, sample: pattern(kind[1])}
		f.Add(raw.bytes())
	}
	raw := rawPNG{width: 9, height: 5, colourType: 3, depth: 2, sample: pattern(2), chunks: [][2]string{{"PLTE", "abcdefghijkl"}}}
	f.Add(raw.bytes())
	for _, p := range []image.Image{brain(20, 12), asRGBA(brain(12, 20))} {
		var data bytes.Buffer
		if err := jpeg.Encode(&data, p, nil); err != nil {
			f.Fatal(err)
		}
		f.Add(data.Bytes())
	}
	for _, name := range fixtures {
		f.Add(readFixture(f, name))
	}
	for kind, raw := range rawKinds() {
		for _, c := range tolerated {
			if c.kinds&kind != 0 {
				f.Add(append(join(c.edit(parts(f, raw.bytes()))), c.tail...))
			}
		}
	}
	f.Add([]byte("\xff\xd8" + jpegSegment(0xfe, "\xff\xda\xff\xda") + string(readFixture(f, "grey_progressive.jpg")[2:]) + "\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		limits := Limits{MaxBytes: 1 << 20, MaxPixels: 1 << 16}
		var slice *image.Gray
		var info Info
		var err error
		cost := allocated(func() { slice, info, err = Decode(data, limits) })
		// 16 bytes a pixel, twice where a JPEG's blocks reach beyond its edges,
		// and the decompressor's own state.
		if cost > 16*(1<<16)*2+1<<20 {
			t.Errorf("took %d bytes of memory", cost)
		}
		if err != nil {
			return
		}
		if slice.Stride != info.Width || len(slice.Pix) != info.Width*info.Height || slice.Rect != image.Rect(0, 0, info.Width, info.Height) {
			t.Errorf("not packed: %d bytes, stride %d, %v for %+v", len(slice.Pix), slice.Stride, slice.Rect, info)
		}
		if int64(len(slice.Pix)) > limits.MaxPixels {
			t.Errorf("%d pixels are above the limit", len(slice.Pix))
		}
	})
}
