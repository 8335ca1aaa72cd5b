package dicom

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/brainseg/brainseg/internal/volume"
)

// fragments reads the fragments of compressed pixels and joins them to frames.
func (o *object) fragments(d *stream) ([][]byte, error) {
	table, err := o.offsetTable(d)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	var starts []uint64 // of the fragments, from the first one's
	total := uint64(0)
	for {
		e, err := d.next()
		if errors.Is(err, io.ErrUnexpectedEOF) && len(list) > 0 {
			break // the delimiter is missing; whether the pixels are whole, their codec sees
		}
		if err != nil {
			return nil, truncatedPixels(err)
		}
		if e.tag == tagSequenceEnd {
			break
		}
		if e.tag != tagItem || e.length == undefinedLength {
			return nil, volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data hold the element %v where a fragment should be", e.tag), "export the series again")
		}
		if total+uint64(e.length) > maxCompressed {
			return nil, volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("its compressed pixel data are larger than %d bytes", maxCompressed), "export the series as one image for each slice")
		}
		fragment, err := d.fragment(int64(e.length))
		if err != nil {
			return nil, truncatedPixels(err)
		}
		list, starts = append(list, fragment), append(starts, total)
		total += uint64(e.length) + 8
	}
	return o.join(list, starts, table)
}

// offsetTable reads the item before the fragments: where each frame begins.
func (o *object) offsetTable(d *stream) ([]uint64, error) {
	e, err := d.next()
	if err != nil {
		return nil, truncatedPixels(err)
	}
	if e.tag != tagItem || e.length > 4*maxFrames {
		return nil, volume.Refuse(volume.CodeDamaged, "its pixel data do not begin with an offset table", "export the series again")
	}
	raw, err := d.value(e, 4*maxFrames)
	if err != nil {
		return nil, truncatedPixels(err)
	}
	var table []uint64
	for ; len(raw) >= 4; raw = raw[4:] {
		table = append(table, uint64(d.order.Uint32(raw)))
	}
	if len(table) == 0 {
		table = o.offsets
	}
	return table, nil
}

// fragment reads n bytes, taking memory as they come.
func (s *stream) fragment(n int64) ([]byte, error) {
	var b bytes.Buffer
	done, err := io.CopyN(&b, s.in, n)
	s.at += done
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

// join makes frames of fragments: by the offset table if it fits, else one each,
// else by the marks in which compressed pictures begin and end.
func (o *object) join(list [][]byte, starts, table []uint64) ([][]byte, error) {
	n := o.frameCount
	if len(list) == 0 {
		return nil, volume.Refuse(volume.CodeDamaged, "its pixel data hold no fragment", "export the series again")
	}
	if n == 1 {
		if len(table) > 1 || len(table) == 1 && table[0] != 0 {
			o.noteTable()
		}
		return [][]byte{slices.Concat(list...)}, nil
	}
	var first []int // the number of each frame's first fragment
	if len(table) == n && table[0] == 0 {
		for _, offset := range table {
			if i, found := slices.BinarySearch(starts, offset); found && (len(first) == 0 || i > first[len(first)-1]) {
				first = append(first, i)
			}
		}
	}
	if len(first) != n {
		if len(table) > 0 {
			o.noteTable()
		}
		first = first[:0]
		for i, fragment := range list {
			if len(list) == n || i == 0 || begins(fragment) && ends(list[i-1]) {
				first = append(first, i)
			}
		}
	}
	if len(first) != n {
		return nil, volume.Refuse(volume.CodeDamaged, fmt.Sprintf("it has %d frames in %d fragments, and neither an offset table nor the fragments themselves tell which belong together", n, len(list)), "export the series again")
	}
	frames := make([][]byte, n)
	for i, at := range first {
		end := len(list)
		if i+1 < n {
			end = first[i+1]
		}
		frames[i] = slices.Concat(list[at:end]...)
	}
	return frames, nil
}

func (o *object) noteTable() {
	o.note("offset-table-ignored", "the offset table of compressed pixels does not fit them; it was not needed")
}

// begins and ends tell whether a fragment is the first or last of a JPEG picture.
func begins(b []byte) bool { return bytes.HasPrefix(b, []byte{0xff, 0xd8}) }

func ends(b []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(b, "\x00"), []byte{0xff, 0xd9}) || bytes.HasSuffix(b, []byte{0xff, 0xd9})
}
