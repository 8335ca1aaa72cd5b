// Package progress draws on a terminal how far a program's work has come: a bar
// for what can be counted, a spinner for what cannot. It is the one place that
// does, for both programs.
//
// A program gives it the two streams that it writes to and writes to Display.Out
// and Display.Messages in their stead. Their lines then appear above what is
// drawn, and never in the midst of it. On anything but a terminal nothing is
// drawn, no goroutine runs, and the lines pass through as they are.
//
// It does not choose what is said, nor its colours. Both packages cli call it.
package progress

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/brainseg/brainseg/internal/output"
)

// refresh is the time from one frame to the next: work that ends before the first
// is never drawn.
const refresh = 100 * time.Millisecond

// Display is where a program writes and draws. All its methods may be called
// from any goroutine. A nil Display draws nothing.
type Display struct {
	out, messages lines
	terminal      *os.File // what is drawn on; nil where that is no terminal

	mu      sync.Mutex // guards what is below, and the order of lines and frames
	task    *Task      // the last that began
	drawing *drawing   // what is on the terminal; nil where nothing is
	closed  bool
}

// New returns the display of a program that writes results to out and tells
// people what is going on by messages. It draws on messages.
func New(out, messages io.Writer) *Display {
	d := new(Display)
	d.out, d.messages = lines{display: d, direct: out}, lines{display: d, direct: messages, shared: true}
	file := output.File(messages)
	if file == nil || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return d
	}
	d.terminal = file
	if results := output.File(out); results != nil {
		mine, err := file.Stat()
		others, err2 := results.Stat()
		d.out.shared = err == nil && err2 == nil && os.SameFile(mine, others)
	}
	return d
}

// Terminal tells whether anything is ever drawn.
func (d *Display) Terminal() bool { return d != nil && d.terminal != nil }

// Out takes the results, whole lines at a time.
func (d *Display) Out() io.Writer { return &d.out }

// Messages takes what people are told, whole lines at a time.
func (d *Display) Messages() io.Writer { return &d.messages }

// Begin begins a task, of which nothing is drawn before it says how far it is.
// The task before it is ended.
func (d *Display) Begin() *Task {
	if !d.Terminal() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	if d.task = nil; !d.closed {
		d.task = &Task{display: d}
	}
	return d.task
}

// Close ends what is drawn for good; lines may still be written. When it returns,
// no goroutine of the display runs.
func (d *Display) Close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clear()
	d.task, d.closed = nil, true
}

// clear takes what is drawn away and returns when it is gone. d.mu is held.
func (d *Display) clear() {
	if d.drawing != nil {
		d.drawing.remove()
		d.drawing = nil
	}
}

// lines is a stream of lines that may share a terminal with what is drawn.
type lines struct {
	display *Display
	direct  io.Writer
	shared  bool
}

// Write puts b, whole lines, above what is drawn; they may wait there for the
// next frame.
func (l *lines) Write(b []byte) (int, error) {
	d := l.display
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.drawing != nil && l.shared {
		if len(b) > 0 && b[len(b)-1] == '\n' {
			if n, err := d.drawing.container.Write(b); err == nil {
				return n, nil
			}
		}
		d.clear() // a part of a line, or the terminal is gone
	}
	return l.direct.Write(b)
}

// Task is work under way. Its methods may be called from any goroutine; after End
// and after another task began, they do nothing. So do those of a nil Task, which
// is what there is without a terminal.
type Task struct{ display *Display }

// Spin says that what is being done, of which nobody knows how much is left.
func (t *Task) Spin(what string) { t.draw(spinner, what, 0, 0) }

// Count says that done of total things called what are done.
func (t *Task) Count(what string, done, total int) { t.draw(counter, what, int64(done), int64(total)) }

// Transfer says that done of total bytes of what are there.
func (t *Task) Transfer(what string, done, total int64) { t.draw(transfer, what, done, total) }

// End takes away what is drawn of the task. When it returns, nothing is left on
// the terminal, and nothing of the task will be drawn again.
func (t *Task) End() {
	if t == nil {
		return
	}
	d := t.display
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.task == t {
		d.clear()
		d.task = nil
	}
}

func (t *Task) draw(k kind, what string, done, total int64) {
	if t == nil {
		return
	}
	d := t.display
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.task != t {
		return
	}
	if d.drawing == nil || d.drawing.kind != k {
		d.clear()
		d.drawing = newDrawing(d.terminal, k, done)
	}
	d.drawing.show(what, done, total)
}

// kind is a form in which a task is drawn.
type kind int

const (
	spinner kind = iota
	counter
	transfer
)

// drawing is one line that is drawn until it is removed. Its owner's lock guards
// it.
type drawing struct {
	kind      kind
	container *mpb.Progress
	bar       *mpb.Bar
	what      atomic.Pointer[string] // read by the container's goroutines
	shown     time.Time              // when done was last told
}

func newDrawing(terminal *os.File, k kind, done int64) *drawing {
	d := &drawing{kind: k, shown: time.Now()}
	d.what.Store(new(string))
	name := decor.Any(func(decor.Statistics) string { return *d.what.Load() })
	d.container = mpb.New(mpb.WithOutput(terminal), mpb.WithRefreshRate(refresh))
	// A total of 0 keeps a bar from ending by itself when all is done.
	switch k {
	case spinner:
		d.bar = d.container.New(0, mpb.SpinnerStyle(), mpb.BarWidth(1), mpb.BarFillerTrim(),
			mpb.AppendDecorators(decor.Name(" "), name))
	case counter:
		d.bar = d.container.New(0, mpb.BarStyle(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(decor.CountersNoUnit("%d / %d")))
	case transfer:
		d.bar = d.container.New(0, mpb.BarStyle(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(decor.CountersKiloByte("% .1f / % .1f"), decor.Name(" "), decor.EwmaETA(decor.ET_STYLE_GO, 30)))
		d.bar.SetCurrent(done) // by an earlier run: it took no time of this one
	}
	return d
}

func (d *drawing) show(what string, done, total int64) {
	d.what.Store(&what)
	if d.kind == spinner {
		return
	}
	now := time.Now()
	d.bar.SetTotal(total, false)
	d.bar.EwmaSetCurrent(done, now.Sub(d.shown))
	d.shown = now
}

// remove returns when the line is gone and no goroutine draws any more.
func (d *drawing) remove() {
	d.bar.Abort(true)
	d.container.Wait()
}
