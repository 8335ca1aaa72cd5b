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

func TestImagesThatAreNoOneVolumeAreRefusedWithTheReason(t *testing.T) {
	twice := append(stack(4), slice(2).with(image{sopInstance: "1.2.3.99", pixelData: make([]uint16, wide*high)}))
	tilted := stack(4)
	for k := range tilted {
		tilted[k][position] = fmt.Sprintf(`-10\-20\%d`, 5*k)
	}
	tilted[2][position] = `-10\-18\10`
	for _, test := range []struct {
		name string
		list []image
		code volume.Code
		word string
	}{
		{"no orientation", all(stack(4), image{orientation: nil}), volume.CodeNoOrientation, "ImageOrientationPatient"},
		{"an empty orientation", all(stack(4), image{orientation: ""}), volume.CodeNoOrientation, "ImageOrientationPatient"},
		{"an orientation of zeros", all(stack(4), image{orientation: `0\0\0\0\0\0`}), volume.CodeBadGeometry, "ImageOrientationPatient"},
		{"one direction twice", all(stack(4), image{orientation: `1\0\0\1\0\0`}), volume.CodeBadGeometry, "ImageOrientationPatient"},
		{"half an orientation", all(stack(4), image{orientation: `1\0\0`}), volume.CodeBadHeader, "ImageOrientationPatient"},
		{"no position", all(stack(4), image{position: nil}), volume.CodeNoOrientation, "ImagePositionPatient"},
		{"no position in one", append(stack(3), slice(3).with(image{position: nil})), volume.CodeNoOrientation, "IM3"},
		{"no spacing", all(stack(4), image{spacing: nil}), volume.CodeNoOrientation, "PixelSpacing"},
		{"a spacing of zero", all(stack(4), image{spacing: `0\2`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"a negative spacing", all(stack(4), image{spacing: `3\-2`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"a spacing of kilometres", all(stack(4), image{spacing: `1e6\1e6`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"an image of a millimetre", all([]image{slice(0), slice(0).with(image{sopInstance: "1.2.3.98", position: `-10\-20\0.5`})}, image{spacing: `0.1\0.1`}), volume.CodeBadGeometry, "PixelSpacing"},
		{"slices kilometres apart", []image{slice(0), slice(1).with(image{position: `-10\-20\1e6`})}, volume.CodeBadGeometry, "ImagePositionPatient"},
		{"no rows", all(stack(4), image{rows: nil}), volume.CodeBadHeader, "Rows"},
		{"no columns", all(stack(4), image{columns: 0}), volume.CodeBadHeader, "Columns"},
		{"sides whose product overflows", all(stack(4), image{rows: raw{"UL", []byte{255, 255, 255, 255}}, columns: raw{"UL", []byte{255, 255, 255, 255}}, spacing: `1e-8\1e-8`}), volume.CodeTooLarge, "too large"},
		{"other spacing in one", append(stack(3), slice(3).with(image{spacing: `3\2.1`})), volume.CodeMixedSeries, "PixelSpacing"},
		{"other size in one", append(stack(3), slice(3).with(image{rows: 2})), volume.CodeMixedSeries, "Rows"},
		{"other orientation in one", append(stack(3), slice(3).with(image{orientation: `1\0\0\0\0\1`})), volume.CodeMixedSeries, "orientation"},
		{"one turned over", append(stack(3), slice(3).with(image{orientation: `0\1\0\1\0\0`})), volume.CodeMixedSeries, "orientation"},
		{"other frame of reference", append(stack(3), slice(3).with(image{reference: "1.2.8"})), volume.CodeMixedSeries, "FrameOfReference"},
		{"a gap", slices.Delete(stack(8), 3, 4), volume.CodeMissingSlices, "gap"},
		{"a gap of two", slices.Delete(stack(8), 3, 5), volume.CodeMissingSlices, "gap"},
		{"two gaps", slices.Delete(slices.Delete(stack(9), 6, 7), 2, 3), volume.CodeMissingSlices, "gap"},
		{"spacing that changes", []image{slice(0), slice(1), slice(2), slice(4), slice(6)}, volume.CodeMissingSlices, "spacing"},
		{"two images at one place", twice, volume.CodeAmbiguousVolume, "duplicate"},
		{"a slice that is shifted in its plane", tilted, volume.CodeBadGeometry, "position"},
		{"all at one place", all(stack(4), image{position: `0\0\0`}), volume.CodeAmbiguousVolume, "same position"},
		{"one slice", stack(1), volume.CodeNotAVolume, "one slice"},
		{"colour", all(stack(4), image{samples: 3, photometric: "RGB"}), volume.CodeColour, "colour"},
		{"a palette", all(stack(4), image{photometric: "PALETTE COLOR"}), volume.CodeColour, "PALETTE"},
		{"luma and chroma", all(stack(4), image{samples: 3, photometric: "YBR_FULL"}), volume.CodeColour, "YBR_FULL"},
		{"a mosaic", all(stack(4), image{imageType: `ORIGINAL\PRIMARY\M\ND\MOSAIC`}), volume.CodeMosaic, "mosaic"},
		{"no pixels in one", append(stack(3), slice(3).with(image{pixelData: nil})), volume.CodeNoImage, "pixel data"},
		{"no pixels at all", all(stack(4), image{pixelData: nil}), volume.CodeNoImage, "pixel data"},
		{"empty pixels", all(stack(4), image{pixelData: []uint16{}}), volume.CodeNoImage, "pixel data"},
		{"pixels too few", append(stack(3), slice(3).with(image{pixelData: make([]uint16, wide*high-1)})), volume.CodeDamaged, "too short"},
		{"pixels for two", append(stack(3), slice(3).with(image{pixelData: make([]uint16, 2*wide*high)})), volume.CodeBadHeader, "too long"},
		{"packed bits", all(stack(4), image{allocated: 12, storedBits: 12, highBit: 11}), volume.CodeUnsupportedDataType, "BitsAllocated"},
		{"more bits stored than there are", all(stack(4), image{storedBits: 17, highBit: 16}), volume.CodeBadHeader, "BitsStored"},
		{"frames without positions", all(stack(4), image{frames: "2"}), volume.CodeBadGeometry, "frames"},
		{"a slope of zero", all(stack(4), image{slope: "0"}), volume.CodeBadHeader, "RescaleSlope"},
		{"a slope that is none", all(stack(4), image{slope: "1,5"}), volume.CodeBadHeader, "RescaleSlope"},
	} {
		for _, e := range encodings {
			s, err := readImages(t, test.list, e)
			var r *volume.Refusal
			if !errors.As(err, &r) {
				t.Errorf("%s (%s): read, or another error: %v, %v", test.name, e.name, s, err)
				continue
			}
			if r.Code != test.code || !strings.Contains(err.Error(), test.word) || r.Cure == "" {
				t.Errorf("%s (%s): %s: %v", test.name, e.name, r.Code, err)
			}
		}
	}
}

func TestChoicesAreToldByName(t *testing.T) {
	jittered := stack(4)
	jittered[1][position] = `-10.004\-20\5.003`
	turned := stack(4)
	turned[2][orientation] = `1\0.00004\0\-0.00004\1\0`
	sheared := stack(4)
	for k := range sheared {
		sheared[k][position] = fmt.Sprintf(`-10\%d\%d`, -20+k, 5*k)
	}
	for _, test := range []struct {
		name     string
		list     []image
		warnings string
	}{
		{"nothing odd", stack(4), ""},
		{"names in reverse", []image{slice(3), slice(2), slice(1), slice(0)}, ""},
		{"positions off by microns", jittered, "positions-rounded"},
		{"directions off in the fifth digit", turned, "orientation-averaged"},
		{"a tilt", sheared, "shear"},
		{"low is bright", all(stack(4), image{photometric: "MONOCHROME1"}), "monochrome1-turned"},
		{"no word of grey", all(stack(4), image{photometric: nil}), "photometric-missing"},
		{"a padding value", all(stack(4), image{padding: 7}), "padding"},
		{"a negative slope", all(stack(4), image{slope: "-1"}), "scaling-negative"},
		{"slopes of their own", append(stack(3), slice(3).with(image{slope: "2"})), "scaling-varies"},
		{"a copy", append(stack(4), slice(2)), "copies-dropped"},
		{"a copy under another number", append(stack(4), slice(2).with(image{sopInstance: "1.7"})), "copies-dropped"},
		{"CT", all(stack(4), image{modality: "CT", sopClass: "1.2.840.10008.5.1.4.1.1.2"}), "not-mr"},
	} {
		s, err := readImages(t, test.list, explicitLE)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if names(s) != test.warnings || s.Size != [3]int{wide, high, 4} {
			t.Errorf("%s: %v, %v", test.name, s.Warnings, s.Size)
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

func TestSeveralVolumesInASeriesAreChosenByNumber(t *testing.T) {
	echoes := append(all(stack(4), image{echoTime: "10"}), all(stack(4), image{echoTime: "2.5", pixelData: make([]uint16, wide*high)})...)
	dir := folder(t, files(echoes, implicitLE))
	var r *volume.Refusal
	if _, _, err := dicom.Read(t.Context(), dir, volume.Options{}); !errors.As(err, &r) || r.Code != volume.CodeAmbiguousVolume || !strings.Contains(err.Error(), "EchoTime") {
		t.Errorf("none chosen: %v", err)
	}
	s, _, err := dicom.Read(t.Context(), dir, volume.Options{Volume: 2}) // the longer echo
	wantStack(t, "the second", 4, s, err)
	if err == nil && names(s) != "volume-chosen" {
		t.Errorf("%v", s.Warnings)
	}
	if _, _, err := dicom.Read(t.Context(), dir, volume.Options{Volume: 3}); !errors.As(err, &r) {
		t.Errorf("a third: %v", err)
	}
}

func TestTheT1LikeSeriesIsChosenByStatedRules(t *testing.T) {
	of := func(uid string, changes image) []image {
		list := all(stack(4), changes)
		for k := range list {
			list[k][series], list[k][sopInstance] = uid, fmt.Sprintf("%s.%d", uid, k)
		}
		return list
	}
	t2 := of("1.2.5", image{repetition: "4000", echoTime: "90", description: "ax t2"})
	flair := of("1.2.6", image{repetition: "9000", echoTime: "120", inversion: "2500", description: "flair"})
	scout := of("1.2.4", image{imageType: `ORIGINAL\PRIMARY\LOCALIZER`, repetition: "10", echoTime: "5"})
	mprage := of("1.2.3", image{repetition: "2300", echoTime: "2.98", inversion: "900"})
	spinEcho := of("1.2.3", image{repetition: "500", echoTime: "10"})
	named := of("1.2.3", image{description: "SAG T1 MPRAGE"})
	for _, test := range []struct {
		name string
		list []image
		code volume.Code // "" if 1.2.3 is right
	}{
		{"inversion", slices.Concat(t2, mprage, scout), ""},
		{"short times", slices.Concat(spinEcho, t2, flair), ""},
		{"by name", slices.Concat(of("1.2.5", image{description: "AX T2"}), named), ""},
		{"only one is a volume", slices.Concat(scout, of("1.2.7", image{})[:2], of("1.2.3", image{})), ""},
		{"contrast agent", slices.Concat(mprage, of("1.2.9", image{repetition: "2300", echoTime: "2.98", inversion: "900", contrastAgent: "Gd"})), ""},
		{"derived", slices.Concat(mprage, of("1.2.9", image{repetition: "2300", echoTime: "2.98", inversion: "900", imageType: `DERIVED\SECONDARY`})), ""},
		{"a picture of another kind", slices.Concat(mprage, of("1.2.9", image{modality: "OT", sopClass: "1.2.840.10008.5.1.4.1.1.7", repetition: nil})), ""},
		{"two alike", slices.Concat(mprage, of("1.2.8", image{repetition: "2300", echoTime: "2.98", inversion: "900"})), volume.CodeSeveralSeries},
		{"none is T1", slices.Concat(t2, flair), volume.CodeSeveralSeries},
	} {
		dir := folder(t, files(test.list, explicitLE))
		s, _, err := dicom.Read(t.Context(), dir, volume.Options{})
		var r *volume.Refusal
		switch {
		case test.code == "":
			if err != nil || s.Series != "1.2.3" || names(s) != "series-chosen" || len(s.LeftOut) == 0 {
				t.Errorf("%s: %+v, %v", test.name, s, err)
			}
		case !errors.As(err, &r) || r.Code != test.code || !strings.Contains(err.Error(), "1.2.8") && !strings.Contains(err.Error(), "1.2.6"):
			t.Errorf("%s: %v", test.name, err)
		}
		uid := test.list[0][series].(string)
		if uid == "1.2.4" {
			continue
		}
		if s, _, err := dicom.Read(t.Context(), dir, volume.Options{Series: uid}); err != nil || s.Series != uid || strings.Contains(names(s), "chosen") {
			t.Errorf("%s, by its UID: %v", test.name, err)
		}
	}
	if _, _, err := dicom.Read(t.Context(), folder(t, files(mprage, explicitLE)), volume.Options{Series: "1.9"}); err == nil {
		t.Error("a series that is not there was read")
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
