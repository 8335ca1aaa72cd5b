package imaging

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
)

// The markers of JPEG that its structure is made of.
const (
	jpegSOF0 = 0xc0 // baseline
	jpegSOF2 = 0xc2 // progressive
	jpegRST0 = 0xd0
	jpegRST7 = 0xd7
	jpegEOI  = 0xd9
	jpegSOS  = 0xda
	jpegAPP0 = 0xe0
)

// jpegFile is a JPEG, and what its markers tell before a pixel is decoded.
type jpegFile struct {
	file       []byte
	components []jpegComponent
	mcuWide    int // minimum coded units in a row
	mcuHigh    int
	// blocks is the number of visits of an 8 x 8 block by all scans together:
	// what decoding costs, for each scan may visit every block for a few bytes.
	blocks int64
	ended  bool // by an end marker
	// acrossMM and downMM are the distances that a JFIF header states.
	acrossMM, downMM float64
	// converted: the planes are neither grey nor luminance and colour, and a
	// picture is made of them.
	converted bool
}

// jpegComponent is a plane of a JPEG.
type jpegComponent struct {
	id          byte
	wide, high  int // sampling factors
	blocks      int64
	progressive bool
	// missing has a bit for each coefficient whose last bit no scan has brought.
	missing uint64
}

func (j *jpegFile) header() (Info, error) {
	config, err := jpeg.DecodeConfig(bytes.NewReader(j.file))
	if err != nil {
		return Info{}, classify(err)
	}
	j.converted = config.ColorModel != color.GrayModel && config.ColorModel != color.YCbCrModel
	return Info{Format: JPEG, Width: config.Width, Height: config.Height, Bits: 8, Colour: config.ColorModel != color.GrayModel}, nil
}

// memory counts a byte for each sample of the planes, four for each coefficient
// that a progressive JPEG keeps until its last scan, and the picture that is made
// of some kinds of planes.
func (j *jpegFile) memory(info Info) int64 {
	var bytes int64
	for _, c := range j.components {
		bytes += 64 * c.blocks
		if c.progressive {
			bytes += 4 * 64 * c.blocks
		}
	}
	if j.converted {
		bytes += 4 * info.pixels()
	}
	return bytes
}

// leastVisits is what the scans of any JPEG may visit, however small MaxPixels is.
const leastVisits = 1 << 19

func (j *jpegFile) survey(limits Limits) error {
	j.follow(j.file)
	if most := max(limits.MaxPixels/2, leastVisits); j.blocks > most {
		return fmt.Errorf("%w: its scans visit %d blocks of pixels, the limit is %d", ErrTooMuchWork, j.blocks, most)
	}
	return nil
}

// follow goes from marker to marker. What it cannot follow it leaves to the
// decoder, which stops there too.
func (j *jpegFile) follow(file []byte) {
	at := 2
	for {
		// Bytes between segments and the data of a scan are passed over alike:
		// in the data 0xff is always followed by zero or a restart marker.
		skip := bytes.IndexByte(file[at:], 0xff)
		if skip < 0 || at+skip+1 >= len(file) {
			return
		}
		at += skip + 1
		marker := file[at]
		if marker == 0xff {
			continue
		}
		at++
		if marker == 0 || jpegRST0 <= marker && marker <= jpegRST7 {
			continue
		}
		if marker == jpegEOI {
			j.ended = true
			return
		}
		if at+2 > len(file) {
			return
		}
		length := int(file[at])<<8 | int(file[at+1])
		if length < 2 || length > len(file)-at {
			return
		}
		segment := file[at+2 : at+length]
		at += length
		switch {
		case marker == jpegAPP0:
			j.setDensity(segment)
		case marker == jpegSOS:
			j.addScan(segment)
		case jpegSOF0 <= marker && marker <= jpegSOF2 && j.components == nil:
			j.setFrame(segment, marker == jpegSOF2)
		}
	}
}

// setDensity reads the density of a JFIF header: dots an inch, or a centimetre.
func (j *jpegFile) setDensity(s []byte) {
	if len(s) < 12 || string(s[:5]) != "JFIF\x00" {
		return
	}
	across, down := float64(int(s[8])<<8|int(s[9])), float64(int(s[10])<<8|int(s[11]))
	unit := map[byte]float64{1: 25.4, 2: 10}[s[7]]
	if unit == 0 || across == 0 || down == 0 {
		return
	}
	j.acrossMM, j.downMM = unit/across, unit/down
}

func (j *jpegFile) pixelMM() (across, down float64) { return j.acrossMM, j.downMM }

// setFrame reads a frame header: bits, height, width, and the planes.
func (j *jpegFile) setFrame(s []byte, progressive bool) {
	if len(s) < 6 || len(s) < 6+3*int(s[5]) {
		return
	}
	height, width := int(s[1])<<8|int(s[2]), int(s[3])<<8|int(s[4])
	most := [2]int{1, 1}
	for c := s[6:]; len(c) >= 3; c = c[3:] {
		component := jpegComponent{id: c[0], wide: max(1, int(c[1]>>4)), high: max(1, int(c[1]&0xf)), progressive: progressive, missing: ^uint64(0)}
		most[0], most[1] = max(most[0], component.wide), max(most[1], component.high)
		j.components = append(j.components, component)
	}
	j.mcuWide, j.mcuHigh = (width+8*most[0]-1)/(8*most[0]), (height+8*most[1]-1)/(8*most[1])
	for i := range j.components {
		c := &j.components[i]
		c.blocks = int64(j.mcuWide*c.wide) * int64(j.mcuHigh*c.high)
	}
}

// addScan reads a scan header: the planes, the first and last coefficient, and
// the bit of them that the scan brings.
func (j *jpegFile) addScan(s []byte) {
	if len(s) < 1 || len(s) < 4+2*int(s[0]) {
		return
	}
	n := int(s[0])
	first, last, bit := s[1+2*n], s[2+2*n], s[3+2*n]&0xf
	j.blocks++ // headers cost too
	for i := range n {
		for k := range j.components {
			c := &j.components[k]
			if c.id != s[1+2*i] {
				continue
			}
			j.blocks += c.blocks
			switch {
			case !c.progressive:
				c.missing = 0
			case bit == 0 && first <= last && last < 64:
				c.missing &^= ^uint64(0) << first & (^uint64(0) >> (63 - last))
			}
		}
	}
}

// complete reports whether the scans have brought every bit of every plane.
func (j *jpegFile) complete() bool {
	for _, c := range j.components {
		if c.missing != 0 {
			return false
		}
	}
	return len(j.components) > 0
}

// decode reads the pixels. A JPEG that has all its pixels but no end marker is
// read as libjpeg reads it; one that lacks scans is cut short.
func (j *jpegFile) decode() (image.Image, error) {
	if j.ended || !j.complete() {
		return jpeg.Decode(bytes.NewReader(j.file))
	}
	return jpeg.Decode(io.MultiReader(bytes.NewReader(j.file), bytes.NewReader([]byte{0xff, jpegEOI})))
}
