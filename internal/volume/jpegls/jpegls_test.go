package jpegls_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/volume/jpeg"
	"github.com/brainseg/brainseg/internal/volume/jpegls"
)

// The pictures in testdata have 61 x 37 pixels; they were coded by dcmtk's
// dcmcjpls, and the near-lossless ones decoded by its dcmdjpls. Raw files hold
// 16-bit little-endian samples.
const width, height = 61, 37

func pictures(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "*.jls"))
	if err != nil || len(names) < 9 {
		t.Fatalf("%d pictures, %v", len(names), err)
	}
	all := make(map[string][]byte)
	for _, name := range names {
		if all[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestPicturesOfAnotherEncoderAreDecodedAlike(t *testing.T) {
	for name, coded := range pictures(t) {
		picture, err := jpegls.Decode(coded, width*height)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := os.ReadFile(strings.TrimSuffix(name, ".jls") + ".raw")
		if err != nil {
			t.Fatal(err)
		}
		want := make([]uint16, len(b)/2)
		for i := range want {
			want[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		if picture.Width != width || picture.Height != height || !slices.Equal(picture.Samples, want) {
			t.Errorf("%s: decoded to other samples", name)
		}
	}
}

func TestAPictureCutAnywhereIsAnErrorOfItsOwn(t *testing.T) {
	for name, coded := range pictures(t) {
		end := bytes.LastIndex(coded, []byte{0xff, 0xd9})
		for n := range end {
			if n > 300 && n%7 != 0 && n < end-8 {
				continue
			}
			_, err := jpegls.Decode(coded[:n], width*height)
			// The last bits may be padding.
			if err == nil && n < end-2 {
				t.Fatalf("%s, cut at %d of %d: decoded", name, n, len(coded))
			}
			if err != nil && !errors.Is(err, jpeg.ErrDamaged) && !errors.Is(err, jpeg.ErrUnsupported) {
				t.Fatalf("%s, cut at %d: %v", name, n, err)
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
		picture, err := jpegls.Decode(coded, limit)
		if err == nil && (len(picture.Samples) != picture.Width*picture.Height || len(picture.Samples) > limit) {
			t.Errorf("%d x %d: %d samples", picture.Width, picture.Height, len(picture.Samples))
		}
		if err != nil && !errors.Is(err, jpeg.ErrDamaged) && !errors.Is(err, jpeg.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	})
}
