package watchdog

import (
	"context"
	"errors"
	"image"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brainseg/brainseg/internal/model"
	"github.com/brainseg/brainseg/internal/segmentation"
)

// fake is a model whose runs do what the test says.
type fake struct {
	run    func(ctx context.Context, mask []uint8) error
	sum    string
	mu     sync.Mutex
	closed int // guarded by mu
}

func (f *fake) Segment(ctx context.Context, _ *image.Gray, mask []uint8) error {
	return f.run(ctx, mask)
}
func (f *fake) Manifest() *model.Manifest { return &model.Manifest{SHA256: f.sum} }

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

func (f *fake) closings() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// opened has a watchdog open one fake after the other.
func opened(t *testing.T, w *Watchdog, fakes ...*fake) Model {
	t.Helper()
	m, err := w.Open(t.Context(), func(context.Context) (Model, error) {
		if len(fakes) == 0 {
			return nil, errors.New("no more models")
		}
		next := fakes[0]
		fakes = fakes[1:]
		return next, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var slice = image.NewGray(image.Rect(0, 0, 2, 2))

// ones is a run that works.
func ones(_ context.Context, mask []uint8) error {
	for i := range mask {
		mask[i] = 1
	}
	return nil
}

// until is a run that heeds nothing but a channel.
func until(back chan struct{}) func(context.Context, []uint8) error {
	return func(ctx context.Context, mask []uint8) error { <-back; return ones(ctx, mask) }
}

func TestARunThatHangsIsLeftBehindAndTheModelOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, back := New(0, nil), make(chan struct{})
		first, second := &fake{run: until(back)}, &fake{run: ones}
		m := opened(t, w, first, second)
		start, mask := time.Now(), make([]uint8, 4)
		if err := m.Segment(t.Context(), slice, mask); !errors.Is(err, ErrHung) || time.Since(start) != time.Minute {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		synctest.Wait() // for the model to be opened anew
		if err := m.Segment(t.Context(), slice, mask); err != nil || mask[3] != 1 {
			t.Errorf("after it: %v, mask %v", err, mask)
		}
		if n := first.closings(); n != 0 {
			t.Error("a model in which a run hangs was closed")
		}
		clear(mask)
		close(back)
		synctest.Wait()
		if first.closings() != 1 || w.Hung() != 1 || mask[0] != 0 {
			t.Errorf("closed %d times, %d hung, mask %v", first.closings(), w.Hung(), mask)
		}
		select {
		case <-w.GaveUp():
			t.Error("it gave up at the first")
		default:
		}
		if err := m.Close(); err != nil || second.closings() != 1 {
			t.Errorf("closed %d times: %v", second.closings(), err)
		}
		if err := m.Segment(t.Context(), slice, mask); err == nil {
			t.Error("a closed model can be used")
		}
		if err := m.Close(); err != nil || second.closings() != 1 {
			t.Errorf("closed again, %d times: %v", second.closings(), err)
		}
	})
}

func TestTheWatchdogGivesUpAtTheSecondHangWithinAMinuteOrTheFourthThatStays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hangs  int
		pause  time.Duration // before each
		back   bool          // each comes back at once
		gaveUp bool
	}{
		{"one", 1, 0, false, false},
		{"two", 2, 58 * time.Second, true, true},
		{"two, far apart", 2, time.Minute, true, false},
		{"many that come back", 10, time.Minute, true, false},
		{"three that stay", 3, time.Hour, false, false},
		{"four that stay", 4, time.Hour, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, back := New(time.Second, nil), make(chan struct{})
				run := until(back)
				if tt.back {
					run = func(ctx context.Context, _ []uint8) error { <-ctx.Done(); return context.Cause(ctx) }
				}
				fakes := make([]*fake, tt.hangs+1)
				for i := range fakes {
					fakes[i] = &fake{run: run}
				}
				m := opened(t, w, fakes...)
				for range tt.hangs {
					time.Sleep(tt.pause)
					if err := m.Segment(t.Context(), slice, make([]uint8, 4)); !errors.Is(err, ErrHung) {
						t.Errorf("error %v", err)
					}
					synctest.Wait()
				}
				select {
				case <-w.GaveUp():
					if !tt.gaveUp {
						t.Error("it gave up")
					}
				default:
					if tt.gaveUp {
						t.Error("it did not give up")
					}
				}
				close(back)
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				for i, f := range fakes {
					if f.closings() != 1 {
						t.Errorf("model %d was closed %d times", i, f.closings())
					}
				}
			})
		})
	}
}

func TestASlowDeviceHasMoreTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(0, nil)
		m, err := w.Open(t.Context(), func(context.Context) (Model, error) {
			time.Sleep(5 * time.Second)
			return &fake{run: func(ctx context.Context, mask []uint8) error { time.Sleep(99 * time.Second); return ones(ctx, mask) }}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := m.Segment(t.Context(), slice, make([]uint8, 4)); err != nil {
			t.Errorf("a run of 99 s where opening takes 5 s: %v", err)
		}
		w.SetLimit(98 * time.Second)
		if err := m.Segment(t.Context(), slice, make([]uint8, 4)); !errors.Is(err, ErrHung) {
			t.Errorf("with a limit of 98 s: %v", err)
		}
		time.Sleep(time.Minute) // for all to come back
	})
}

func TestNobodyWaitsForARunThatIsCalledOffInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, back, cause := New(0, nil), make(chan struct{}), errors.New("the end")
		f := &fake{run: until(back)}
		m := opened(t, w, f)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		start := time.Now()
		if err := m.Segment(ctx, slice, make([]uint8, 4)); !errors.Is(err, cause) || time.Since(start) != 2*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := m.Close(); err != nil || f.closings() != 0 || w.Hung() != 0 {
			t.Errorf("%v; closed %d times, %d hung", err, f.closings(), w.Hung())
		}
		close(back)
		synctest.Wait()
		if f.closings() != 1 {
			t.Errorf("closed %d times", f.closings())
		}
	})
}

func TestTheOldModelStaysWhereItCannotBeOpenedAnew(t *testing.T) {
	for name, next := range map[string][]*fake{"nothing there": nil, "another version there": {{run: ones, sum: "other"}}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, back := New(time.Second, nil), make(chan struct{})
				var runs atomic.Int32
				first := &fake{run: func(ctx context.Context, mask []uint8) error {
					if runs.Add(1) == 1 {
						<-back
					}
					return ones(ctx, mask)
				}}
				m := opened(t, w, append([]*fake{first}, next...)...)
				if err := m.Segment(t.Context(), slice, make([]uint8, 4)); !errors.Is(err, ErrHung) {
					t.Errorf("error %v", err)
				}
				synctest.Wait()
				if err := m.Segment(t.Context(), slice, make([]uint8, 4)); err != nil || first.closings() != 0 {
					t.Errorf("after it: %v, closed %d times", err, first.closings())
				}
				for _, f := range next {
					if f.closings() != 1 {
						t.Error("the other version stays open")
					}
				}
				close(back)
				m.Close()
				synctest.Wait()
				if first.closings() != 1 {
					t.Errorf("closed %d times", first.closings())
				}
			})
		})
	}
}

func TestAPanicInTheModelIsAnError(t *testing.T) {
	m := opened(t, New(0, nil), &fake{run: func(context.Context, []uint8) error { panic("a fault") }})
	defer m.Close()
	if err := m.Segment(t.Context(), slice, make([]uint8, 4)); err == nil || errors.Is(err, ErrHung) {
		t.Errorf("error %v", err)
	}
}

// What a run costs beyond the model's own time.
func BenchmarkRun(b *testing.B) {
	w := New(0, nil)
	m, err := w.Open(b.Context(), func(context.Context) (Model, error) { return &fake{run: ones}, nil })
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	slice, mask := image.NewGray(image.Rect(0, 0, 256, 256)), make([]uint8, 256*256)
	for b.Loop() {
		if err := m.Segment(b.Context(), slice, mask); err != nil {
			b.Fatal(err)
		}
	}
}

// telling is a fake that gives all that there is.
type telling struct{ fake }

func (f *telling) SegmentDetailed(ctx context.Context, _ *image.Gray, mask, scores []uint8) (*model.Judgement, error) {
	for i := range scores {
		scores[i] = 7
	}
	return &model.Judgement{Confidence: 0.5}, f.run(ctx, mask)
}

func TestScoresAndJudgementComeThroughAndNotFromARunThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, back := New(0, nil), make(chan struct{})
		hang := false
		it := &telling{fake{run: func(ctx context.Context, mask []uint8) error {
			if hang {
				<-back
			}
			return ones(ctx, mask)
		}}}
		m, err := w.Open(t.Context(), func(context.Context) (Model, error) { return it, nil })
		if err != nil {
			t.Fatal(err)
		}
		for _, scores := range [][]uint8{nil, make([]uint8, 8)} {
			mask := make([]uint8, 4)
			said, err := segmentation.Detail(t.Context(), m, slice, mask, scores)
			if err != nil || said == nil || said.Confidence != 0.5 || mask[3] != 1 || scores != nil && scores[7] != 7 {
				t.Errorf("said %+v, mask %v, scores %v, error %v", said, mask, scores, err)
			}
		}
		hang = true
		mask, scores := make([]uint8, 4), make([]uint8, 8)
		said, err := segmentation.Detail(t.Context(), m, slice, mask, scores)
		close(back)
		synctest.Wait()
		if !errors.Is(err, ErrHung) || said != nil || mask[0] != 0 || scores[0] != 0 {
			t.Errorf("said %+v, mask %v, scores %v, error %v", said, mask, scores, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}
