package sc

import "encoding/binary"

// rle compresses a frame as PS3.5 annex G has it: a segment for each plane of
// bytes, row by row.
func rle(planes [][]byte, width int) []byte {
	const header = 64
	frame := make([]byte, header, header+len(planes)*len(planes[0])/2)
	binary.LittleEndian.PutUint32(frame, uint32(len(planes)))
	for i, plane := range planes {
		binary.LittleEndian.PutUint32(frame[4*(i+1):], uint32(len(frame)))
		for ; len(plane) > 0; plane = plane[width:] {
			frame = packBits(frame, plane[:width])
		}
		if len(frame)%2 == 1 {
			frame = append(frame, 0)
		}
	}
	return frame
}

// packBits appends a row: runs of one byte, and stretches of others.
func packBits(to, row []byte) []byte {
	const longest = 128
	for i := 0; i < len(row); {
		run := runAt(row, i, longest)
		if run > 1 {
			to = append(to, byte(1-run), row[i])
			i += run
			continue
		}
		start := i
		for i++; i < len(row) && i-start < longest && runAt(row, i, 3) < 3; i++ {
		}
		to = append(append(to, byte(i-start-1)), row[start:i]...)
	}
	return to
}

// runAt is for how long the byte at i repeats, most at most.
func runAt(row []byte, i, most int) int {
	n := 1
	for i+n < len(row) && n < most && row[i+n] == row[i] {
		n++
	}
	return n
}
