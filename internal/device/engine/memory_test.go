package engine

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/segmentation"
)

func TestAnImageForWhichThereIsNoMemoryIsRefusedAndSmallOnesAreNot(t *testing.T) {
	var left int64 // changed between requests only
	room := func() int64 { return left }
	b := start(t, func(cfg *config.Config, d *Deps) {
		d.OpenModel = func(context.Context, config.Config, *zap.Logger) (Model, error) {
			return segmentation.Open(cfg.Model.Path, segmentation.Options{Library: cfg.Model.Library, Memory: room})
		}
	})
	b.current.limits.Memory = room
	for _, tt := range []struct {
		side    int
		left    int64
		message string // "" where it succeeds
	}{
		{300, 0, ""},
		{2047, 7 << 20, "to decode"},
		{2047, 100 << 20, "to segment"},
		{2047, 200 << 20, ""},
	} {
		left = tt.left
		r := b.ask(t, request.Request{ID: "a", Image: request.Image{Inline: dark(t, tt.side)}})
		switch {
		case tt.message == "":
			if r.Error != nil {
				t.Errorf("side %d, %d bytes left: %+v", tt.side, tt.left, r.Error)
			}
		case r.Error == nil || r.Error.Code != request.CodeImageTooLarge || !strings.Contains(r.Error.Message, "more memory "+tt.message):
			t.Errorf("side %d, %d bytes left: %+v", tt.side, tt.left, r.Error)
		}
	}
}
