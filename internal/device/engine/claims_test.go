package engine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/job"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/schemas"
)

func TestAnOutputThatAnUndeliveredAnswerNamesIsNotReplaced(t *testing.T) {
	b := start(t)
	image := request.Image{Inline: ramp(t, 12, 5)}
	outcomes := make(chan job.Outcome, 1)
	submit := func(id string, output request.Output) job.Outcome {
		t.Helper()
		b.Submit(t.Context(), anybody, request.Request{ID: id, Image: image, Output: output}, func(o job.Outcome) { outcomes <- o })
		return <-outcomes
	}
	first := submit("scan", request.Output{Overlay: true})
	if first.Result.Error != nil {
		t.Fatalf("%+v", first.Result.Error)
	}
	for _, tt := range []struct {
		name   string
		id     string
		output request.Output
		code   request.Code // "" where it succeeds
	}{
		{"the same id", "scan", request.Output{}, request.CodeOutputExists},
		{"the same name", "b", request.Output{To: "scan.png"}, request.CodeOutputExists},
		{"the same name by another path", "b", request.Output{To: "./day/../scan.png"}, request.CodeOutputExists},
		{"the same name from the root", "b", request.Output{To: filepath.Join(b.out, "scan.png")}, request.CodeOutputExists},
		{"another name", "b", request.Output{To: "other.png"}, ""},
		{"overwrite", "b", request.Output{To: "scan.png", Overwrite: true}, ""},
		{"no output", "scan", request.Output{Discard: true}, ""},
	} {
		o := submit(tt.id, tt.output)
		got := request.Code("")
		if o.Result.Error != nil {
			got = o.Result.Error.Code
		}
		if got != tt.code {
			t.Errorf("%s: error %+v, want %q", tt.name, o.Result.Error, tt.code)
		}
		o.Claim.Release()
	}
	first.Claim.Release()
	again := submit("scan", request.Output{})
	if again.Result.Error != nil {
		t.Errorf("after the delivery: %+v", again.Result.Error)
	}
	again.Claim.Release()
	again.Claim.Renew() // it could not be sent after all
	if o := submit("scan", request.Output{}); o.Result.Error == nil {
		t.Error("an answer that is sent again names a file that was replaced")
	}
	again.Claim.Release()
	if n := b.claims.Held(); n != 0 {
		t.Errorf("%d outputs are claimed for nobody", n)
	}
}

func TestARequestThatFailsClaimsNothing(t *testing.T) {
	b := start(t)
	for range 2 {
		answers := make(chan request.Result, 1)
		b.Submit(t.Context(), anybody, request.Request{ID: "a", Image: request.Image{Path: "missing.png"}}, func(o job.Outcome) { answers <- o.Result })
		if r := <-answers; r.Error == nil || r.Error.Code != request.CodeImageNotFound {
			t.Errorf("%+v", r.Error)
		}
	}
	b.Close(t.Context())
	if n := b.claims.Held(); n != 0 {
		t.Errorf("%d outputs are claimed for nobody", n)
	}
}

// refusing is a store that writes no overlays.
type refusing struct{ Store }

func (s refusing) Write(ctx context.Context, destination string, data []byte, options store.WriteOptions) (store.Written, error) {
	if strings.HasSuffix(destination, ".overlay.png") {
		return store.Written{}, &fault.Error{Op: "write result", Kind: fault.ErrStorage, Hint: "no space left on the device"}
	}
	return s.Store.Write(ctx, destination, data, options)
}

func TestAnOverlayThatCannotBeWrittenDoesNotUndoTheMask(t *testing.T) {
	b := start(t, func(_ *config.Config, d *Deps) {
		d.OpenStore = func(cfg config.Config) (Store, error) {
			s, err := openStore(cfg, nil, nil)
			return refusing{s}, err
		}
	})
	r := b.ask(t, request.Request{ID: "a", Image: request.Image{Inline: ramp(t, 12, 5)}, Output: request.Output{Overlay: true}})
	if r.Error == nil || r.Error.Code != request.CodeOutputFailed || !strings.Contains(r.Error.Message, "the mask is written") || r.Overlay != nil {
		t.Fatalf("result %+v, error %+v", r, r.Error)
	}
	if r.Mask == nil || len(r.Tissues) == 0 {
		t.Fatalf("the answer does not say where the mask is: %+v", r)
	}
	if info, err := os.Stat(r.Mask.Path); err != nil || info.Size() != int64(r.Mask.Bytes) {
		t.Errorf("the mask: %v", err)
	}
	checkSchema(t, schemas.Result, r)
}
