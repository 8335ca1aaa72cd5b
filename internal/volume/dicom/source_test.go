package dicom_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

// packed makes a zip of files, in the order of their names.
func packed(t testing.TB, named map[string][]byte, change func(h *zip.FileHeader)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	var list []string
	for name := range named {
		list = append(list, name)
	}
	slices.Sort(list)
	for _, name := range list {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		if change != nil {
			change(h)
		}
		part, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		part.Write(named[name])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readFile(t testing.TB, name string, content []byte) (*volume.Scan, error) {
	t.Helper()
	s, _, err := dicom.Read(t.Context(), filepath.Join(folder(t, map[string][]byte{name: content}), name), volume.Options{})
	return s, err
}

func TestAZipIsReadWhateverItsNames(t *testing.T) {
	for name, test := range map[string]struct {
		file   func(k int) string
		change func(h *zip.FileHeader)
	}{
		"plain":         {func(k int) string { return fmt.Sprintf("IM%d", k) }, nil},
		"stored":        {func(k int) string { return fmt.Sprintf("IM%d", k) }, func(h *zip.FileHeader) { h.Method = zip.Store }},
		"code page 437": {func(k int) string { return fmt.Sprintf("CD\x82/S\x81/IM%d", k) }, func(h *zip.FileHeader) { h.NonUTF8 = true }},
		"backslashes":   {func(k int) string { return fmt.Sprintf(`CD\S\IM%d`, k) }, nil},
		"upwards":       {func(k int) string { return fmt.Sprintf("../../IM%d", k) }, nil},
	} {
		named := map[string][]byte{"__MACOSX/._IM0": []byte("\x00\x05\x16\x07"), "README.TXT": []byte("text")}
		for k, i := range stack(4) {
			named[test.file(k)] = i.file(explicitLE)
		}
		s, err := readFile(t, "scan.zip", packed(t, named, test.change))
		wantStack(t, name, 4, s, err)
		if err == nil && (len(s.LeftOut) != 1 || s.LeftOut[0].Count != 2) {
			t.Errorf("%s: left out %v", name, s.LeftOut)
		}
	}
}

func TestAZipThatIsDamagedLockedOrHostileIsRefused(t *testing.T) {
	whole := packed(t, files(stack(4), explicitLE), nil)
	flipped := bytes.Clone(whole)
	flipped[bytes.Index(whole, []byte("IM2"))+40] ^= 0x55
	locked := packed(t, files(stack(4), explicitLE), func(h *zip.FileHeader) { h.Flags |= 1 })
	var bomb bytes.Buffer
	w := zip.NewWriter(&bomb)
	part, err := w.CreateRaw(&zip.FileHeader{Name: "IM0", Method: zip.Deflate, CompressedSize64: 1000, UncompressedSize64: 80 << 20})
	if err != nil {
		t.Fatal(err)
	}
	part.Write(make([]byte, 1000))
	w.Close()
	for _, test := range []struct {
		name    string
		content []byte
		word    string
	}{
		{"a flipped bit", flipped, "IM2"}, {"a password", locked, "encrypted"}, {"cut", whole[:len(whole)-30], "truncated"},
		{"a bomb", bomb.Bytes(), "ratio"}, {"empty", packed(t, nil, nil), "no DICOM image"},
		{"a zip in a zip", packed(t, map[string][]byte{"inner.zip": whole}, nil), "a zip within"},
		{"no DICOM", packed(t, map[string][]byte{"a.txt": []byte("text")}, nil), "not DICOM"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := readFile(t, "scan.zip", test.content)
		runtime.ReadMemStats(&after)
		var r *volume.Refusal
		if !errors.As(err, &r) || !strings.Contains(err.Error(), test.word) || r.Cure == "" {
			t.Errorf("%s: %v, %v", test.name, s, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("%s: %d MB were allocated", test.name, took>>20)
		}
	}
	path := filepath.Join(t.TempDir(), "scan.zip")
	for n := 30; n < len(whole); n += 7 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		var r *volume.Refusal
		if s, _, err := dicom.Read(t.Context(), path, volume.Options{}); !errors.As(err, &r) {
			t.Fatalf("cut at %d: %v, %v", n, s, err)
		}
	}
}

func TestADeflatedBombIsBounded(t *testing.T) {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 1)
	w.Write(slice(0).with(image{pixelData: nil}).body(explicitLE))
	w.Write(explicitLE.header(0x00291010, "OB", 1<<31, nil))
	zeros := make([]byte, 1<<20)
	w.Write(zeros)
	w.Flush()
	start := packed.Len()
	w.Write(zeros)
	w.Flush()
	again := bytes.Clone(packed.Bytes()[start:])
	for range 70 { // the same bits once more are the same zeros
		packed.Write(again)
	}
	var r *volume.Refusal
	if _, err := readFile(t, "IM0", append(meta(deflatedLE.uid), packed.Bytes()...)); !errors.As(err, &r) || r.Code != volume.CodeDamaged {
		t.Errorf("%v", err)
	}
}

func TestFoldersAreSearchedThroughLinksButEachOnce(t *testing.T) {
	dir := folder(t, map[string][]byte{"in/readme": []byte("text")})
	elsewhere := folder(t, files(stack(4), implicitLE))
	for name, target := range map[string]string{"in/series": elsewhere, "in/again": elsewhere, "in/up": "..", "in/broken": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, _, err := dicom.Read(t.Context(), filepath.Join(dir, "in"), volume.Options{})
	wantStack(t, "through links", 4, s, err)
	if err == nil && (len(s.LeftOut) != 2 || len(s.Warnings) != 0) {
		t.Errorf("left out %v, warnings %v", s.LeftOut, s.Warnings)
	}
}

func TestADICOMDIRStandsForItsFolder(t *testing.T) {
	named := files(stack(4), explicitLE)
	directory := append(meta(explicitLE.uid), explicitLE.header(0x00041220, "SQ", 0, nil)...)
	directory = slices.Concat(directory[:132], explicitLE.header(0x00020002, "UI", 20, []byte("1.2.840.10008.1.3.10")), directory[132:])
	named["DICOMDIR"] = directory
	dir := folder(t, named)
	for _, path := range []string{dir, filepath.Join(dir, "DICOMDIR")} {
		s, _, err := dicom.Read(t.Context(), path, volume.Options{})
		wantStack(t, path, 4, s, err)
	}
	var r *volume.Refusal
	if _, err := readFile(t, "DICOMDIR", directory); !errors.As(err, &r) || !strings.Contains(err.Error(), "DICOMDIR") {
		t.Errorf("alone: %v", err)
	}
}

func TestScreenshotsAndReportsAmongTheImagesAreLeftOut(t *testing.T) {
	list := append(stack(4),
		slice(9).with(image{sopClass: "1.2.840.10008.5.1.4.1.1.7", samples: 3, photometric: "RGB", position: nil, orientation: nil}),
		image{sopClass: "1.2.840.10008.5.1.4.1.1.88.11", modality: "SR", series: "1.2.3", patientName: "QXMARK"},
		slice(9).with(image{sopClass: "1.2.840.10008.5.1.4.1.1.66.4", modality: "SEG", allocated: 1}))
	s, err := readImages(t, list, explicitLE)
	wantStack(t, "with others", 4, s, err)
	if err == nil && len(s.LeftOut) != 3 {
		t.Errorf("left out %v", s.LeftOut)
	}
}

// TestNothingOfAPatientComesOut gives files and folders the patient's name, and
// every text element of the header.
func TestNothingOfAPatientComesOut(t *testing.T) {
	check := func(what string, s *volume.Scan, err error) {
		text := fmt.Sprintf("%+v %v", s, err)
		if err != nil {
			var r *volume.Refusal
			if !errors.As(err, &r) {
				t.Errorf("%s: %v", what, err)
			}
			text = fmt.Sprintf("%+v", *r)
		}
		if strings.Contains(strings.ToUpper(text), "QXMARK") {
			t.Errorf("%s: %s", what, text)
		}
	}
	marked := image{imageType: `QXMARK\QXMARK`, modality: "QXMARK", description: "QXMARK", photometric: "MONOCHROME2", reference: "QXMARK"}
	for what, change := range map[string]func(list []image) []image{
		"read":   func(list []image) []image { return list },
		"a gap":  func(list []image) []image { return slices.Delete(list, 1, 2) },
		"colour": func(list []image) []image { return all(list, image{photometric: "QXMARK"}) },
		"two at one place": func(list []image) []image {
			return append(list, list[0].with(image{pixelData: make([]uint16, wide*high)}))
		},
		"a copy":            func(list []image) []image { return append(list, list[0]) },
		"two series":        func(list []image) []image { return append(list, all(list, image{series: "QXMARK"})...) },
		"another size":      func(list []image) []image { list[1] = list[1].with(image{rows: 2}); return list },
		"no such number":    func(list []image) []image { return all(list, image{spacing: `QXMARK\1`}) },
		"a damaged element": func(list []image) []image { return all(list, image{privateText: raw{"QX", []byte("QXMARK")}}) },
	} {
		for _, uid := range []string{explicitLE.uid, "QXMARK.1"} {
			named := map[string][]byte{"QXMARK_Jo/qxmark report.pdf": []byte("%PDF")}
			for k, i := range change(all(stack(6), marked)) {
				named[fmt.Sprintf("QXMARK_Jo/Qxmark-%d.dcm", k)] = append(meta(uid), i.body(explicitLE)...)
			}
			dir := folder(t, named)
			s, _, err := dicom.Read(t.Context(), dir, volume.Options{})
			check(what, s, err)
			s, err = readFile(t, "scan.zip", packed(t, named, nil))
			check(what+", zip", s, err)
			s, _, err = dicom.Read(t.Context(), dir, volume.Options{Series: "1.2.77"})
			check(what+", no such series", s, err)
		}
	}
}
