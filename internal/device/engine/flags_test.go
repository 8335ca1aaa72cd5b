package engine

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"slices"
	"testing"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/imaging"
	"github.com/brainseg/brainseg/schemas"
)

func TestTheSchemaKnowsEveryFlagOfAnImage(t *testing.T) {
	var schema struct {
		Properties struct {
			Image struct {
				Properties struct {
					Flags struct {
						Items struct{ Enum []imaging.Flag }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(schemas.Result, &schema); err != nil {
		t.Fatal(err)
	}
	want := []imaging.Flag{imaging.FlagAlphaIgnored, imaging.FlagBytesSwapped, imaging.FlagInverted, imaging.FlagInvertedLikely, imaging.FlagNoContrast, imaging.FlagOutlyingValues}
	if got := schema.Properties.Image.Properties.Flags.Items.Enum; !slices.Equal(got, want) {
		t.Errorf("the schema has the flags %q, and results may have %q", got, want)
	}
}

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
