package imaging

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// part is a chunk as it stands in a file: its checksum may be wrong.
type part struct {
	kind    string
	content []byte
	broken  bool // the checksum
}

func parts(t testing.TB, file []byte) (list []part) {
	t.Helper()
	for rest := file[len(pngSignature):]; len(rest) > 0; {
		end := 8 + binary.BigEndian.Uint32(rest)
		list, rest = append(list, part{kind: string(rest[4:8]), content: rest[8:end]}), rest[end+4:]
	}
	return list
}

func join(list []part) []byte {
	out := bytes.NewBufferString(pngSignature)
	for _, p := range list {
		writeChunk(out, p.kind, p.content)
		if p.broken {
			out.Bytes()[out.Len()-1] ^= 0x55
		}
	}
	return out.Bytes()
}

// before puts p in front of the first chunk of that kind.
func before(kind string, p part) func([]part) []part {
	return func(list []part) (out []part) {
		done := false
		for _, c := range list {
			if c.kind == kind && !done {
				out, done = append(out, p), true
			}
			out = append(out, c)
		}
		return out
	}
}

// change edits the content of all chunks of that kind.
func change(kind string, edit func([]byte) []byte) func([]part) []part {
	return func(list []part) (out []part) {
		for _, c := range list {
			if c.kind == kind {
				c.content = edit(bytes.Clone(c.content))
			}
			out = append(out, c)
		}
		return out
	}
}

// split cuts the pixel data into chunks of n bytes, an empty one after each.
func split(n int) func([]part) []part {
	return func(list []part) (out []part) {
		for _, c := range list {
			if c.kind != "IDAT" {
				out = append(out, c)
				continue
			}
			for rest := c.content; len(rest) > 0; rest = rest[min(n, len(rest)):] {
				out = append(out, part{kind: "IDAT", content: rest[:min(n, len(rest))]}, part{kind: "IDAT"})
			}
		}
		return out
	}
}

func without(kind string) func([]part) []part {
	return func(list []part) (out []part) {
		for _, c := range list {
			if c.kind != kind {
				out = append(out, c)
			}
		}
		return out
	}
}

const (
	onGrey = 1 << iota
	onPalette
	onGreyAlpha
	onColour
	onAll = onGrey | onPalette | onGreyAlpha | onColour
)

// tolerated are files whose pixels libpng 1.6 reads, with a warning or without.
var tolerated = []struct {
	name  string
	kinds int
	edit  func([]part) []part
	tail  string // after the file
}{
	{"a text chunk with a wrong checksum", onAll, before("IDAT", part{"tEXt", []byte("a\x00b"), true}), ""},
	{"a gamma chunk with a wrong checksum", onAll, before("IDAT", part{"gAMA", []byte{0, 0, 0xb1, 0x8f}, true}), ""},
	{"a time chunk of another length, with a wrong checksum", onAll, before("IDAT", part{"tIME", []byte{1}, true}), ""},
	{"a private chunk with a wrong checksum", onAll, before("IDAT", part{"vpAg", []byte("private"), true}), ""},
	{"a wrong checksum after the pixels", onAll, before("IEND", part{"eXIf", []byte("MM"), true}), ""},
	{"no end mark", onAll, without("IEND"), ""},
	{"zeros for an end mark", onAll, without("IEND"), strings.Repeat("\x00", 100)},
	{"a chunk cut short after the pixels", onAll, without("IEND"), "\x00\x00\x10\x00tEXtComm"},
	{"an end mark with a wrong checksum", onAll, func(list []part) []part { list[len(list)-1].broken = true; return list }, ""},
	{"bytes after the end mark", onAll, without("none"), "bytes\x00\x01"},
	{"a palette", onGrey | onGreyAlpha | onColour, before("IDAT", part{"PLTE", make([]byte, 768), false}), ""},
	{"a palette of impossible length", onGrey | onGreyAlpha | onColour, before("IDAT", part{"PLTE", make([]byte, 7), false}), ""},
	{"transparency beside alpha", onGreyAlpha, before("IDAT", part{"tRNS", make([]byte, 2), false}), ""},
	{"transparency of another length", onGrey | onColour, before("IDAT", part{"tRNS", make([]byte, 3), false}), ""},
	{"more transparency than palette", onPalette, before("IDAT", part{"tRNS", make([]byte, 200), false}), ""},
	{"transparency with a wrong checksum", onAll, before("IDAT", part{"tRNS", make([]byte, 2), true}), ""},
	{"transparency before the palette", onPalette, before("PLTE", part{"tRNS", make([]byte, 4), false}), ""},
	{"transparency after the pixels", onAll, before("IEND", part{"tRNS", make([]byte, 2), false}), ""},
	{"a palette longer than its depth", onPalette, change("PLTE", func(b []byte) []byte { return append(b, make([]byte, 3*100)...) }), ""},
	{"bytes after the stream", onAll, change("IDAT", func(b []byte) []byte { return append(b, "and more"...) }), ""},
	{"pixel data in chunks of one byte", onAll, split(1), ""},
	{"pixel data in chunks of seven bytes", onAll, split(7), ""},
	{"an empty chunk of pixel data before the rest", onAll, before("IDAT", part{"IDAT", nil, false}), ""},
}

func rawKinds() map[int]rawPNG {
	palette := make([]byte, 3*16)
	for i := range palette {
		palette[i] = byte(i * 5)
	}
	return map[int]rawPNG{
		onGrey:      {width: 40, height: 21, depth: 8, sample: pattern(8)},
		onPalette:   {width: 40, height: 21, depth: 4, colourType: pngPalette, sample: pattern(4), chunks: [][2]string{{"PLTE", string(palette)}}},
		onGreyAlpha: {width: 40, height: 21, depth: 8, colourType: pngGreyAlpha, interlaced: true, sample: pattern(8)},
		onColour:    {width: 40, height: 21, depth: 16, colourType: pngRGB, sample: pattern(16)},
	}
}

func TestAPNGThatLibpngReadsWithAWarningIsRead(t *testing.T) {
	for kind, raw := range rawKinds() {
		want, wantInfo, err := Decode(raw.bytes(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range tolerated {
			if c.kinds&kind == 0 {
				continue
			}
			got, info, err := Decode(append(join(c.edit(parts(t, raw.bytes()))), c.tail...), Limits{})
			if err != nil {
				t.Errorf("%s, colour type %d: %v", c.name, raw.colourType, err)
				continue
			}
			if diff := cmp.Diff(wantInfo, info); diff != "" || !bytes.Equal(want.Pix, got.Pix) {
				t.Errorf("%s, colour type %d: the pixels differ, or the info (-want +got):\n%s", c.name, raw.colourType, diff)
			}
		}
	}
}

func TestAPNGThatIsRefusedIsToldWhy(t *testing.T) {
	kinds := rawKinds()
	cases := []struct {
		name string
		kind int
		edit func([]part) []part
		want error
		says string
	}{
		{"header with a wrong checksum", onGrey, func(list []part) []part { list[0].broken = true; return list }, ErrCorrupt, "checksum of the PNG's header"},
		{"header of another length", onGrey, change("IHDR", func(b []byte) []byte { return append(b, 0) }), ErrCorrupt, "begin with its header"},
		{"two headers", onGrey, before("IDAT", part{"IHDR", make([]byte, 13), false}), ErrCorrupt, "two headers"},
		{"pixels with a wrong checksum", onGrey, func(list []part) []part { list[1].broken = true; return list }, ErrCorrupt, "checksum of a PNG's pixel data"},
		{"no pixel data", onGrey, without("IDAT"), ErrCorrupt, "no pixel data"},
		{"empty pixel data", onGrey, change("IDAT", func([]byte) []byte { return nil }), ErrCorrupt, "no pixel data"},
		{"pixel data that ends early", onGrey, change("IDAT", func(b []byte) []byte { return b[:len(b)/2] }), ErrCorrupt, "less pixel data"},
		{"pixel data that ends early, in colour", onColour, change("IDAT", func(b []byte) []byte { return b[:len(b)/2] }), ErrCorrupt, "less pixel data"},
		{"pixel data with another chunk inside", onGrey, func(list []part) []part {
			b := list[1].content
			return []part{list[0], {"IDAT", b[:len(b)/2], false}, {"tEXt", nil, false}, {"IDAT", b[len(b)/2:], false}, list[2]}
		}, ErrCorrupt, "less pixel data"},
		{"pixel data that is no zlib stream", onGrey, change("IDAT", func(b []byte) []byte { b[0] = 0; return b }), ErrCorrupt, "not a zlib stream"},
		{"pixel data of a broken stream", onGrey, change("IDAT", func(b []byte) []byte { b[2] = 7; return b }), ErrCorrupt, "cannot be inflated"},
		{"a wrong checksum of the stream", onGrey, change("IDAT", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ErrCorrupt, "checksum of the PNG's pixels"},
		{"a wrong checksum of the stream, in colour", onColour, change("IDAT", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ErrCorrupt, "checksum of the PNG's pixels"},
		{"no checksum of the stream", onPalette, change("IDAT", func(b []byte) []byte { return b[:len(b)-4] }), ErrCorrupt, "less pixel data"},
		{"palette missing", onPalette, without("PLTE"), ErrCorrupt, "chunk out of order"},
		{"palette of impossible length", onPalette, change("PLTE", func(b []byte) []byte { return b[:4] }), ErrCorrupt, "palette"},
		{"palette with a wrong checksum", onPalette, func(list []part) []part { list[1].broken = true; return list }, ErrCorrupt, "palette"},
		{"two palettes", onPalette, before("IDAT", part{"PLTE", make([]byte, 3), false}), ErrCorrupt, "two palettes"},
		{"Apple's variant", onGrey, before("IHDR", part{"CgBI", make([]byte, 4), false}), ErrUnsupported, "CgBI"},
		{"an unknown filter", onGrey, change("IDAT", func([]byte) []byte {
			var b bytes.Buffer
			writeDeflated(&b, strings.Repeat("\x09"+strings.Repeat("x", 40), 21))
			return b.Bytes()
		}), ErrCorrupt, "filter"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			raw := kinds[c.kind]
			_, _, err := Decode(join(c.edit(parts(t, raw.bytes()))), Limits{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v that says %q", err, c.want, c.says)
			}
		})
	}
}

func TestASliceOf9000By10PixelsIsRead(t *testing.T) {
	raw := rawPNG{width: 9000, height: 10, depth: 8, sample: pattern(8)}
	slice, _, err := Decode(raw.bytes(), Limits{})
	if err != nil || len(slice.Pix) != 90_000 {
		t.Fatalf("error %v", err)
	}
	_, _, err = Decode(raw.bytes(), Limits{MaxPixels: 80_000})
	if !errors.Is(err, ErrTooManyPixels) || !strings.Contains(err.Error(), "images.maxPixels") {
		t.Errorf("error %v, want the key", err)
	}
}

// jpegSegment is a marker with its length and content.
func jpegSegment(marker byte, content string) string {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(content)+2))
	return string([]byte{0xff, marker}) + string(length) + content
}

func TestAJPEGThatLibjpegReadsWithAWarningIsRead(t *testing.T) {
	var encoded bytes.Buffer
	if err := jpeg.Encode(&encoded, brain(181, 217), nil); err != nil {
		t.Fatal(err)
	}
	progressive := readFixture(t, "progressive.jpg")
	for name, file := range map[string][]byte{"baseline": encoded.Bytes(), "progressive": progressive} {
		want, _, err := Decode(file, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		start, body, open := string(file[:2]), string(file[2:]), string(file[:len(file)-2])
		markers := strings.Repeat("\xff\xda", 32_000)
		for kind, variant := range map[string]string{
			"no end mark":                        open,
			"zeros for an end mark":              open + strings.Repeat("\x00", 500),
			"a comment full of scan markers":     start + jpegSegment(0xfe, markers) + body,
			"application data of scan markers":   start + jpegSegment(0xed, markers) + body,
			"bytes after the end mark":           start + body + "bytes\xff\xda",
			"fill bytes before the first marker": start + "\xff\xff\xff" + body,
			"a restart marker after the pixels":  open + "\xff\xd0\xff\xd9",
		} {
			got, _, err := Decode([]byte(variant), Limits{})
			if err != nil {
				t.Errorf("%s, %s: %v", name, kind, err)
			} else if !bytes.Equal(want.Pix, got.Pix) {
				t.Errorf("%s, %s: the pixels differ", name, kind)
			}
		}
	}
}

func TestAJPEGWithoutEndMarkThatLacksAScanIsCutShort(t *testing.T) {
	for _, name := range []string{"progressive.jpg", "grey_progressive.jpg"} {
		file := readFixture(t, name)
		last := bytes.LastIndex(file, []byte{0xff, jpegSOS})
		// The tables of the scan before it are harmless.
		for _, tail := range []string{"", "\x00\x00\x00"} {
			if _, _, err := Decode(append(bytes.Clone(file[:last]), tail...), Limits{}); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s without its last scan: error %v", name, err)
			}
		}
	}
}

func TestAJPEGOfHundredsOfScansOverManyPixelsIsRefusedBeforeItIsDecoded(t *testing.T) {
	scan := jpegSegment(jpegSOS, "\x01\x01\x00\x01\x3f\x00") + "\xf8"
	header := "\xff\xd8" + jpegSegment(jpegSOF2, "\x08\x08\x00\x08\x00\x01\x01\x11\x00")
	file := []byte(header + strings.Repeat(scan, 490) + "\xff\xd9")
	_, _, err := Decode(file, Limits{})
	if !errors.Is(err, ErrTooMuchWork) || !strings.Contains(err.Error(), "images.maxPixels") {
		t.Errorf("error %v", err)
	}
}
