package nifti_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/nifti"
)

func readBytes(t testing.TB, name string, b []byte, options volume.Options) (*volume.Scan, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _, err := nifti.Read(t.Context(), path, options)
	return s, err
}

// kinds are the byte orders and versions.
func kinds(use func(name string, make func() *file)) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		for version := 1; version <= 2; version++ {
			use(order.String()+"-"+string('0'+rune(version)), func() *file { return newFile(order, version) })
		}
	}
}

func TestEveryDataTypeIsReadInBothByteOrdersAndVersions(t *testing.T) {
	kinds(func(name string, make func() *file) {
		for _, test := range []struct {
			code, bits int16
			voxels     any
			name       string
			first      float32
		}{
			{2, 8, filled[uint8](200), "uint8", 200}, {256, 8, filled[int8](-100), "int8", -100},
			{4, 16, filled[int16](-30000), "int16", -30000}, {512, 16, filled[uint16](60000), "uint16", 60000},
			{8, 32, filled[int32](-70000), "int32", -70000}, {768, 32, filled[uint32](3 << 30), "uint32", 3 << 30},
			{1024, 64, filled[int64](-1 << 40), "int64", -1 << 40}, {1280, 64, filled[uint64](1 << 63), "uint64", 1 << 63},
			{16, 32, filled[float32](-1.5), "float32", -1.5}, {64, 64, filled[float64](2.25), "float64", 2.25},
		} {
			f := make()
			f.datatype(test.code, test.bits)
			f.data(test.voxels)
			for _, content := range [][]byte{f.bytes(), zipped(f.bytes())} {
				s, err := readBytes(t, "scan.nii", content, volume.Options{})
				if err != nil {
					t.Errorf("%s %s: %v", name, test.name, err)
					continue
				}
				if s.DataType != test.name || s.Values[0] != test.first || s.Values[23] != 23 || s.Size != shape || len(s.Warnings) != 0 {
					t.Errorf("%s %s: %s, %v, %v", name, test.name, s.DataType, s.Values, s.Warnings)
				}
			}
		}
	})
}

// filled counts from 0, with another first value.
func filled[T uint8 | int8 | int16 | uint16 | int32 | uint32 | int64 | uint64 | float32 | float64](first T) []T {
	values := make([]T, 24)
	for i := range values {
		values[i] = T(i)
	}
	values[0] = first
	return values
}

// TestEachChoiceIsMadeAsDocumented has what is read although something is odd:
// in every byte order and version, with the warning that tells it.
func TestEachChoiceIsMadeAsDocumented(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, test := range []struct {
		name    string
		change  func(f *file)
		options volume.Options
		warning string        // its name; "" for none
		corner  volume.Vector // where voxel 3, 2, 1 lies
		value   float32       // of voxel 0
	}{
		{name: "nothing odd", change: func(f *file) {}},
		{name: "unused dimensions are zero", change: func(f *file) { f.dims(3, 4, 3, 2, 0, 0, 0, 0) }},
		{name: "unused dimensions are rubbish", change: func(f *file) { f.dims(3, 4, 3, 2, -5, 99, 7, 1) }},
		{name: "a fourth dimension of one", change: func(f *file) { f.dims(4, 4, 3, 2, 1) }},
		{name: "seven dimensions of one", change: func(f *file) { f.dims(7, 4, 3, 2, 1, 1, 1, 1) }},
		{name: "a fourth dimension of zero", change: func(f *file) { f.dims(4, 4, 3, 2, 0) }, warning: "dimension-zero"},
		{name: "two volumes", change: func(f *file) { f.dims(4, 4, 3, 2, 2); f.voxels = append(f.voxels, f.voxels...) }, warning: "first-volume-of-2"},
		{name: "the second of two volumes", change: func(f *file) {
			f.dims(4, 4, 3, 2, 2)
			f.voxels = append(slices.Repeat([]byte{0, 0}, 24), f.voxels...)
		}, options: volume.Options{Volume: 2}},
		{name: "metres", change: func(f *file) {
			f.units(1)
			for i := range 3 {
				f.srow(i, i, 0.01)
				f.pixdim(i+1, 0.01)
			}
		}, warning: "units-metre"},
		{name: "micrometres and seconds", change: func(f *file) {
			f.units(3 | 8)
			for i := range 3 {
				f.srow(i, i, 10000)
				f.pixdim(i+1, 10000)
			}
		}, warning: "units-micron"},
		{name: "no unit", change: func(f *file) { f.units(0) }, warning: "units-unknown"},
		{name: "a unit that does not exist", change: func(f *file) { f.units(6) }, warning: "units-unknown"},
		{name: "pixdim is zero beside an sform", change: func(f *file) { f.pixdim(1, 0) }, warning: "pixdim-ignored"},
		{name: "pixdim is no number beside an sform", change: func(f *file) { f.pixdim(2, nan) }, warning: "pixdim-ignored"},
		{name: "a qform that says the same", change: func(f *file) { f.codes(1, 2) }},
		{name: "a qform that says otherwise", change: func(f *file) { f.codes(2, 1); f.quatern(0, 1) }, warning: "sform-over-qform"},
		{name: "a qform that is none", change: func(f *file) { f.codes(2, 1); f.quatern(0, 3) }, warning: "sform-over-qform"},
		{name: "a qform alone, with rubbish in the sform", change: func(f *file) { f.codes(1, 0); f.srow(0, 0, -3); f.srow(1, 3, nan) }},
		{name: "a qform, qfac 0", change: func(f *file) { f.codes(1, 0); f.pixdim(0, 0) }},
		{name: "a qform, qfac -1", change: func(f *file) { f.codes(1, 0); f.pixdim(0, -1) }, corner: volume.Vector{30, 20, -10}},
		{name: "a qform, qfac -7", change: func(f *file) { f.codes(1, 0); f.pixdim(0, -7) }, warning: "qfac-sign", corner: volume.Vector{30, 20, -10}},
		{name: "a qform, qfac 2", change: func(f *file) { f.codes(1, 0); f.pixdim(0, 2) }, warning: "qfac-sign"},
		{name: "a half turn about the first axis", change: func(f *file) { f.codes(1, 0); f.quatern(0, 1) }, corner: volume.Vector{30, -20, -10}},
		{name: "a half turn, rounded up", change: func(f *file) { f.codes(1, 0); f.quatern(0, 1.005) }, warning: "qform-rounded", corner: volume.Vector{30, -20, -10}},
		{name: "a qform with sizes of its own", change: func(f *file) { f.codes(1, 0); f.pixdim(1, 5) }, corner: volume.Vector{15, 20, 10}},
		{name: "shear", change: func(f *file) { f.srow(0, 1, 3) }, warning: "pixdim-ignored shear", corner: volume.Vector{36, 20, 10}},
		{name: "axes in another order", change: func(f *file) {
			for i := range 3 {
				f.srow(i, i, 0)
				f.srow(i, (i+1)%3, -10)
			}
		}, corner: volume.Vector{-20, -10, -30}},
		{name: "a slope", change: func(f *file) { f.scaling(2, -5) }, value: -3},
		{name: "a slope of one with an intercept", change: func(f *file) { f.scaling(1, -5) }, value: -4},
		{name: "a negative slope", change: func(f *file) { f.scaling(-1, 100) }, warning: "scaling-negative", value: 99},
		{name: "a slope of zero", change: func(f *file) { f.scaling(0, 7) }, warning: "scaling-none"},
		{name: "a slope that is no number", change: func(f *file) { f.scaling(nan, nan) }, warning: "scaling-none"},
		{name: "an infinite slope", change: func(f *file) { f.scaling(inf, 0) }, warning: "scaling-none"},
		{name: "bitpix is wrong", change: func(f *file) { f.datatype(4, 32) }, warning: "bitpix-ignored"},
		{name: "bitpix is zero", change: func(f *file) { f.datatype(4, 0) }, warning: "bitpix-ignored"},
		{name: "bytes after the voxels", change: func(f *file) { f.voxels = append(f.voxels, 1, 2, 3) }, warning: "trailing-bytes"},
		{name: "vox_offset is zero", change: func(f *file) { f.voxOffset(0) }, warning: "vox-offset-unset"},
		{name: "voxels at an odd place", change: func(f *file) { f.between = make([]byte, 21); f.voxOffset(int64(len(f.header) + 21)) }},
		{name: "an extension", change: func(f *file) { f.extension(32, 28) }},
		{name: "an extension of absurd size", change: func(f *file) { f.extension(1<<31-1, 28) }, warning: "extension-damaged"},
		{name: "an extension of negative size", change: func(f *file) { f.extension(-16, 28) }, warning: "extension-damaged"},
		{name: "an extension of no size", change: func(f *file) { f.extension(0, 28) }, warning: "extension-damaged"},
		{name: "no orientation, and one assumed", change: func(f *file) { f.codes(0, 0); f.srow(0, 0, 0) }, options: volume.Options{Assume: "RAS"}, warning: "orientation-assumed"},
	} {
		kinds(func(kind string, make func() *file) {
			f := make()
			test.change(f)
			s, err := readBytes(t, "scan.nii.gz", zipped(f.bytes()), test.options)
			if err != nil {
				t.Errorf("%s (%s): %v", test.name, kind, err)
				return
			}
			var names []string
			for _, w := range s.Warnings {
				names = append(names, w.Name)
			}
			if want := strings.Fields(test.warning); !slices.Equal(names, want) {
				t.Errorf("%s (%s): warnings %v", test.name, kind, s.Warnings)
			}
			corner, value := test.corner, test.value
			if corner == (volume.Vector{}) {
				corner = volume.Vector{30, 20, 10}
			}
			if value == 0 {
				value = 1
			}
			if got := s.Affine.Apply(volume.Vector{3, 2, 1}); got.Minus(corner).Length() > 1e-4 || s.Values[0] != value {
				t.Errorf("%s (%s): the last voxel is at %v, the first is %v", test.name, kind, got, s.Values[0])
			}
		})
	}
}

// TestWhatContradictsItselfIsRefused has the refusals, in every byte order and
// version.
func TestWhatContradictsItselfIsRefused(t *testing.T) {
	nan := math.NaN()
	for _, test := range []struct {
		name   string
		change func(f *file)
		code   volume.Code
		word   string
	}{
		{"no dimensions", func(f *file) { f.dims(0) }, volume.CodeBadHeader, "dim[0]"},
		{"eight dimensions", func(f *file) { f.dims(8) }, volume.CodeBadHeader, "dim[0]"},
		{"a negative number of dimensions", func(f *file) { f.dims(-3) }, volume.CodeBadHeader, "dim[0]"},
		{"two dimensions", func(f *file) { f.dims(2, 4, 6, 1) }, volume.CodeNotAVolume, "slice"},
		{"one slice", func(f *file) { f.dims(3, 4, 6, 1) }, volume.CodeNotAVolume, "slice"},
		{"one column", func(f *file) { f.dims(3, 1, 4, 6) }, volume.CodeNotAVolume, "slice"},
		{"a negative size", func(f *file) { f.dims(3, 4, -3, 2) }, volume.CodeBadHeader, "dim[2]"},
		{"a size of zero", func(f *file) { f.dims(3, 0, 3, 2) }, volume.CodeBadHeader, "dim[1]"},
		{"a negative number of volumes", func(f *file) { f.dims(4, 4, 3, 2, -1) }, volume.CodeBadHeader, "dim[4]"},
		{"sizes beyond all bounds", func(f *file) { f.dims(3, 32767, 32767, 32767) }, volume.CodeTooLarge, "dim"},
		{"sizes that the file cannot hold", func(f *file) { f.dims(3, 250, 250, 250) }, volume.CodeDamaged, "truncated"},
		{"volumes that the file cannot hold", func(f *file) { f.dims(4, 4, 3, 2, 30000) }, volume.CodeDamaged, "truncated"},
		{"a vector field", func(f *file) { f.dims(5, 4, 3, 2, 1, 3) }, volume.CodeNotAVolume, "dimension 5"},
		{"a sixth dimension", func(f *file) { f.dims(6, 4, 3, 2, 1, 1, 2) }, volume.CodeNotAVolume, "dimension 6"},
		{"no data type", func(f *file) { f.datatype(0, 0) }, volume.CodeUnsupportedDataType, "datatype"},
		{"bits", func(f *file) { f.datatype(1, 1) }, volume.CodeUnsupportedDataType, "datatype"},
		{"complex numbers", func(f *file) { f.datatype(32, 64) }, volume.CodeUnsupportedDataType, "complex"},
		{"colour", func(f *file) { f.datatype(128, 24) }, volume.CodeColour, "colour"},
		{"colour with opacity", func(f *file) { f.datatype(2304, 32) }, volume.CodeColour, "colour"},
		{"long doubles", func(f *file) { f.datatype(1536, 128) }, volume.CodeUnsupportedDataType, "datatype"},
		{"an unknown type", func(f *file) { f.datatype(77, 16) }, volume.CodeUnsupportedDataType, "datatype"},
		{"bitpix fits the length, the type does not", func(f *file) { f.datatype(2, 16) }, volume.CodeBadHeader, "bitpix"},
		{"an sform of zeros", func(f *file) { f.srow(0, 0, 0); f.srow(1, 1, 0); f.srow(2, 2, 0) }, volume.CodeBadGeometry, "sform"},
		{"an sform without a third axis", func(f *file) { f.srow(2, 2, 0) }, volume.CodeBadGeometry, "singular"},
		{"an sform with an axis twice", func(f *file) { f.srow(0, 1, 10); f.srow(1, 1, 0) }, volume.CodeBadGeometry, "singular"},
		{"an sform with no number", func(f *file) { f.srow(1, 1, nan) }, volume.CodeBadGeometry, "sform"},
		{"an infinite origin", func(f *file) { f.srow(1, 3, math.Inf(-1)) }, volume.CodeBadGeometry, "sform"},
		{"a quaternion that is none", func(f *file) { f.codes(1, 0); f.quatern(0, 0.9); f.quatern(1, 0.9) }, volume.CodeBadGeometry, "quatern"},
		{"a quaternion with no number", func(f *file) { f.codes(1, 0); f.quatern(2, nan) }, volume.CodeBadGeometry, "quatern"},
		{"a qform with a negative size", func(f *file) { f.codes(1, 0); f.pixdim(2, -10) }, volume.CodeBadGeometry, "pixdim[2]"},
		{"a qform with a size of zero", func(f *file) { f.codes(1, 0); f.pixdim(3, 0) }, volume.CodeBadGeometry, "pixdim[3]"},
		{"a qform with no qfac", func(f *file) { f.codes(1, 0); f.pixdim(0, nan) }, volume.CodeBadGeometry, "pixdim[0]"},
		{"no orientation", func(f *file) { f.codes(0, 0) }, volume.CodeNoOrientation, "orientation"},
		{"codes below zero", func(f *file) { f.codes(-1, -1) }, volume.CodeNoOrientation, "orientation"},
		{"metres that are millimetres", func(f *file) { f.units(1) }, volume.CodeBadGeometry, "unit"},
		{"millimetres that are metres", func(f *file) { f.srow(0, 0, .01); f.srow(1, 1, .01); f.srow(2, 2, .01) }, volume.CodeBadGeometry, "unit"},
		{"a slope without intercept", func(f *file) { f.scaling(2, nan) }, volume.CodeBadHeader, "scl_inter"},
		{"voxels within the header", func(f *file) { f.voxOffset(100) }, volume.CodeBadHeader, "vox_offset"},
		{"voxels before the file", func(f *file) { f.voxOffset(-352) }, volume.CodeBadHeader, "vox_offset"},
		{"voxels beyond the end", func(f *file) { f.voxOffset(1 << 20) }, volume.CodeDamaged, "truncated"},
		{"voxels beyond all bounds", func(f *file) { f.voxOffset(1 << 40) }, volume.CodeBadHeader, "vox_offset"},
		{"voxels too early by four bytes", func(f *file) { f.between = nil }, volume.CodeDamaged, "short"},
		{"vox_offset zero and a length that does not tell", func(f *file) { f.voxOffset(0); f.between = make([]byte, 20) }, volume.CodeBadHeader, "vox_offset"},
		{"the last byte is missing", func(f *file) { f.voxels = f.voxels[:47] }, volume.CodeDamaged, "truncated"},
		{"no voxel at all", func(f *file) { f.voxels = nil }, volume.CodeDamaged, "truncated"},
		{"the header is cut", func(f *file) { f.header, f.between, f.voxels = f.header[:200], nil, nil }, volume.CodeDamaged, "header"},
	} {
		kinds(func(kind string, make func() *file) {
			f := make()
			test.change(f)
			for name, content := range map[string][]byte{"plain": f.bytes(), "gzip": zipped(f.bytes())} {
				s, err := readBytes(t, "scan.nii", content, volume.Options{})
				var refusal *volume.Refusal
				if !errors.As(err, &refusal) {
					t.Errorf("%s (%s, %s): read, or another error: %v, %v", test.name, kind, name, s, err)
					continue
				}
				if refusal.Code != test.code || !strings.Contains(refusal.Error(), test.word) || refusal.Cure == "" {
					t.Errorf("%s (%s, %s): %s: %v", test.name, kind, name, refusal.Code, refusal)
				}
			}
		})
	}
}

func TestAFileCutAnywhereIsRefused(t *testing.T) {
	whole := newFile(binary.LittleEndian, 1).bytes()
	for name, content := range map[string][]byte{"plain": whole, "gzip": zipped(whole)} {
		path := filepath.Join(t.TempDir(), name)
		for n := range content {
			if err := os.WriteFile(path, content[:n], 0o600); err != nil {
				t.Fatal(err)
			}
			_, _, err := nifti.Read(t.Context(), path, volume.Options{})
			var refusal *volume.Refusal
			if !errors.As(err, &refusal) || refusal.Code != volume.CodeDamaged && refusal.Code != volume.CodeNotAScan {
				t.Fatalf("%s cut at %d: %v", name, n, err)
			}
		}
	}
}

func TestNothingIsAllocatedThatTheFileCannotFill(t *testing.T) {
	f := newFile(binary.LittleEndian, 2)
	f.dims(3, 250, 250, 250)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readBytes(t, "scan.nii.gz", zipped(f.bytes()), volume.Options{}); err == nil {
		t.Error("read")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
}

// FuzzRead also writes labels for what was read.
func FuzzRead(f *testing.F) {
	kinds(func(_ string, make func() *file) {
		f.Add(make().bytes())
		f.Add(zipped(make().bytes()))
	})
	seeds, err := filepath.Glob(filepath.Join("..", "testdata", "scans", "inputs", "n-*.nii*"))
	if err != nil || len(seeds) < 40 {
		f.Fatalf("%d seeds, %v", len(seeds), err)
	}
	for _, seed := range seeds {
		b, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "scan.nii")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, h, err := nifti.Read(t.Context(), path, volume.Options{Assume: "RAS", MaxVoxels: 1 << 16})
		var refusal *volume.Refusal
		if err != nil {
			if !errors.As(err, &refusal) {
				t.Errorf("no refusal: %v", err)
			}
			return
		}
		if len(s.Values) != s.Voxels() || !s.Affine.Usable() {
			t.Errorf("%v: %d values, affine %v", s.Size, len(s.Values), s.Affine)
		}
		var out bytes.Buffer
		if err := nifti.WriteLabels(&out, labelsOf(s), h); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		again, _, err := nifti.Read(t.Context(), path, volume.Options{Assume: "RAS"})
		if err != nil {
			t.Fatalf("the labels cannot be read: %v", err)
		}
		if again.Size != s.Size {
			t.Errorf("labels of %v for %v", again.Size, s.Size)
		}
	})
}
