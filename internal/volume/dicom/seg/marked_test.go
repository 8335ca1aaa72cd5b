package seg

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

const mark = "QXMARK"

// marked writes an MR image in which every text that may hold words holds the
// marked one, with its tag after it.
func marked(t *testing.T, path string, slice int) {
	t.Helper()
	var b bytes.Buffer
	e := &encoder{w: &b}
	words := func(vr string, tags ...uint32) {
		for _, tag := range tags {
			e.text(tag, vr, fmt.Sprintf("%s %08X", mark, tag))
		}
	}
	e.write(make([]byte, 128))
	e.write([]byte("DICM"))
	e.text(0x00020010, "UI", explicitLE)
	words("AE", 0x00020016)
	e.text(0x00080005, "CS", "ISO_IR 100")
	e.text(0x00080008, "CS", "ORIGINAL", "PRIMARY", mark)
	e.text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.4")
	e.text(0x00080018, "UI", fmt.Sprintf("1.2.3.%d", slice+10))
	e.text(0x00080020, "DA", "20200102")
	e.text(0x00080030, "TM", "101112")
	words("SH", 0x00080050)
	e.text(0x00080060, "CS", "MR")
	words("LO", 0x00080070, 0x00080080, 0x00080081)
	words("PN", 0x00080090)
	words("SH", 0x00080094, 0x00081010)
	words("LO", 0x00081030, 0x0008103e, 0x00081040)
	words("PN", 0x00081048, 0x00081050, 0x00081060, 0x00081070)
	words("LO", 0x00081080, 0x00081090)
	e.one(0x00081111, func() { words("LO", 0x00081030) })
	words("LO", 0x00090010, 0x00091001)
	words("PN", 0x00100010)
	words("LO", 0x00100020, 0x00100021)
	e.text(0x00100030, "DA", "19010203")
	e.text(0x00100040, "CS", "O")
	words("LO", 0x00101000)
	words("PN", 0x00101001, 0x00101005)
	e.text(0x00101010, "AS", "099Y")
	words("LO", 0x00101040)
	words("PN", 0x00101060)
	words("LO", 0x00102000)
	words("SH", 0x00102154, 0x00102160)
	words("LT", 0x001021b0, 0x00104000)
	words("LO", 0x00120010, 0x00120020, 0x00120040)
	words("CS", 0x00180015)
	words("LO", 0x00181000, 0x00181020, 0x00181030)
	e.text(0x0020000d, "UI", "1.2.3.1")
	e.text(0x0020000e, "UI", "1.2.3.2")
	words("SH", 0x00200010)
	e.decimals(0x00200032, 1, 2, float64(3*slice))
	e.decimals(0x00200037, 1, 0, 0, 0, 1, 0)
	e.text(0x00200052, "UI", "1.2.3.3")
	words("LO", 0x00201040)
	words("LT", 0x00204000)
	e.us(0x00280002, 1)
	e.text(0x00280004, "CS", "MONOCHROME2")
	e.us(0x00280010, 8)
	e.us(0x00280011, 8)
	e.decimals(0x00280030, 1, 1)
	e.us(0x00280100, 8)
	e.us(0x00280101, 8)
	e.us(0x00280102, 7)
	e.us(0x00280103, 0)
	words("LO", 0x00321060)
	words("LT", 0x00324000)
	words("LO", 0x00400254, 0x00402001)
	pixels := make([]byte, 64)
	for i := range pixels {
		pixels[i] = byte(i * (slice + 1))
	}
	e.bytes(0x7fe00010, "OB", pixels)
	if e.err != nil {
		t.Fatal(e.err)
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
			case tag == tagItem:
				walk(within)
				continue
			}
			name := fmt.Sprintf("%s%08x", within, tag)
			length := int(binary.LittleEndian.Uint16(head[6:]))
			if vr := string(head[4:6]); vr == "OB" || vr == "SQ" {
				length = int(binary.LittleEndian.Uint32(take(4)))
				if vr == "SQ" {
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
	opts := Options{Classes: []Class{{Value: 1, Name: "csf", Colour: "#3b82f6"}}, Model: "m", ModelVersion: "1"}
	var open, closed bytes.Buffer
	if err := Write(&open, labels, origin, opts); err != nil {
		t.Fatal(err)
	}
	want := []string{"00080050", "00080090", "00081030", "00100010", "00100020", "00100021", "00200010"}
	if got := markedTags(t, open.Bytes()); !slices.Equal(got, want) {
		t.Errorf("marked words are in %v, and belong in %v", got, want)
	}
	opts.Deidentify = true
	if err := Write(&closed, labels, origin, opts); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{mark, "20200102", "101112", "19010203", "099Y", "ISO_IR"} {
		if bytes.Contains(closed.Bytes(), []byte(word)) {
			t.Errorf("%q is in the object without identity", word)
		}
	}
	if !bytes.Contains(open.Bytes(), []byte("099Y")) {
		t.Error("the age is missing in the object with identity")
	}
}

func TestAMistakeOfTheSourceIsNotHandedOn(t *testing.T) {
	for _, c := range []struct {
		vr, value string
		kept      bool
	}{
		{"DA", "20200102", true}, {"DA", "2020.01.02", false}, {"DA", "20201302", false}, {"DA", "", false},
		{"TM", "101112.123456", true}, {"TM", "10", true}, {"TM", "10:11", false}, {"TM", "240000", false},
		{"AS", "042Y", true}, {"AS", "42", false},
		{"CS", `ISO 2022 IR 6\ISO 2022 IR 87`, true}, {"CS", `\ISO 2022 IR 87`, true}, {"CS", "lower", false},
		{"DS", "71.5", true}, {"DS", "71,5", false},
		{"PN", "Yamada^Tarou=\x1b$B;3ED\x1b(B", true}, {"PN", "M\xfcller", true}, {"LO", "two\nlines", false}, {"LO", strings.Repeat("x", 2000), false},
	} {
		if got := valid(c.vr, []byte(c.value)); (got != nil) != c.kept {
			t.Errorf("%s %q: %q", c.vr, c.value, got)
		}
	}
}

func TestDecimalsHaveSixteenCharactersAndAreExactWhereTheySuffice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100000 {
		exact := float64(random.IntN(2e9)-1e9) / 1e8 // the positions of real images
		if s := decimal(exact); len(s) > 16 {
			t.Fatalf("%q has %d characters", s, len(s))
		} else if back, err := strconv.ParseFloat(s, 64); err != nil || back != exact {
			t.Fatalf("%v became %q", exact, s)
		}
		wide := random.NormFloat64() * []float64{1e-20, 1e-5, 1, 1e5, 1e20}[random.IntN(5)]
		s := decimal(wide)
		if back, err := strconv.ParseFloat(s, 64); err != nil || len(s) > 16 || (back-wide)/wide > 1e-8 || (wide-back)/wide > 1e-8 {
			t.Fatalf("%v became %q", wide, s)
		}
	}
	negative := 0.0
	if s := decimal(-negative); s != "0" {
		t.Errorf("zero became %q", s)
	}
}

func TestTextsOfTheModelFitTheirElements(t *testing.T) {
	for in, want := range map[string]string{
		"brainseg-enet": "brainseg-enet", "": "unknown", " \t ": "_", `a\b`: "a_b", "für": "f_r", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		if got := line(in, "unknown"); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
