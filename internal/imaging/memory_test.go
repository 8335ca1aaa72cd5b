package imaging

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"testing"
)

// emptyJPEG is a JPEG of planes with the given sampling factors and one scan
// without data: what a decoder takes memory for before it finds out.
func emptyJPEG(progressive bool, width, height int, sampling ...byte) []byte {
	frame := append([]byte{8, byte(height >> 8), byte(height), byte(width >> 8), byte(width)}, byte(len(sampling)))
	scan := []byte{byte(len(sampling))}
	for i, s := range sampling {
		frame = append(frame, byte(i+1), s, 0)
		scan = append(scan, byte(i+1), 0)
	}
	marker, last := byte(0xc0), byte(63)
	if progressive {
		marker, last = 0xc2, 0
	}
	scan = append(scan, 0, last, 0)
	return []byte("\xff\xd8" + jpegSegment(marker, string(frame)) + jpegSegment(0xda, string(scan)))
}

func largeImages(t *testing.T) map[string][]byte {
	const width, height = 451, 403
	one := func(int, int, int) int { return 1 }
	list := make(map[string][]byte)
	for _, kind := range []rawPNG{
		{colourType: pngGrey, depth: 8}, {colourType: pngGrey, depth: 16}, {colourType: pngGrey, depth: 8, interlaced: true},
		{colourType: pngRGB, depth: 8}, {colourType: pngGreyAlpha, depth: 16}, {colourType: pngRGBA, depth: 8}, {colourType: pngRGBA, depth: 16, interlaced: true},
	} {
		kind.width, kind.height, kind.sample = width, height, one
		list[fmt.Sprintf("PNG of type %d, %d bits, interlaced %t", kind.colourType, kind.depth, kind.interlaced)] = kind.bytes()
	}
	transparent := rawPNG{width: width, height: height, depth: 16, sample: one, chunks: [][2]string{{"tRNS", "\x00\x02"}}}
	list["grey PNG with a transparent value"] = transparent.bytes()
	for name, picture := range map[string]image.Image{"grey": image.NewGray(image.Rect(0, 0, width, height)), "colour": image.NewRGBA(image.Rect(0, 0, width, height))} {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, picture, nil); err != nil {
			t.Fatal(err)
		}
		list["baseline JPEG, "+name] = b.Bytes()
	}
	list["progressive JPEG, grey"] = emptyJPEG(true, width, height, 0x11)
	list["progressive JPEG, half chroma"] = emptyJPEG(true, width, height, 0x22, 0x11, 0x11)
	list["progressive JPEG, full chroma"] = emptyJPEG(true, width, height, 0x11, 0x11, 0x11)
	list["progressive JPEG, four planes"] = emptyJPEG(true, width, height, 0x11, 0x11, 0x11, 0x11)
	return list
}

func TestTheMemoryOfDecodingIsKnownBefore(t *testing.T) {
	for name, data := range largeImages(t) {
		s, info, err := open(data, Limits{}.withDefaults())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		estimate := s.memory(info) + info.pixels()
		whole := func() {
			if picture, err := s.decode(); err == nil {
				_, _, _ = toGrey(picture)
			}
		}
		whole() // which fills the pools
		taken := int64(allocated(whole))
		const state = 1_200_000 // of decoders, and the counts of 16-bit values
		if taken > estimate+state || estimate > 2*taken {
			t.Errorf("%s: %.1f bytes a pixel are expected, %.1f taken", name, float64(estimate)/float64(info.pixels()), float64(taken)/float64(info.pixels()))
		}
		limits := Limits{Memory: func() int64 { return estimate - 1 }}
		cost := allocated(func() { _, _, err = Decode(data, limits) })
		if refused := errors.Is(err, ErrTooMuchMemory); refused != (estimate > largeMemory) || refused && cost > state {
			t.Errorf("%s, for which there is no memory: error %v, %d bytes taken", name, err, cost)
		}
		limits.Memory = func() int64 { return estimate }
		if _, _, err = Decode(data, limits); errors.Is(err, ErrTooMuchMemory) {
			t.Errorf("%s, for which there is just enough memory: error %v", name, err)
		}
	}
}
