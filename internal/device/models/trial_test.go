package models

import (
	"context"
	"errors"
	"image"
	"math"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
)

// painted is a model in Go: it gives every pixel the class of its column by a rule.
type painted struct {
	manifest *model.Manifest
	class    func(column int) uint8
	err      error
}

func (p painted) Segment(_ context.Context, slice *image.Gray, mask []uint8) error {
	for i := range mask {
		mask[i] = p.class(i % slice.Rect.Dx())
	}
	return p.err
}

func (p painted) Manifest() *model.Manifest { return p.manifest }
func (p painted) Close() error              { return nil }

// paint opens models by their versions, each a rule of its own. Sixteen columns are
// eight of class 1 and eight of class 2.
func paint(_ context.Context, cfg config.Config, _ *zap.Logger) (Model, error) {
	manifest, err := model.ReadManifest(cfg.Model.Path)
	if err != nil {
		return nil, err
	}
	half := func(at int) func(int) uint8 {
		return func(column int) uint8 {
			if column < at {
				return 1
			}
			return 2
		}
	}
	p := painted{manifest: manifest, class: half(8)}
	switch manifest.Version {
	case "nearly":
		p.class = half(9)
	case "far":
		p.class = half(14)
	case "turned":
		p.class = func(column int) uint8 { return 3 - half(8)(column) }
	case "failing":
		p.err = errors.New("a network's complaint")
	case "panicking":
		p.class = func(int) uint8 { panic("a fault") }
	}
	return p, nil
}

// swapped exchanges the names of classes 1 and 2.
func swapped(m *model.Manifest) {
	m.Classes[1].Name, m.Classes[2].Name = m.Classes[2].Name, m.Classes[1].Name
}

func TestAModelOnTrialTakesOverWhereItAgreesAndIsRefusedWhereNot(t *testing.T) {
	for _, tt := range []struct {
		version   string
		change    func(*model.Manifest)
		state     request.TrialState
		agreement float64
		told      string // part of the last message
	}{
		{"nearly", nil, request.TrialPassed, (16.0/17 + 14.0/15) / 2, "Model loaded."},
		{"far", nil, request.TrialRefused, (16.0/22 + 4.0/10) / 2, "its agreement with the one in use is 0.564 in 5 slices, and 0.80 is needed"},
		{"turned", nil, request.TrialRefused, 0, "its agreement with the one in use is 0.000"},
		{"turned", swapped, request.TrialPassed, 1, "Model loaded."},
		{"failing", nil, request.TrialRefused, 1, "it failed at a slice"},
		{"panicking", nil, request.TrialRefused, 1, "it failed at a slice"},
		{"renamed", func(m *model.Manifest) { m.Classes[1].Name = "c" }, "", 0, "it has other classes than the one in use"},
		{"fewer", func(m *model.Manifest) { m.Classes = m.Classes[:2] }, "", 0, "it has other classes than the one in use"},
	} {
		t.Run(tt.version, func(t *testing.T) {
			b := start(t, 5, paint)
			if tt.change == nil {
				tt.change = func(*model.Manifest) {}
			}
			b.put("values", tt.version, tt.change)
			b.set(tt.version)
			b.until("the trial ends", func() bool {
				if v := b.Identity().Version; v != "1" {
					return v == tt.version
				}
				if b.segment() != 1 {
					t.Error("a mask is not that of the model in use")
				}
				return b.Health().Refused > 0
			})
			b.until("it is told", func() bool {
				told := b.messages()
				return len(told) > 0 && strings.Contains(told[len(told)-1], tt.told)
			})
			passed := tt.state == request.TrialPassed
			if passed != (b.Identity().Version == tt.version) {
				t.Errorf("in use is %+v", b.Identity())
			}
			got := b.Health().Trial
			if tt.state == "" {
				if got != nil || strings.Contains(strings.Join(b.messages(), " "), request.MessageModelOnTrial) {
					t.Errorf("there was a trial: %+v, %q", got, b.messages())
				}
				return
			}
			if got == nil || got.State != tt.state || math.Abs(got.Agreement-tt.agreement) > 1e-9 || got.Of != 5 || got.Model.Version != tt.version || passed && got.Slices != 5 {
				t.Errorf("trial %+v, want %s with agreement %v", got, tt.state, tt.agreement)
			}
			if b.messages()[0] != request.MessageModelOnTrial {
				t.Errorf("told: %q", b.messages())
			}
		})
	}
}

func TestATrialThatNobodyWantsAnyMoreIsWithdrawn(t *testing.T) {
	b := start(t, 1_000_000, paint)
	running := func(version string) func() bool {
		return func() bool {
			trial := b.Health().Trial
			return trial != nil && trial.State == request.TrialRunning && trial.Model.Version == version
		}
	}
	b.put("values", "nearly")
	b.put("values", "far")
	b.set("nearly")
	b.until("a trial begins", running("nearly"))
	lease := b.Use() // outlives the trial
	b.set("far")
	b.until("another trial begins", running("far"))
	b.set("1")
	b.until("it is withdrawn", func() bool { return b.Health().Trial.State == request.TrialWithdrawn })
	for range 3 {
		if err := lease.Network.Segment(t.Context(), image.NewGray(image.Rect(0, 0, 16, 8)), make([]uint8, 128)); err != nil {
			t.Error(err)
		}
	}
	lease.Release()
	b.until("its model is closed", func() bool { return b.opened.Load() == 1 })
	if h := b.Health(); h.Loaded != 0 || h.Refused != 0 || b.Identity().Version != "1" {
		t.Errorf("health %+v, %+v is in use", h, b.Identity())
	}
}

func TestATrialTakesTheSlicesForWhichItHasTimeAndHoldsUpNobody(t *testing.T) {
	current := &opened{Model: painted{manifest: &model.Manifest{Classes: []model.Class{{}, {Value: 1, Name: "a"}}}}}
	candidate := &opened{Model: painted{manifest: current.Manifest(), class: func(int) uint8 { return 1 }}}
	trial, err := newTrial(current, candidate, 2)
	if err != nil {
		t.Fatal(err)
	}
	trial.ctx, trial.cancel = context.WithCancel(t.Context())
	slice := image.NewGray(image.Rect(0, 0, 4, 4))
	large := image.NewGray(image.Rect(0, 0, 1024, 512))
	trial.offer(large, make([]uint8, 1024*512))
	if len(trial.slices) > 0 {
		t.Error("a large slice is tried")
	}
	gate, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- trial.run(func(_ context.Context, work func() error) error { <-gate; return work() })
	}()
	ones := make([]uint8, 16)
	for i := range ones {
		ones[i] = 1
	}
	for range 1000 { // none waits
		trial.offer(slice, ones)
	}
	gate <- struct{}{}
	for trial.report("").Slices < 2 {
		trial.offer(slice.SubImage(image.Rect(1, 1, 3, 3)).(*image.Gray), ones[:4])
		select {
		case gate <- struct{}{}:
		default:
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := trial.report(request.TrialPassed); got.Slices != 2 || got.Agreement != 1 {
		t.Errorf("%+v", got)
	}
}

func TestAgreementIsTheMeanOfTheClassesThatAreThere(t *testing.T) {
	var o overlap
	if o.mean(3) != 1 {
		t.Errorf("of nothing: %v", o.mean(3))
	}
	same := [256]uint8{0, 1, 2}
	o.add([]uint8{0, 0, 1, 1}, []uint8{0, 0, 0, 1}, &same)
	if got := o.mean(3); math.Abs(got-2.0/3) > 1e-9 {
		t.Errorf("one class of two: %v", got)
	}
	o.add([]uint8{2, 2}, []uint8{2, 2}, &same)
	if got := o.mean(3); math.Abs(got-(2.0/3+1)/2) > 1e-9 {
		t.Errorf("both classes: %v", got)
	}
}
