package pixels

import (
	"encoding/binary"
	"fmt"

	"github.com/brainseg/brainseg/internal/volume"
)

// rleHeaderBytes is the length of the header: how many segments there are, and
// where each begins.
const rleHeaderBytes = 64

// rle decodes a frame of run lengths: a segment for each byte of the cells, the
// highest first.
func (o *Format) rle(samples []int32, b []byte) error {
	width := o.BitsAllocated / 8
	damaged := func(what string) error {
		return volume.Refuse(volume.CodeDamaged, "its pixel data are damaged or truncated ("+what+")", "copy or export the file again")
	}
	if len(b) < rleHeaderBytes {
		return damaged("no RLE header")
	}
	if n := int(binary.LittleEndian.Uint32(b)); n != width {
		return damaged(fmt.Sprintf("%d RLE segments for cells of %d bytes", n, width))
	}
	clear(samples)
	for segment := range width {
		from := int64(binary.LittleEndian.Uint32(b[4+4*segment:]))
		if from < rleHeaderBytes || from > int64(len(b)) {
			return damaged("an RLE segment begins outside")
		}
		to := int64(len(b))
		if segment+1 < width {
			if next := int64(binary.LittleEndian.Uint32(b[8+4*segment:])); next >= from && next <= to {
				to = next
			}
		}
		if n := unpackBits(samples, b[from:to], 8*uint(width-1-segment)); n < len(samples) {
			return damaged(fmt.Sprintf("an RLE segment ends after %d of %d pixels", n, len(samples)))
		}
	}
	return nil
}

// unpackBits ors the bytes of a segment, shifted, into samples and returns how
// many there were. What exceeds the frame is padding.
func unpackBits(samples []int32, b []byte, shift uint) int {
	at := 0
	for len(b) > 0 && at < len(samples) {
		control := int8(b[0])
		b = b[1:]
		switch {
		case control >= 0:
			n := min(int(control)+1, len(b))
			for _, v := range b[:min(n, len(samples)-at)] {
				samples[at] |= int32(uint32(v) << shift)
				at++
			}
			b = b[n:]
		case control != -128 && len(b) > 0:
			for range min(1-int(control), len(samples)-at) {
				samples[at] |= int32(uint32(b[0]) << shift)
				at++
			}
			b = b[1:]
		}
	}
	return at
}
