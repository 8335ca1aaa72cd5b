package engine

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
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

// behind has the worker wait, and requests wait behind that are more than are readied
// ahead. What it returns lets them all be worked on.
func (b *bench) behind(t *testing.T, answer func(job.Outcome)) (goOn func()) {
	t.Helper()
	hold, started := make(chan struct{}), make(chan struct{})
	image := request.Image{Inline: ramp(t, 12, 5)}
	b.Submit(t.Context(), anybody, request.Request{ID: "first", Image: image, Output: request.Output{Discard: true}}, func(job.Outcome) { close(started); <-hold })
	<-started
	for i := range 10 {
		b.Submit(t.Context(), anybody, request.Request{ID: "before-" + strconv.Itoa(i), Image: image}, answer)
	}
	return func() { close(hold) }
}

func TestOutputsOfRequestsThatWaitAreTheirsInTheFolderThatIsConfiguredMeanwhile(t *testing.T) {
	b := start(t)
	answers := make(chan job.Outcome, 20)
	answer := func(o job.Outcome) { answers <- o }
	goOn := b.behind(t, answer)
	image := request.Image{Inline: ramp(t, 12, 5)}
	submit := func(id, to string) {
		b.Submit(t.Context(), anybody, request.Request{ID: id, Image: image, Output: request.Output{To: to}}, answer)
	}
	submit("waits", "mask.png")
	next := b.Config()
	next.Output.Root = t.TempDir()
	if err := b.Apply(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	submit("later", "mask.png")
	if o := <-answers; o.Result.ID != "later" || o.Result.Error == nil || o.Result.Error.Code != request.CodeOutputExists {
		t.Errorf("a later request of the same name has the answer %+v", o.Result)
	}
	goOn()
	for range 11 {
		o := <-answers
		if o.Result.Error != nil {
			t.Fatalf("%s: %+v", o.Result.ID, o.Result.Error)
		}
		// Answers are not delivered yet, so the file is still the request's, wherever it is.
		submit("again", o.Result.Mask.Path)
		if again := <-answers; again.Result.Error == nil {
			t.Errorf("the mask of %s is replaced", o.Result.ID)
		}
		if o.Result.ID == "waits" && filepath.Dir(o.Result.Mask.Path) != next.Output.Root {
			t.Errorf("the mask is at %s", o.Result.Mask.Path)
		}
		defer o.Claim.Release()
	}
}

func TestOfTwoRequestsWhoseOutputsBecomeOneTheFirstToBeWorkedOnHasIt(t *testing.T) {
	for _, tt := range []struct {
		name      string
		overwrite bool
		code      request.Code
	}{{"the second is not to overwrite", false, request.CodeOutputExists}, {"the second is to overwrite", true, ""}} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t)
			answers := make(chan job.Outcome, 20)
			answer := func(o job.Outcome) { answers <- o }
			goOn := b.behind(t, answer)
			image := request.Image{Inline: ramp(t, 12, 5)}
			below := filepath.Join(b.out, "day")
			b.Submit(t.Context(), anybody, request.Request{ID: "a", Image: image, Output: request.Output{To: filepath.Join(below, "mask.png")}}, answer)
			b.Submit(t.Context(), anybody, request.Request{ID: "b", Image: image, Output: request.Output{To: "mask.png", Overwrite: tt.overwrite}}, answer)
			next := b.Config()
			next.Output.Root = below
			if err := b.Apply(t.Context(), next); err != nil {
				t.Fatal(err)
			}
			goOn()
			codes := make(map[string]request.Code)
			for range 12 {
				o := <-answers
				if codes[o.Result.ID] = ""; o.Result.Error != nil {
					codes[o.Result.ID] = o.Result.Error.Code
				}
				if o.Result.ID == "b" {
					break
				}
				defer o.Claim.Release()
			}
			if codes["a"] != "" || codes["b"] != tt.code {
				t.Errorf("codes: %q", codes)
			}
		})
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
