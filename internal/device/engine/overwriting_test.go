package engine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/schemas"
)

func TestAMaskReplacesNeitherItsImageNorAnyFileThatIsNoMask(t *testing.T) {
	folder := t.TempDir()
	b := start(t, func(c *config.Config, _ *Deps) { c.Images.Roots, c.Output.Root = []string{folder}, folder })
	slice := ramp(t, 12, 5)
	write(t, folder, "scan-7.png", slice)
	write(t, folder, "other.png", []byte("a person's"))
	if err := os.Link(filepath.Join(folder, "scan-7.png"), filepath.Join(folder, "again.png")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		id   string
		out  request.Output
		code request.Code
	}{
		{"scan-7", request.Output{}, request.CodeOutputIsInput},
		{"scan-7", request.Output{Overwrite: true}, request.CodeOutputIsInput},
		{"a", request.Output{To: "scan-7.png"}, request.CodeOutputIsInput},
		{"a", request.Output{To: "again.png", Overwrite: true}, request.CodeOutputIsInput},
		{"other", request.Output{}, request.CodeOutputExists},
	} {
		r := b.ask(t, request.Request{ID: tt.id, Image: request.Image{Path: "scan-7.png"}, Output: tt.out})
		if r.Error == nil || r.Error.Code != tt.code {
			t.Errorf("id %s, %+v: error %+v, want %s", tt.id, tt.out, r.Error, tt.code)
		}
		checkSchema(t, schemas.Result, r)
	}
	if kept, _ := os.ReadFile(filepath.Join(folder, "scan-7.png")); !bytes.Equal(kept, slice) {
		t.Error("the image is gone")
	}
	if kept, _ := os.ReadFile(filepath.Join(folder, "other.png")); string(kept) != "a person's" {
		t.Error("the other file is gone")
	}
	for range 2 { // a request that comes again replaces its own mask
		if r := b.ask(t, request.Request{ID: "m", Image: request.Image{Path: "scan-7.png"}, Output: request.Output{Overlay: true}}); r.Error != nil {
			t.Errorf("%+v", r.Error)
		}
	}
	if r := b.ask(t, request.Request{ID: "other", Image: request.Image{Path: "scan-7.png"}, Output: request.Output{Overwrite: true}}); r.Error != nil {
		t.Errorf("with overwrite: %+v", r.Error)
	}
}
