package pixels

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom/dataset"
)

// fragments reads the fragments of compressed pixels and joins them to frames.
func (o *Format) fragments(d *dataset.Stream) ([][]byte, error) {
	var list [][]byte
	var starts []uint64 // of the fragments, from the first one's
	table, first, err := o.offsetTable(d)
	if err != nil {
		return nil, err
	}
	total := uint64(0)
	if first != nil {
		list, starts, total = append(list, first), append(starts, 0), uint64(len(first))+8
	}
	for {
		e, err := d.Next()
		if errors.Is(err, io.ErrUnexpectedEOF) && len(list) > 0 {
			break // the delimiter is missing; whether the pixels are whole, their codec sees
		}
		if err != nil {
			return nil, truncatedPixels(err)
		}
		if e.Tag == dataset.TagSequenceEnd {
			break
		}
		if e.Tag != dataset.TagItem || e.Length == dataset.UndefinedLength {
			return nil, volume.Refuse(volume.CodeDamaged, fmt.Sprintf("its pixel data hold the element %v where a fragment should be", e.Tag), "export the series again")
		}
		if total+uint64(e.Length) > maxCompressed {
			return nil, volume.Refuse(volume.CodeTooLarge, fmt.Sprintf("its compressed pixel data are larger than %d bytes", maxCompressed), "export the series as one image for each slice")
		}
		fragment, err := d.Bytes(int64(e.Length))
		if err != nil {
			return nil, truncatedPixels(err)
		}
		if len(fragment) > 0 {
			list, starts = append(list, fragment), append(starts, total)
		}
		total += uint64(e.Length) + 8
	}
	return o.join(list, starts, table)
}

// offsetTable reads the item before the fragments: where each frame begins. Some
// writers leave it out; then it returns the first fragment.
func (o *Format) offsetTable(d *dataset.Stream) (table []uint64, first []byte, err error) {
	e, err := d.Next()
	if err != nil {
		return nil, nil, truncatedPixels(err)
	}
	if e.Tag != dataset.TagItem || e.Length > maxCompressed {
		return nil, nil, volume.Refuse(volume.CodeDamaged, "its pixel data do not begin with an offset table", "export the series again")
	}
	raw, err := d.Bytes(int64(e.Length))
	if err != nil {
		return nil, nil, truncatedPixels(err)
	}
	if begins(raw) {
		o.noteTable()
		return nil, raw, nil
	}
	for ; len(raw) >= 4; raw = raw[4:] {
		table = append(table, uint64(d.Order.Uint32(raw)))
	}
	if len(table) == 0 {
		table = o.Offsets
	}
	return table, nil, nil
}

// join makes frames of fragments: by the offset table if it fits, else one each,
// else by the marks in which compressed pictures begin and end.
func (o *Format) join(list [][]byte, starts, table []uint64) ([][]byte, error) {
	n := o.FrameCount
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

func (o *Format) noteTable() {
	o.Note("offset-table-ignored", "the offset table of compressed pixels does not fit them; it was not needed")
}

// begins and ends tell whether a fragment is the first or last of a JPEG picture.
func begins(b []byte) bool { return bytes.HasPrefix(b, []byte{0xff, 0xd8}) }

func ends(b []byte) bool {
	return bytes.HasSuffix(bytes.TrimRight(b, "\x00"), []byte{0xff, 0xd9}) || bytes.HasSuffix(b, []byte{0xff, 0xd9})
}
