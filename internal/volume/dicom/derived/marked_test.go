package derived_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
	"github.com/brainseg/brainseg/internal/volume/dicom/derived"
)

const (
	mark = "QXMARK"

	tagItem        = 0xfffee000
	tagItemEnd     = 0xfffee00d
	tagSequenceEnd = 0xfffee0dd
)

// marked writes an MR image in which every text that may hold words holds the
// marked one, with its tag after it.
func marked(t *testing.T, path string, slice int) {
	t.Helper()
	var b bytes.Buffer
	e := derived.NewEncoder(&b)
	words := func(vr string, tags ...uint32) {
		for _, tag := range tags {
			e.Text(tag, vr, fmt.Sprintf("%s %08X", mark, tag))
		}
	}
	e.Write(make([]byte, 128))
	e.Write([]byte("DICM"))
	e.Text(0x00020010, "UI", derived.ExplicitLE)
	words("AE", 0x00020016)
	e.Text(0x00080005, "CS", "ISO_IR 100")
	e.Text(0x00080008, "CS", "ORIGINAL", "PRIMARY", mark)
	e.Text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.4")
	e.Text(0x00080018, "UI", fmt.Sprintf("1.2.3.%d", slice+10))
	e.Text(0x00080020, "DA", "20200102")
	e.Text(0x00080030, "TM", "101112")
	words("SH", 0x00080050)
	e.Text(0x00080060, "CS", "MR")
	words("LO", 0x00080070, 0x00080080, 0x00080081)
	words("PN", 0x00080090)
	words("SH", 0x00080094, 0x00081010)
	words("LO", 0x00081030, 0x0008103e, 0x00081040)
	words("PN", 0x00081048, 0x00081050, 0x00081060, 0x00081070)
	words("LO", 0x00081080, 0x00081090)
	e.One(0x00081111, func() { words("LO", 0x00081030) })
	words("LO", 0x00090010, 0x00091001)
	words("PN", 0x00100010)
	words("LO", 0x00100020, 0x00100021)
	e.Text(0x00100030, "DA", "19010203")
	e.Text(0x00100040, "CS", "O")
	words("LO", 0x00101000)
	words("PN", 0x00101001, 0x00101005)
	e.Text(0x00101010, "AS", "099Y")
	words("LO", 0x00101040)
	words("PN", 0x00101060)
	words("LO", 0x00102000)
	words("SH", 0x00102154, 0x00102160)
	words("LT", 0x001021b0, 0x00104000)
	words("LO", 0x00120010, 0x00120020, 0x00120040)
	words("CS", 0x00180015)
	words("LO", 0x00181000, 0x00181020, 0x00181030)
	e.Text(0x0020000d, "UI", "1.2.3.1")
	e.Text(0x0020000e, "UI", "1.2.3.2")
	words("SH", 0x00200010)
	e.Decimals(0x00200032, 1, 2, float64(3*slice))
	e.Decimals(0x00200037, 1, 0, 0, 0, 1, 0)
	e.Text(0x00200052, "UI", "1.2.3.3")
	words("LO", 0x00201040)
	words("LT", 0x00204000)
	e.US(0x00280002, 1)
	e.Text(0x00280004, "CS", "MONOCHROME2")
	e.US(0x00280010, 8)
	e.US(0x00280011, 8)
	e.Decimals(0x00280030, 1, 1)
	e.US(0x00280100, 8)
	e.US(0x00280101, 8)
	e.US(0x00280102, 7)
	e.US(0x00280103, 0)
	words("LO", 0x00321060)
	words("LT", 0x00324000)
	words("LO", 0x00400254, 0x00402001)
	pixels := make([]byte, 64)
	for i := range pixels {
		pixels[i] = byte(i * (slice + 1))
	}
	e.Bytes(0x7fe00010, "OB", pixels)
	if e.Err() != nil {
		t.Fatal(e.Err())
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// markedTags walks a file and returns the elements, at any depth, that hold the
// marked word; those in a sequence with its tag.
func markedTags(t *testing.T, file []byte) []string {
	t.Helper()
	var found []string
	in := file[132:]
	take := func(n int) []byte {
		if n > len(in) {
			t.Fatal("the file is cut")
		}
		b := in[:n]
		in = in[n:]
		return b
	}
	var walk func(within string)
	walk = func(within string) {
		for len(in) > 0 {
			head := take(8)
			tag := uint32(binary.LittleEndian.Uint16(head))<<16 | uint32(binary.LittleEndian.Uint16(head[2:]))
			switch {
			case tag == tagItemEnd || tag == tagSequenceEnd:
				return
			case tag == tagItem && binary.LittleEndian.Uint32(head[4:]) < 1<<32-1:
				if bytes.Contains(take(int(binary.LittleEndian.Uint32(head[4:]))), []byte(mark)) {
					found = append(found, within+"pixels")
				}
				continue
			case tag == tagItem:
				walk(within)
				continue
			}
			name := fmt.Sprintf("%s%08x", within, tag)
			length := int(binary.LittleEndian.Uint16(head[6:]))
			if vr := string(head[4:6]); vr == "OB" || vr == "SQ" || vr == "UT" {
				length = int(binary.LittleEndian.Uint32(take(4)))
				if vr == "SQ" || length == 1<<32-1 { // or compressed pixels
					walk(name + ">")
					continue
				}
			}
			if bytes.Contains(take(length), []byte(mark)) {
				found = append(found, name)
			}
		}
	}
	walk("")
	return found
}

func TestWordsOfTheHeaderAreInThePatientAndTheStudyOnlyAndNowhereOnRequest(t *testing.T) {
	dir := t.TempDir()
	for slice := range 5 {
		marked(t, filepath.Join(dir, strconv.Itoa(slice)), slice)
	}
	s, origin, err := dicom.Read(t.Context(), dir, volume.Options{})
	if err != nil {
		t.Fatal(err)
	}
	labels := &volume.Labels{Grid: s.Grid, Values: make([]uint8, len(s.Values))}
	for i, v := range s.Values {
		labels.Values[i] = uint8(v) % 2
	}
	o := &objects{scan: s, labels: labels, origin: origin}
	o.write(t, false)
	want := []string{"00080050", "00080090", "00081030", "00100010", "00100020", "00100021", "00200010"}
	for name, object := range map[string]*bytes.Buffer{"SEG": &o.seg, "SR": &o.sr, "SC": &o.capture} {
		if got := markedTags(t, object.Bytes()); !slices.Equal(got, want) {
			t.Errorf("%s: marked words are in %v, and belong in %v", name, got, want)
		}
		if !bytes.Contains(object.Bytes(), []byte("099Y")) {
			t.Errorf("%s: the age is missing in the object with identity", name)
		}
	}
	o.write(t, true)
	for name, object := range map[string]*bytes.Buffer{"SEG": &o.seg, "SR": &o.sr, "SC": &o.capture} {
		for _, word := range []string{mark, "20200102", "101112", "19010203", "099Y", "ISO_IR"} {
			if bytes.Contains(object.Bytes(), []byte(word)) {
				t.Errorf("%s: %q is in the object without identity", name, word)
			}
		}
	}
}
