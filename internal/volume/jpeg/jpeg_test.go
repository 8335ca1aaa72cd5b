package jpeg_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume/jpeg"
)

// The pictures in testdata have 61 x 37 pixels. Those of DICOM were coded by
// dcmtk's dcmcjpeg, and the lossy ones decoded by its dcmdjpeg; the one with
// restarts is from Pillow. Raw files hold 16-bit little-endian samples.
const width, height = 61, 37

func raw(t testing.TB, name string) []uint16 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	samples := make([]uint16, len(b)/2)
	for i := range samples {
		samples[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return samples
}

func pictures(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "*.jpg"))
	if err != nil || len(names) < 25 {
		t.Fatalf("%d pictures, %v", len(names), err)
	}
	all := make(map[string][]byte)
	for _, name := range names {
		if all[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestPicturesOfOtherEncodersAreDecodedAlike(t *testing.T) {
	for name, coded := range pictures(t) {
		picture, err := jpeg.Decode(coded, width*height)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		bits, _ := strconv.Atoi(name[:strings.Index(name, "bit")])
		if picture.Width != width || picture.Height != height || picture.Precision < bits { // dcmcjpeg codes cells of 12 bits with 16
			t.Errorf("%s: %d x %d, %d bits", name, picture.Width, picture.Height, picture.Precision)
		}
		// Transforms may round another way; without loss every bit counts.
		reference, slack := strings.TrimSuffix(name, ".jpg")+".raw", 1
		if strings.Contains(name, "predictor") {
			reference, slack = strconv.Itoa(bits)+"bit.raw", 0
		}
		for i, want := range raw(t, reference) {
			if off := int(picture.Samples[i]) - int(want); off > slack || off < -slack {
				t.Errorf("%s: sample %d is %d, not %d", name, i, picture.Samples[i], want)
				break
			}
		}
	}
}

func TestAPictureCutAnywhereIsAnErrorOfItsOwn(t *testing.T) {
	for name, coded := range pictures(t) {
		end := bytes.LastIndex(coded, []byte{0xff, 0xd9})
		for n := range end {
			if n > 400 && n%7 != 0 && n < end-8 {
				continue
			}
			picture, err := jpeg.Decode(coded[:n], width*height)
			// The last bits may be padding.
			if err == nil && n < end-2 {
				t.Fatalf("%s, cut at %d of %d: decoded to %d samples", name, n, len(coded), len(picture.Samples))
			}
			if err != nil && !errors.Is(err, jpeg.ErrDamaged) && !errors.Is(err, jpeg.ErrUnsupported) {
				t.Fatalf("%s, cut at %d: %v", name, n, err)
			}
		}
	}
}

func TestOtherProcessesAreUnsupportedAndNotDamaged(t *testing.T) {
	coded := pictures(t)["8bit-baseline.jpg"]
	at := bytes.Index(coded, []byte{0xff, 0xc0})
	for _, marker := range []byte{0xc2, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb} {
		other := bytes.Clone(coded)
		other[at+1] = marker
		if _, err := jpeg.Decode(other, width*height); !errors.Is(err, jpeg.ErrUnsupported) {
			t.Errorf("marker %#x: %v", marker, err)
		}
	}
	colours := bytes.Clone(coded)
	colours[at+9] = 3
	if _, err := jpeg.Decode(colours, width*height); !errors.Is(err, jpeg.ErrUnsupported) {
		t.Errorf("three colours: %v", err)
	}
}

func TestAPictureLargerThanExpectedTakesNoMemory(t *testing.T) {
	coded := bytes.Clone(pictures(t)["16bit-predictor1.jpg"])
	at := bytes.Index(coded, []byte{0xff, 0xc3})
	copy(coded[at+5:], []byte{0xff, 0xff, 0xff, 0xff})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := jpeg.Decode(coded, width*height); !errors.Is(err, jpeg.ErrDamaged) {
		t.Errorf("%v", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("%d bytes were taken", took)
	}
}

// lossless codes samples with predictor 1, restarts after each row and low bits
// left out: no encoder at hand does that. Each difference has a code of 5 bits
// for its length.
func lossless(samples []uint16, width, bits int, transform uint) []byte {
	var b bytes.Buffer
	height := len(samples) / width
	b.Write([]byte{0xff, 0xd8, 0xff, 0xc3, 0, 11, byte(bits), 0, byte(height), 0, byte(width), 1, 1, 0x11, 0})
	b.Write([]byte{0xff, 0xc4, 0, 2 + 17 + 17, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	for length := range 17 {
		b.WriteByte(byte(length))
	}
	b.Write([]byte{0xff, 0xdd, 0, 4, 0, byte(width)})
	b.Write([]byte{0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, byte(transform)})
	for y := range height {
		if y > 0 {
			b.Write([]byte{0xff, 0xd0 + byte(y-1)%8})
		}
		held, n := uint64(0), uint(0)
		put := func(v uint64, length uint) {
			for held, n = held<<length|v, n+length; n >= 8; n -= 8 {
				c := byte(held >> (n - 8))
				if b.WriteByte(c); c == 0xff {
					b.WriteByte(0)
				}
			}
		}
		last := int32(1) << (uint(bits) - transform - 1)
		for x := range width {
			v := int32(samples[y*width+x] >> transform)
			difference := int32(int16(v - last))
			last = v
			length, size := uint(0), difference
			if size < 0 {
				size = -size
			}
			for ; size > 0; size >>= 1 {
				length++
			}
			put(uint64(length), 5)
			if length == 16 {
				continue
			}
			if difference < 0 {
				difference += 1<<length - 1
			}
			put(uint64(difference), length)
		}
		if n > 0 {
			put(1<<(8-n)-1, 8-n)
		}
	}
	b.Write([]byte{0xff, 0xd9})
	return b.Bytes()
}

func TestRestartsAndLeftOutBitsAreUnderstood(t *testing.T) {
	for _, bits := range []int{8, 12, 16} {
		for _, transform := range []uint{0, 3} {
			samples := raw(t, strconv.Itoa(bits)+"bit.raw")
			picture, err := jpeg.Decode(lossless(samples, width, bits, transform), width*height)
			if err != nil {
				t.Errorf("%d bits, %d left out: %v", bits, transform, err)
				continue
			}
			for i, want := range samples {
				if want = want >> transform << transform; picture.Samples[i] != want {
					t.Errorf("%d bits, %d left out: sample %d is %d, not %d", bits, transform, i, picture.Samples[i], want)
					break
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, coded := range pictures(f) {
		f.Add(coded)
	}
	f.Fuzz(func(t *testing.T, coded []byte) {
		const limit = 1 << 16
		picture, err := jpeg.Decode(coded, limit)
		if err == nil && (len(picture.Samples) != picture.Width*picture.Height || len(picture.Samples) > limit) {
			t.Errorf("%d x %d: %d samples", picture.Width, picture.Height, len(picture.Samples))
		}
		if err != nil && !errors.Is(err, jpeg.ErrDamaged) && !errors.Is(err, jpeg.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	})
}
