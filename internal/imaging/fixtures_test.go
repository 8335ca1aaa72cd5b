package imaging

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixtures are written by testdata/make_fixtures.py.
var fixtures = []string{"cmyk.jpg", "full_chroma.jpg", "grey_progressive.jpg", "orientation.jpg", "progressive.jpg", "rgb.jpg"}

func readFixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDecodeReadsEveryKindOfJPEG(t *testing.T) {
	// The greys of red, green, blue and (200, 100, 50) by the weights.
	weighted := [4]int{76, 150, 28, 124}
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			slice, info, err := Decode(readFixture(t, name), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			want := Info{Format: JPEG, Width: 48, Height: 32, Bits: 8, Colour: name != "grey_progressive.jpg"}
			if diff := cmp.Diff(want, info); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
			for i, grey := range weighted {
				got := int(slice.GrayAt(12+i%2*24, 8+i/2*16).Y)
				if got < grey-3 || got > grey+3 {
					t.Errorf("quadrant %d is %d, want about %d", i, got, grey)
				}
			}
		})
	}
}
