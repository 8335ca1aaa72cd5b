package dicom_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

func TestASeriesIsReadInEveryEncoding(t *testing.T) {
	for _, e := range encodings {
		s, err := readImages(t, stack(4), e)
		wantStack(t, e.name, 4, s, err)
		if err == nil && (len(s.Warnings) > 0 || s.Series != "1.2.3" || s.DataType != "uint16") {
			t.Errorf("%s: %v, %s, %s", e.name, s.Warnings, s.Series, s.DataType)
		}
	}
}

func TestTheDataCountWhereTheMetaHeaderLies(t *testing.T) {
	for _, said := range encodings {
		for _, is := range encodings {
			if is.deflated && !said.deflated {
				continue // nobody does that, and it cannot be seen
			}
			named := make(map[string][]byte)
			for k, i := range stack(4) {
				named[fmt.Sprint(k)] = append(meta(said.uid), i.body(is)...)
			}
			s, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
			what := said.name + " said, " + is.name + " meant"
			wantStack(t, what, 4, s, err)
			if err == nil && (names(s) == "syntax-corrected") != (said.explicit != is.explicit || said.order != is.order) {
				t.Errorf("%s: %v", what, s.Warnings)
			}
		}
	}
}

func TestAFileIsRecognisedWithoutItsPreamble(t *testing.T) {
	for _, e := range []encoding{implicitLE, explicitLE, explicitBE} {
		for name, head := range map[string][]byte{"bare": nil, "no zeros": meta(e.uid)[128:], "meta header alone": meta(e.uid)[132:], "no syntax": append(make([]byte, 128), "DICM"...)} {
			named := make(map[string][]byte)
			for k, i := range stack(4) {
				named[fmt.Sprint(k)] = slices.Concat(head, i.body(e))
			}
			s, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
			wantStack(t, e.name+", "+name, 4, s, err)
		}
	}
}

// TestBitsAreTakenFromTheirPlaceInTheCell writes the values of stack into cells
// of other shapes, with rubbish in the bits that are not stored.
func TestBitsAreTakenFromTheirPlaceInTheCell(t *testing.T) {
	for _, e := range encodings {
		for _, test := range []struct {
			allocated, stored, high, signed int
			offset                          int // added to the value by way of RescaleIntercept
		}{
			{16, 16, 15, 0, 0}, {16, 12, 11, 0, 0}, {16, 12, 15, 0, 0}, {16, 10, 11, 0, 0}, {16, 12, 11, 1, 150}, {16, 16, 15, 1, 300}, {16, 12, 14, 1, 200},
			{32, 32, 31, 0, 0}, {32, 32, 31, 1, 200}, {32, 16, 15, 1, 100}, {32, 20, 27, 0, 0},
		} {
			random := rand.New(rand.NewPCG(1, 2))
			var list []image
			for k := range 4 {
				var cells []byte
				for i := range wide * high {
					value := uint32(100*k+i-test.offset) & (1<<test.stored - 1)
					place := test.high + 1 - test.stored
					cell := value<<place | random.Uint32()&^(uint32(1<<test.stored-1)<<place)
					if test.allocated == 16 {
						cells = e.order.AppendUint16(cells, uint16(cell))
					} else {
						cells = e.order.AppendUint32(cells, cell)
					}
				}
				list = append(list, slice(k).with(image{allocated: test.allocated, storedBits: test.stored, highBit: test.high, signed: test.signed, intercept: fmt.Sprint(test.offset), pixelData: raw{"OW", cells}}))
			}
			s, err := readImages(t, list, e)
			wantStack(t, fmt.Sprintf("%s %+v", e.name, test), 4, s, err)
		}
	}
}

func TestEightBitsAreReadByTheVRInBigEndian(t *testing.T) {
	for _, vr := range []string{"OB", "OW"} {
		var list []image
		for k := range 3 {
			cells := make([]byte, wide*high)
			for i := range cells {
				at := i
				if vr == "OW" {
					at = i ^ 1
				}
				cells[at] = byte(100*k/2*2 + i)
			}
			list = append(list, slice(k).with(image{allocated: 8, storedBits: 8, highBit: 7, pixelData: raw{vr, cells}}))
		}
		s, err := readImages(t, list, explicitBE)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Values[:5]; !slices.Equal(got, []float32{0, 1, 2, 3, 4}) || s.DataType != "uint8" {
			t.Errorf("%s: %v", vr, got)
		}
	}
}

// TestNumbersAreReadWhateverTheirWriting has neighbours of a decimal string.
func TestNumbersAreReadWhateverTheirWriting(t *testing.T) {
	float := func(values ...float64) []byte {
		var b []byte
		for _, v := range values {
			b = explicitLE.order.AppendUint64(b, math.Float64bits(v))
		}
		return b
	}
	for _, value := range []any{
		`3\2`, ` 3 \ 2 `, "3\\2\x00", `+3.0\2e0`, `3.\.2E+1`, `0000003.00\2.000000000000000`, `3\2\`, "3\\2   ",
		raw{"UT", []byte(`3\2 `)}, raw{"LO", []byte(`3\2 `)}, raw{"UN", []byte(`3\2 `)}, raw{"CS", []byte(`3\2 `)}, raw{"FD", float(3, 2)}, raw{"DS", []byte(`3\2`)},
	} {
		s, err := readImages(t, all(stack(4), image{spacing: value}), explicitLE)
		wantStack(t, fmt.Sprintf("%v", value), 4, s, err)
	}
	for _, value := range []string{`3,0\2,0`, `3,2`, `3`, `3\2\1`, `3 2`, `three\2`, `0x3\2`, `3\nan`, `3\inf`, `1e999\2`, `\`, `3\\2`, `1_0\2`} {
		_, err := readImages(t, all(stack(4), image{spacing: value}), explicitLE)
		var r *volume.Refusal
		if !errors.As(err, &r) || !strings.Contains(err.Error(), "PixelSpacing (0028,0030)") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestElementsThatDoNotMatterDoNotMatter(t *testing.T) {
	deep := func(e encoding, vr string) []byte {
		item, itemEnd, end := e.header(0xfffee000, "", 0xffffffff, nil), e.header(0xfffee00d, "", 0, nil), e.header(0xfffee0dd, "", 0, nil)
		inner := e
		if vr == "UN" {
			inner = implicitLE // what a value of unknown VR is in
		}
		decoy := slices.Concat(inner.element(rows, 99), inner.header(0x00191011, "SQ", 0xffffffff, nil), inner.header(0xfffee000, "", 0xffffffff, nil),
			inner.element(columns, 77), inner.header(0xfffee00d, "", 0, nil), inner.header(0xfffee0dd, "", 0, nil))
		return slices.Concat(e.header(0x00091000, vr, 0xffffffff, nil), item, decoy, itemEnd, e.header(0xfffee000, "", uint32(len(inner.element(rows, 5))), inner.element(rows, 5)), end)
	}
	for _, e := range []encoding{implicitLE, explicitLE, explicitBE} {
		for name, extra := range map[string][]byte{
			"a sequence of undefined length":    deep(e, "SQ"),
			"an unknown value that is one":      deep(e, "UN"),
			"a private value like an item":      e.header(0x00091001, "UN", 12, []byte("\xfe\xff\x00\xe0\xff\xff\xff\xffzzzz")),
			"an element of an unknown VR":       e.header(0x00091001, "XX", 4, []byte("abcd")),
			"a text of odd length":              e.header(0x00091001, "LO", 3, []byte("abc")),
			"odd length, and a byte of filling": e.header(0x00091001, "LO", 3, []byte("abc ")),
			"names in no character set":         e.header(0x00081030, "LO", 4, []byte{0xff, 0x5c, 0x1b, 0x80}),
			"an icon without pixels":            slices.Concat(e.header(0x00091002, "SQ", 0xffffffff, nil), e.header(0xfffee000, "", 0xffffffff, nil), e.element(rows, 8), e.header(pixelData, "OW", 0, nil), e.header(0xfffee00d, "", 0, nil), e.header(0xfffee0dd, "", 0, nil)),
			"nested deeply":                     slices.Concat(slices.Repeat(slices.Concat(e.header(0x00091002, "SQ", 0xffffffff, nil), e.header(0xfffee000, "", 0xffffffff, nil)), 3000), slices.Repeat(slices.Concat(e.header(0xfffee00d, "", 0, nil), e.header(0xfffee0dd, "", 0, nil)), 3000)),
		} {
			if e == explicitBE && name == "an unknown value that is one" {
				continue // by the standard in little endian; nobody does that
			}
			named := make(map[string][]byte)
			for k, i := range stack(4) {
				// Before the first element of group 10, and after all.
				body, at := i.body(e), 0
				head := image{imageType: i[imageType], sopClass: i[sopClass], sopInstance: i[sopInstance], modality: i[modality]}
				at = len(head.body(e))
				named[fmt.Sprint(k)] = slices.Concat(meta(e.uid), body[:at], extra, body[at:], make([]byte, 64))
			}
			s, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
			wantStack(t, e.name+", "+name, 4, s, err)
		}
	}
}

// TestAFileThatIsCutIsNeverLeftOut cuts the last slice of a series at every
// length: a volume without it would look whole.
func TestAFileThatIsCutIsNeverLeftOut(t *testing.T) {
	for _, e := range encodings {
		named := files(stack(4), e)
		whole := named["IM3"]
		dir := folder(t, named)
		for n := 1; n < len(whole); n++ {
			if (e != explicitLE || n < 132) && n%7 != 0 {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, "IM3"), whole[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			s, _, err := dicom.Read(t.Context(), dir, volume.Options{})
			var r *volume.Refusal
			if n < 132 {
				// Not known to be DICOM; it is told among what was left out.
				if err != nil || len(s.LeftOut) != 1 {
					t.Errorf("%s cut at %d: %v", e.name, n, err)
				}
				continue
			}
			if !errors.As(err, &r) || r.File != "IM3" {
				t.Errorf("%s cut at %d of %d: %v", e.name, n, len(whole), err)
			}
		}
	}
}

func TestPaddingKeepsItsValueAndIsKnown(t *testing.T) {
	for name, test := range map[string]struct {
		changes image
		want    volume.Range
	}{
		"unsigned":              {image{padding: 63536}, volume.Range{Low: 63536, High: 63536}},
		"signed":                {image{padding: raw{"SS", []byte{0x18, 0xfc}}, signed: 1}, volume.Range{Low: -1000, High: -1000}},
		"signed, said unsigned": {image{padding: raw{"US", []byte{0x18, 0xfc}}, signed: 1}, volume.Range{Low: -1000, High: -1000}},
		"a range":               {image{padding: 10, 0x00280121: raw{"US", []byte{20, 0}}}, volume.Range{Low: 10, High: 20}},
		"scaled":                {image{padding: 5, slope: "-2", intercept: "1"}, volume.Range{Low: -9, High: -9}},
	} {
		s, err := readImages(t, all(stack(4), test.changes), explicitLE)
		if err != nil || s.Padding == nil || *s.Padding != test.want {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestPaddingIsNoTissueWhereEachSliceHasItsOwnScaling(t *testing.T) {
	list := all(stack(4), image{padding: 0, intercept: "0"})
	for k := range list {
		list[k] = list[k].with(image{slope: fmt.Sprint(k + 1)})
		list[k][pixelData].([]uint16)[5] = 0
	}
	s, err := readImages(t, list, explicitLE)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range s.Values {
		if padded := i%(wide*high) == 5 || i == 0; math.IsNaN(float64(v)) != padded {
			t.Errorf("voxel %d is %v", i, v)
		}
	}
}

func TestNothingIsAllocatedThatTheFilesCannotFill(t *testing.T) {
	list := all(stack(4), image{rows: 8000, columns: 4000, pixelData: nil})
	named := make(map[string][]byte)
	for k, i := range list {
		named[fmt.Sprint(k)] = append(i.file(explicitLE), explicitLE.header(pixelData, "OW", 2*8000*4000, nil)...)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
	runtime.ReadMemStats(&after)
	var r *volume.Refusal
	if !errors.As(err, &r) || r.Code != volume.CodeDamaged {
		t.Errorf("%v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d MB were allocated", took>>20)
	}
}
