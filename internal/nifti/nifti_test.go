package nifti

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"testing"
)

// file is a NIfTI file in the making.
type file struct {
	order     binary.ByteOrder
	size      [3]int16
	datatype  int16
	slope     float32
	intercept float32
	sform     *[3][4]float32
	voxels    any
}

func (f file) bytes(t testing.TB) []byte {
	t.Helper()
	if f.order == nil {
		f.order = binary.LittleEndian
	}
	h := make([]byte, 352)
	f.order.PutUint32(h, headerBytes)
	for i, n := range []int16{3, f.size[0], f.size[1], f.size[2], 1, 1, 1, 1} {
		f.order.PutUint16(h[offsetDim+2*i:], uint16(n))
	}
	f.order.PutUint16(h[offsetDatatype:], uint16(f.datatype))
	put := func(offset int, v float32) { f.order.PutUint32(h[offset:], math.Float32bits(v)) }
	for i := range 4 {
		put(offsetPixdim+4*i, 1)
	}
	put(offsetVox, 352)
	put(offsetSlope, f.slope)
	put(offsetInter, f.intercept)
	if f.sform != nil {
		f.order.PutUint16(h[offsetSform:], 1)
		for row := range 3 {
			for column := range 4 {
				put(offsetSrow+16*row+4*column, f.sform[row][column])
			}
		}
	}
	copy(h[offsetMagic:], "n+1\x00")
	var b bytes.Buffer
	b.Write(h)
	if err := binary.Write(&b, f.order, f.voxels); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEveryDatatypeAndByteOrderIsRead(t *testing.T) {
	want := []float32{0, 1, 2, 3, 100, 127, 50, 7}
	for _, test := range []struct {
		datatype int16
		voxels   any
	}{
		{2, []uint8{0, 1, 2, 3, 100, 127, 50, 7}}, {256, []int8{0, 1, 2, 3, 100, 127, 50, 7}},
		{4, []int16{0, 1, 2, 3, 100, 127, 50, 7}}, {512, []uint16{0, 1, 2, 3, 100, 127, 50, 7}},
		{8, []int32{0, 1, 2, 3, 100, 127, 50, 7}}, {768, []uint32{0, 1, 2, 3, 100, 127, 50, 7}},
		{16, []float32{0, 1, 2, 3, 100, 127, 50, 7}}, {64, []float64{0, 1, 2, 3, 100, 127, 50, 7}},
	} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			f := file{order: order, size: [3]int16{2, 2, 2}, datatype: test.datatype, voxels: test.voxels}
			var zipped bytes.Buffer
			w := gzip.NewWriter(&zipped)
			w.Write(f.bytes(t))
			w.Close()
			for _, content := range [][]byte{f.bytes(t), zipped.Bytes()} {
				v, err := Read(bytes.NewReader(content))
				if err != nil {
					t.Fatalf("datatype %d, %v: %v", test.datatype, order, err)
				}
				if !slices.Equal(v.Values, want) || v.Bytes != (test.datatype == 2) {
					t.Errorf("datatype %d, %v: %v", test.datatype, order, v)
				}
			}
		}
	}
	f := file{size: [3]int16{2, 1, 1}, datatype: 2, slope: 2, intercept: -1, voxels: []uint8{0, 5}}
	v, err := Read(bytes.NewReader(f.bytes(t)))
	if err != nil || !slices.Equal(v.Values, []float32{-1, 9}) || v.Bytes {
		t.Errorf("scaled values: %v, %v", v, err)
	}
}

func TestAxesAreTurnedToRightAnteriorSuperior(t *testing.T) {
	voxels := []uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}
	for name, test := range map[string]struct {
		sform [3][4]float32
		size  [3]int
		at    func(x, y, z int) int // index in the file of R, A, S
	}{
		"as they are":        {[3][4]float32{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}, [3]int{2, 3, 4}, func(x, y, z int) int { return x + 2*y + 6*z }},
		"left instead":       {[3][4]float32{{-1, 0, 0, 9}, {0, 1, 0, 0}, {0, 0, 1, 0}}, [3]int{2, 3, 4}, func(x, y, z int) int { return 1 - x + 2*y + 6*z }},
		"all the other way":  {[3][4]float32{{-1, 0, 0, 9}, {0, -2, 0, 0}, {0, 0, -3, 0}}, [3]int{2, 3, 4}, func(x, y, z int) int { return 1 - x + 2*(2-y) + 6*(3-z) }},
		"swapped":            {[3][4]float32{{0, 0, 1, 0}, {1, 0, 0, 0}, {0, -1, 0, 0}}, [3]int{4, 2, 3}, func(x, y, z int) int { return y + 2*(2-z) + 6*x }},
		"a little oblique":   {[3][4]float32{{0.9, 0.3, 0, 0}, {-0.3, 0.9, 0.1, 0}, {0, -0.1, 1, 0}}, [3]int{2, 3, 4}, func(x, y, z int) int { return x + 2*y + 6*z }},
		"nonsense does well": {[3][4]float32{}, [3]int{2, 3, 4}, func(x, y, z int) int { return x + 2*y + 6*z }},
	} {
		t.Run(name, func(t *testing.T) {
			f := file{size: [3]int16{2, 3, 4}, datatype: 2, sform: &test.sform, voxels: voxels}
			v, err := Read(bytes.NewReader(f.bytes(t)))
			if err != nil {
				t.Fatal(err)
			}
			if v.Size != test.size {
				t.Fatalf("size %v", v.Size)
			}
			for i, got := range v.Values {
				x, y, z := i%v.Size[0], i/v.Size[0]%v.Size[1], i/v.Size[0]/v.Size[1]
				if want := test.at(x, y, z); int(got) != want {
					t.Fatalf("voxel %d %d %d is %v, want %d", x, y, z, got, want)
				}
			}
		})
	}
}

func TestSlicesHaveTheFrontOrTheTopUp(t *testing.T) {
	v := &Volume{Size: [3]int{2, 3, 4}}
	values := make([]uint8, 24)
	for i := range values {
		values[i] = uint8(i)
	}
	for plane, want := range map[Plane][]uint8{
		Axial:    {10, 11, 8, 9, 6, 7},                        // z 1: y downwards from the front
		Coronal:  {20, 21, 14, 15, 8, 9, 2, 3},                // y 1: z downwards
		Sagittal: {19, 21, 23, 13, 15, 17, 7, 9, 11, 1, 3, 5}, // x 1
	} {
		if got := v.Slice(values, plane, 1); !bytes.Equal(got.Pix, want) {
			t.Errorf("%v: %v, want %v", plane, got.Pix, want)
		}
	}
}

func TestGreyStretchesFromTheMinimumToThe999thPermille(t *testing.T) {
	v := &Volume{Size: [3]int{2001, 1, 1}, Values: make([]float32, 2001)}
	for i := range v.Values {
		v.Values[i] = float32(i) - 500
	}
	v.Values[2000] = 1e6
	grey := v.Grey()
	// The 99.9th percentile is value number 1998.
	if grey[0] != 0 || grey[999] != 128 || grey[1998] != 255 || grey[2000] != 255 {
		t.Errorf("%d %d %d %d", grey[0], grey[999], grey[1998], grey[2000])
	}
}

func TestWhatIsNoVolumeIsNamed(t *testing.T) {
	good := file{size: [3]int16{2, 2, 2}, datatype: 2, voxels: make([]uint8, 8)}
	for name, test := range map[string]struct {
		content []byte
		want    error
	}{
		"nothing":       {nil, ErrFormat},
		"text":          {bytes.Repeat([]byte("text"), 100), ErrFormat},
		"cut short":     {good.bytes(t)[:359], ErrFormat},
		"half a header": {good.bytes(t)[:100], ErrFormat},
		"huge":          {file{size: [3]int16{32767, 32767, 32767}, datatype: 2, voxels: []uint8{1}}.bytes(t), ErrTooLarge},
		"colours":       {file{size: [3]int16{1, 1, 1}, datatype: 128, voxels: []uint8{1, 2, 3}}.bytes(t), ErrUnsupported},
		"no voxels":     {file{size: [3]int16{0, 1, 1}, datatype: 2, voxels: []uint8{}}.bytes(t), ErrFormat},
	} {
		if _, err := Read(bytes.NewReader(test.content)); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file{size: [3]int16{2, 2, 2}, datatype: 2, voxels: make([]uint8, 8)}.bytes(f))
	f.Add(file{size: [3]int16{2, 1, 2}, datatype: 16, sform: &[3][4]float32{{0, 1, 0, 0}, {1, 0, 0, 0}, {0, 0, -1, 0}}, voxels: make([]float32, 4)}.bytes(f))
	f.Fuzz(func(t *testing.T, content []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v, err := Read(bytes.NewReader(content))
		runtime.ReadMemStats(&after)
		// The header may promise 512 MB. A voxel of a byte takes 4, twice where
		// axes are turned, and more while the slice grows.
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20+32*uint64(unzipped(content)) {
			t.Errorf("%d bytes of file took %d bytes of memory", len(content), used)
		}
		if err != nil {
			return
		}
		if len(v.Values) != v.Size[0]*v.Size[1]*v.Size[2] {
			t.Fatalf("%v has %d voxels", v.Size, len(v.Values))
		}
		grey := v.Grey()
		for _, p := range Planes {
			v.Slice(grey, p, v.Slices(p)-1)
		}
	})
}

// unzipped returns the length of what content holds when gzip is taken off.
func unzipped(content []byte) int64 {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return int64(len(content))
	}
	n, _ := io.Copy(io.Discard, r) // what is damaged counts up to there
	return n
}
