package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/request"
	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

const (
	// LeastAgreement is the mean Dice coefficient, over the classes but the
	// background, that a model on trial must reach with the one in use.
	LeastAgreement = 0.8
	// maxTrialPixels is the largest slice that is tried: beyond it a network takes far
	// more memory. Slices are brought to the size of pixels of training before, so
	// that those of heads are far smaller.
	maxTrialPixels = 512 * 512
	// rest is how many times as long as it took a slice a trial does nothing after it.
	rest = 9
	// trialTimeout bounds the work on one slice.
	trialTimeout = 30 * time.Second
)

// trialError says why a model did not pass its trial. Its text holds nothing of an
// image.
type trialError struct{ text string }

func (e *trialError) Error() string { return e.text }

// trial is a new model that segments what the one in use has segmented. It takes a
// slice when it is done with the one before; others it does without, so that nobody
// waits for it and no more than one slice is kept for it.
type trial struct {
	candidate *opened
	names     []string   // of the classes of the model in use
	same      [256]uint8 // the class of the model in use for each of the candidate's
	of        int        // slices to be tried
	ctx       context.Context
	cancel    context.CancelFunc
	place     chan struct{} // holds one while a slice is kept
	slices    chan sample   // of one

	mu    sync.Mutex
	tried int     // guarded by mu
	score overlap // guarded by mu
}

// sample is a slice and what the model in use made of it.
type sample struct {
	slice *image.Gray
	mask  []uint8
}

// newTrial refuses a model whose classes are others: masks would mean something else.
func newTrial(current, candidate *opened, of int) (*trial, error) {
	t := &trial{candidate: candidate, of: of, place: make(chan struct{}, 1), slices: make(chan sample, 1)}
	for _, class := range current.Manifest().Classes {
		t.names = append(t.names, class.Name)
	}
	classes := candidate.Manifest().Classes
	for _, class := range classes {
		at := slices.IndexFunc(current.Manifest().Classes, func(c model.Class) bool { return c.Name == class.Name })
		if at < 0 || len(classes) != len(t.names) || (at == 0) != (class.Value == 0) {
			return nil, &trialError{"it has other classes than the one in use, so that they cannot be compared; set model.canary to 0 for it"}
		}
		t.same[class.Value] = uint8(at)
	}
	return t, nil
}

// offer has the trial take a copy of a slice and its mask, if it has nothing else to
// do. It never waits.
func (t *trial) offer(slice *image.Gray, mask []uint8) {
	width, height := slice.Rect.Dx(), slice.Rect.Dy()
	if width*height > maxTrialPixels {
		return
	}
	select {
	case t.place <- struct{}{}:
	default:
		return
	}
	s := sample{slice: image.NewGray(image.Rect(0, 0, width, height)), mask: bytes.Clone(mask)}
	for y := range height {
		copy(s.slice.Pix[y*width:], slice.Pix[y*slice.Stride:][:width])
	}
	t.slices <- s
}

// shadowed is the model in use while another one is on trial.
type shadowed struct {
	Model
	trial *trial
}

var _ segmentation.Detailed = shadowed{}

func (s shadowed) Segment(ctx context.Context, slice *image.Gray, mask []uint8) error {
	_, err := s.SegmentDetailed(ctx, slice, mask, nil)
	return err
}

func (s shadowed) SegmentDetailed(ctx context.Context, slice *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	said, err := segmentation.Detail(ctx, s.Model, slice, mask, scores)
	if err != nil {
		return nil, err
	}
	s.trial.offer(slice, mask)
	return said, nil
}

// try carries a trial out, and has its model take over, or refuses it.
func (m *Models) try(t *trial) {
	err := t.run(m.opts.After)
	m.mu.Lock()
	if m.trial != t || m.ctx.Err() != nil { // withdrawn, or this is the end
		m.mu.Unlock()
		t.candidate.release()
		return
	}
	m.trial = nil
	if err != nil {
		m.last = t.report(request.TrialRefused)
		m.mu.Unlock()
		t.candidate.release()
		m.refuse(t.candidate.identity, err)
		return
	}
	m.last = t.report(request.TrialPassed)
	tell := m.takeOver(t.candidate)
	m.mu.Unlock()
	agreement := t.agreement()
	m.opts.Logger.Info("new model passed its trial", zap.Float64("agreement", agreement), zap.Int("slices", t.of), zap.Any("dice", t.perClass()))
	m.opts.Tell(fmt.Sprintf("New model passed its trial: agreement %.3f in %d slices.", agreement, t.of))
	tell()
}

// withdraw ends the trial in progress, if there is one. m.mu is held.
func (m *Models) withdraw() {
	if m.trial != nil {
		m.trial.cancel()
		m.trial, m.last = nil, m.trial.report(request.TrialWithdrawn)
		m.opts.Logger.Info("the model on trial is no longer wanted")
	}
}

// run tries slices until there were enough. The error is a *trialError where the
// model did not pass, and the context's where that ended.
func (t *trial) run(after func(context.Context, func() error) error) error {
	defer t.cancel()
	for tried := 0; tried < t.of; {
		var s sample
		select {
		case s = <-t.slices:
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
		mask := make([]uint8, len(s.mask))
		var took time.Duration
		err := after(t.ctx, func() error {
			begin := time.Now()
			defer func() { took = time.Since(begin) }()
			return t.segment(s.slice, mask)
		})
		t.rest(rest * took)
		<-t.place
		switch {
		case t.ctx.Err() != nil:
			return t.ctx.Err()
		case errors.Is(err, segmentation.ErrTooMuchMemory), errors.Is(err, segmentation.ErrTooLarge): // of a device, not the model
			continue
		case err != nil:
			return fmt.Errorf("%w: %w", &trialError{"it failed at a slice that the one in use has segmented"}, err)
		}
		tried++
		t.mu.Lock()
		t.tried = tried
		t.score.add(s.mask, mask, &t.same)
		t.mu.Unlock()
	}
	if got := t.agreement(); got < LeastAgreement {
		return &trialError{fmt.Sprintf("its agreement with the one in use is %.3f in %d slices, and %.2f is needed", got, t.of, LeastAgreement)}
	}
	return nil
}

// rest lets time pass: the next request has the cores for itself.
func (t *trial) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
}

// segment runs the candidate; a panic is an error.
func (t *trial) segment(slice *image.Gray, mask []uint8) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(t.ctx, trialTimeout)
	defer cancel()
	return t.candidate.Segment(ctx, slice, mask)
}

func (t *trial) agreement() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.score.mean(len(t.names))
}

// perClass are the Dice coefficients by the names of classes.
func (t *trial) perClass() map[string]float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]float64)
	for value, name := range t.names {
		if dice, any := t.score.dice(value); any && value > 0 {
			all[name] = dice
		}
	}
	return all
}

// overlap counts pixels by class, over all slices.
type overlap struct{ both, one, other [256]int64 }

// add counts a slice; same translates the other's classes.
func (o *overlap) add(one, other []uint8, same *[256]uint8) {
	for i, a := range one {
		b := same[other[i]]
		o.one[a]++
		o.other[b]++
		if a == b {
			o.both[a]++
		}
	}
}

// dice is the Dice coefficient of a class; any is false where neither has a pixel.
func (o *overlap) dice(class int) (dice float64, any bool) {
	if o.one[class]+o.other[class] == 0 {
		return 0, false
	}
	return 2 * float64(o.both[class]) / float64(o.one[class]+o.other[class]), true
}

// mean is that of the classes but the background that either has; 1 for none.
func (o *overlap) mean(classes int) float64 {
	sum, n := 0.0, 0
	for class := 1; class < classes; class++ {
		if dice, any := o.dice(class); any {
			sum, n = sum+dice, n+1
		}
	}
	if n == 0 {
		return 1
	}
	return sum / float64(n)
}

// Health tells what became of new models.
func (m *Models) Health() request.Models {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := request.Models{Loaded: m.loaded, Refused: m.refused}
	last := m.last
	if m.trial != nil {
		last = m.trial.report(request.TrialRunning)
	}
	if last.State != "" {
		h.Trial = &last
	}
	return h
}

// report is what health says of the trial.
func (t *trial) report(state request.TrialState) request.Trial {
	t.mu.Lock()
	defer t.mu.Unlock()
	which := t.candidate.identity
	return request.Trial{
		Model: request.Model{Name: which.Name, Version: which.Version}, State: state,
		Slices: t.tried, Of: t.of, Agreement: t.score.mean(len(t.names)),
	}
}
