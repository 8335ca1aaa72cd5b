package engine

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strconv"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
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
	want := []imaging.Flag{imaging.FlagAlphaIgnored, imaging.FlagBytesSwapped, imaging.FlagInverted, imaging.FlagInvertedLikely, imaging.FlagNoContrast, imaging.FlagOutlyingValues, imaging.FlagUnfamiliar}
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

func TestAResultHasTheModelsOwnJudgementOfTheMask(t *testing.T) {
	b := start(t, func(cfg *config.Config, _ *Deps) { cfg.Model.Path = modelDir("judged") })
	for _, tt := range []struct {
		width      int // the largest grey value is 8 for each column after the first
		confidence float64
		flags      []string
	}{
		{32, 0.4863, nil},
		{12, 0.1725, []string{"unfamiliar"}},
	} {
		r := b.ask(t, request.Request{ID: "a" + strconv.Itoa(tt.width), Image: request.Image{Inline: ramp(t, tt.width, 8)}})
		if r.Status != request.StatusSucceeded || r.Image.Confidence == nil || *r.Image.Confidence != tt.confidence || !slices.Equal(r.Image.Flags, tt.flags) {
			t.Errorf("%d columns: status %s, image %+v", tt.width, r.Status, r.Image)
		}
		checkSchema(t, schemas.Result, r)
	}
	plain := start(t).ask(t, request.Request{ID: "a", Output: request.Output{Discard: true}, Image: request.Image{Inline: ramp(t, 8, 8)}})
	if plain.Status != request.StatusSucceeded || plain.Image.Confidence != nil {
		t.Errorf("a model that does not judge: %+v", plain.Image)
	}
}
