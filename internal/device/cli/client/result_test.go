package client

import (
	"bytes"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/request"
)

func TestAResultThatIsShownTellsWhatIsDoubtfulAboutItsImage(t *testing.T) {
	image := request.Dimensions{Width: 4, Height: 4, Flags: []string{"inverted", "no-contrast"}, SpacingMM: &[2]float64{0.44, 0.44}, SpacingFrom: "guessed"}
	for _, tt := range []struct {
		image *request.Dimensions
		want  int
	}{{&image, 2}, {&request.Dimensions{Width: 4, Height: 4}, 0}, {nil, 0}} {
		var b bytes.Buffer
		if err := showResult(&b, "slice.png", request.Result{Image: tt.image}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.String(), "\ndoubt "); got != tt.want {
			t.Errorf("%d doubts are told of %+v, want %d:\n%s", got, tt.image, tt.want, b.String())
		}
		if tt.want > 0 && !strings.Contains(b.String(), "inverted, no-contrast") {
			t.Errorf("the flags are not told:\n%s", b.String())
		}
	}
}
