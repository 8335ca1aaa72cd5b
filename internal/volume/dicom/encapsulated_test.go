package dicom_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

// fragmented is pixel data in fragments after an offset table.
func fragmented(table []uint32, fragments ...[]byte) []byte {
	var offsets []byte
	for _, offset := range table {
		offsets = binary.LittleEndian.AppendUint32(offsets, offset)
	}
	b := explicitLE.header(pixelData, "OB", 0xffffffff, nil)
	b = append(b, explicitLE.header(0xfffee000, "", uint32(len(offsets)), offsets)...)
	for _, fragment := range fragments {
		b = append(b, explicitLE.header(0xfffee000, "", uint32(len(fragment)), fragment)...)
	}
	return append(b, explicitLE.header(0xfffee0dd, "", 0, nil)...)
}

// runs codes cells of 16 bits as RLE Lossless: literal runs of at most 5 bytes,
// and repeats.
func runs(cells []uint16) []byte {
	segment := func(shift uint) []byte {
		var out, literal []byte
		flush := func() {
			if len(literal) > 0 {
				out = append(append(out, byte(len(literal)-1)), literal...)
				literal = nil
			}
		}
		for i := 0; i < len(cells); {
			n := 1
			for i+n < len(cells) && byte(cells[i+n]>>shift) == byte(cells[i]>>shift) && n < 128 {
				n++
			}
			if n > 2 {
				flush()
				out = append(out, byte(1-n), byte(cells[i]>>shift))
				i += n
				continue
			}
			if literal = append(literal, byte(cells[i]>>shift)); len(literal) == 5 {
				flush()
				out = append(out, 0x80) // which means nothing
			}
			i++
		}
		flush()
		return out
	}
	b := make([]byte, 64)
	binary.LittleEndian.PutUint32(b, 2)
	for i, shift := range []uint{8, 0} {
		binary.LittleEndian.PutUint32(b[4+4*i:], uint32(len(b)))
		b = append(b, segment(shift)...)
		b = append(b, make([]byte, len(b)%2)...)
	}
	return b
}

// compressed encodes an image whose pixel data are these bytes.
func compressed(i image, uid string, pixels []byte) []byte {
	return slices.Concat(meta(uid), i.with(image{pixelData: nil}).body(explicitLE), pixels)
}

const rleUID = "1.2.840.10008.1.2.5"

func TestFragmentsAreJoinedWhateverTheirTable(t *testing.T) {
	for name, pixels := range map[string]func(coded []byte) []byte{
		"no table":             func(c []byte) []byte { return fragmented(nil, c) },
		"a table":              func(c []byte) []byte { return fragmented([]uint32{0}, c) },
		"a table for two":      func(c []byte) []byte { return fragmented([]uint32{0, 40}, c) },
		"an offset elsewhere":  func(c []byte) []byte { return fragmented([]uint32{77}, c) },
		"in three parts":       func(c []byte) []byte { return fragmented(nil, c[:10], c[10:70], c[70:]) },
		"with an empty part":   func(c []byte) []byte { return fragmented(nil, c[:66], nil, c[66:]) },
		"of odd length":        func(c []byte) []byte { return fragmented(nil, append(c, 0x80)) },
		"without the last tag": func(c []byte) []byte { b := fragmented(nil, c); return b[:len(b)-8] },
	} {
		named := make(map[string][]byte)
		for k, i := range stack(4) {
			named[fmt.Sprint(k)] = compressed(i, rleUID, pixels(runs(i[pixelData].([]uint16))))
		}
		s, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
		wantStack(t, name, 4, s, err)
	}
}

func TestDamagedFragmentsAreRefused(t *testing.T) {
	whole := runs(slice(3)[pixelData].([]uint16))
	three := slices.Clone(whole)
	three[0] = 3
	for name, pixels := range map[string][]byte{
		"no fragment":           fragmented(nil),
		"half a picture":        fragmented(nil, whole[:len(whole)-6]),
		"no header":             fragmented(nil, whole[:40]),
		"three segments":        fragmented(nil, three),
		"a segment far away":    fragmented(nil, slices.Concat(whole[:8], []byte{0xff, 0xff, 0xff, 0x7f}, whole[12:])),
		"cut in a fragment":     fragmented(nil, whole)[:len(whole)],
		"a fragment of 4 GB":    explicitLE.header(0xfffee000, "", 0xfffffffe, nil),
		"something else inside": slices.Concat(explicitLE.header(pixelData, "OB", 0xffffffff, nil), explicitLE.element(rows, 3)),
	} {
		named := make(map[string][]byte)
		for k, i := range stack(4) {
			coded := fragmented(nil, runs(i[pixelData].([]uint16)))
			if k == 3 {
				coded = pixels
				if name == "a fragment of 4 GB" {
					coded = slices.Concat(fragmented(nil)[:20], pixels)
				}
			}
			named[fmt.Sprint("IM", k)] = compressed(i, rleUID, coded)
		}
		_, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
		var r *volume.Refusal
		if !errors.As(err, &r) || r.File != "IM3" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestACompressionThatIsNotDecodedIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for uid, name := range map[string]string{
		"1.2.840.10008.1.2.4.90": "JPEG 2000", "1.2.840.10008.1.2.4.91": "JPEG 2000", "1.2.840.10008.1.2.4.201": "HTJ2K", "1.2.840.10008.1.2.4.110": "JPEG XL",
		"1.2.840.10008.1.2.4.100": "MPEG-2", "1.2.840.10008.1.2.4.55": "Full Progression", "1.2.3.4.5": "1.2.3.4.5", "1.2.840.10008.1.2.1": "uncompressed",
	} {
		named := make(map[string][]byte)
		for k, i := range stack(4) {
			named[fmt.Sprint(k)] = compressed(i, uid, fragmented(nil, []byte("compressed")))
		}
		_, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
		var r *volume.Refusal
		if !errors.As(err, &r) || r.Code != volume.CodeUnsupportedSyntax || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), uid) {
			t.Errorf("%s: %v", uid, err)
		}
	}
}

// sequence is one of items, in a length that is stated or not.
func (e encoding) sequence(tag uint32, stated bool, items ...[]byte) []byte {
	var b []byte
	for _, item := range items {
		if stated {
			b = append(b, e.header(0xfffee000, "", uint32(len(item)), item)...)
		} else {
			b = append(append(append(b, e.header(0xfffee000, "", 0xffffffff, nil)...), item...), e.header(0xfffee00d, "", 0, nil)...)
		}
	}
	if stated {
		return e.header(tag, "SQ", uint32(len(b)), b)
	}
	return append(e.header(tag, "SQ", 0xffffffff, b), e.header(0xfffee0dd, "", 0, nil)...)
}

// enhanced makes one object of the slices in an order, with each frame's place
// and slope in its functional groups.
func enhanced(e encoding, stated bool, order []int, extra func(k int) []byte) []byte {
	var groups [][]byte
	var pixels []uint16
	for _, k := range order {
		group := e.sequence(0x00209113, stated, e.element(position, fmt.Sprintf(`-10\-20\%d`, 5*k)))
		group = append(group, e.sequence(0x00289145, stated, append(e.element(intercept, fmt.Sprint(100*k)), e.element(slope, "1")...))...)
		if extra != nil {
			group = append(extra(k), group...)
		}
		groups = append(groups, group)
		pixels = append(pixels, slice(0)[pixelData].([]uint16)...)
	}
	shared := e.sequence(0x00209116, stated, e.element(orientation, `1\0\0\0\1\0`))
	shared = append(shared, e.sequence(0x00289110, stated, e.element(spacing, `3\2`))...)
	top := slice(0).with(image{sopClass: "1.2.840.10008.5.1.4.1.1.4.1", position: nil, orientation: nil, spacing: nil, pixelData: nil, frames: fmt.Sprint(len(order))})
	return slices.Concat(meta(e.uid), top.body(e), e.sequence(0x52009229, stated, shared), e.sequence(0x52009230, stated, groups...), e.element(pixelData, pixels))
}

func TestFramesAreReadByTheirPositions(t *testing.T) {
	for _, e := range []encoding{implicitLE, explicitLE, explicitBE} {
		for _, stated := range []bool{true, false} {
			content := enhanced(e, stated, []int{2, 0, 3, 1}, nil)
			s, err := readFile(t, "IM1", content)
			wantStack(t, fmt.Sprintf("%s, %v", e.name, stated), 4, s, err)
			parts := map[string][]byte{"a": enhanced(e, stated, []int{3}, nil), "b": enhanced(e, stated, []int{2, 0}, nil), "c": enhanced(e, stated, []int{1}, nil)}
			s, _, err = dicom.Read(t.Context(), folder(t, parts), volume.Options{})
			wantStack(t, "in parts, "+e.name, 4, s, err)
		}
	}
	echo := func(k int) []byte {
		b := binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(2+k%2*5)))
		return explicitLE.sequence(0x00189114, true, explicitLE.header(0x00189082, "FD", 8, b))
	}
	for name, test := range map[string]struct {
		content []byte
		word    string
	}{
		"a gap":      {enhanced(explicitLE, true, []int{0, 1, 2, 4, 5, 6}, nil), "gap"},
		"a double":   {enhanced(explicitLE, true, []int{0, 1, 1, 2}, nil), ""}, // a copy: fine
		"two echoes": {twoEchoes(echo), "EchoTime"},
		"one frame":  {enhanced(explicitLE, true, []int{0}, nil), "one slice"},
	} {
		_, err := readFile(t, "IM1", test.content)
		if (test.word == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// twoEchoes has each place twice, at echoes that extra tells by k.
func TestTheFramesOfAllObjectsTogetherAreBounded(t *testing.T) {
	items := make([][]byte, 1<<16)
	object := slice(0).with(image{pixelData: nil})
	file := append(object.file(explicitLE), explicitLE.sequence(0x52009230, true, items...)...)
	named := make(map[string][]byte)
	for i := range 5 {
		named[fmt.Sprint("IM", i)] = file
	}
	s, _, err := dicom.Read(t.Context(), folder(t, named), volume.Options{})
	var r *volume.Refusal
	if !errors.As(err, &r) || r.Code != volume.CodeTooLarge {
		t.Errorf("%v, %v", s, err)
	}
}

func twoEchoes(extra func(k int) []byte) []byte {
	n := -1
	return enhanced(explicitLE, true, []int{0, 0, 1, 1, 2, 2}, func(int) []byte {
		n++
		return extra(n)
	})
}

func TestJPEG2000IsReadByAnInstalledProgram(t *testing.T) {
	if _, err := os.Stat("/usr/bin/gdcmconv"); err != nil {
		t.Skip("gdcmconv (Debian's libgdcm-tools) is not installed, so reading JPEG 2000 is not tested")
	}
	s, _, err := dicom.Read(t.Context(), filepath.Join("..", "testdata", "scans", "inputs", "d-j2k-signed"), volume.Options{})
	if err != nil || names(s) != "decompressed-by-program" || s.Statistics().Sum != -792004 {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzRead starts from an object of each of the odd scans, and reads it alone, as
// two slices of a series, and as a zip.
func FuzzRead(f *testing.F) {
	f.Setenv("PATH", f.TempDir())
	dirs, err := filepath.Glob(filepath.Join("..", "testdata", "scans", "inputs", "[dz]-*"))
	if err != nil || len(dirs) < 60 {
		f.Fatalf("%d seeds, %v", len(dirs), err)
	}
	for _, dir := range dirs {
		path := dir
		for {
			info, err := os.Stat(path)
			if err != nil {
				f.Fatal(err)
			}
			if !info.IsDir() {
				break
			}
			entries, _ := os.ReadDir(path)
			path = filepath.Join(path, entries[len(entries)-1].Name())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(enhanced(explicitLE, false, []int{2, 0, 3, 1}, nil))
	for _, e := range encodings {
		f.Add(slice(0).file(e))
	}
	f.Add(packed(f, files(stack(3), explicitLE), nil))
	dir := f.TempDir()
	other := slice(1).file(explicitLE)
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, content := range map[string][]byte{"a": b, "b": other} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{filepath.Join(dir, "a"), dir} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, _, err := dicom.Read(t.Context(), path, volume.Options{MaxVoxels: 1 << 16})
			runtime.ReadMemStats(&after)
			var r *volume.Refusal
			if err != nil && !errors.As(err, &r) {
				t.Errorf("no refusal: %v", err)
			}
			if err == nil && (len(s.Values) != s.Voxels() || !s.Affine.Usable()) {
				t.Errorf("%v: %d values, affine %v", s.Size, len(s.Values), s.Affine)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20+64*uint64(len(b)) {
				t.Errorf("%d bytes took %d bytes of memory", len(b), took)
			}
		}
	})
}
