package engine

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"slices"
	"testing"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/schemas"
)

func TestAResultNamesWhatIsOddAboutItsImage(t *testing.T) {
	b := start(t)
	transparent := image.NewNRGBA(image.Rect(0, 0, 40, 40))
	for i := range 40 * 40 {
		transparent.SetNRGBA(i%40, i/40, color.NRGBA{uint8(i % 40), uint8(i % 40), uint8(i % 40), 0})
	}
	for name, picture := range map[string]image.Image{"alpha-ignored": transparent, "no-contrast": image.NewGray(transparent.Rect)} {
		var file bytes.Buffer
		if err := png.Encode(&file, picture); err != nil {
			t.Fatal(err)
		}
		r := b.ask(t, request.Request{ID: "a", Image: request.Image{Inline: file.Bytes()}})
		if r.Status != request.StatusSucceeded || !slices.Equal(r.Image.Flags, []string{name}) {
			t.Errorf("%s: status %s, image %+v", name, r.Status, r.Image)
		}
		checkSchema(t, schemas.Result, r)
	}
}
