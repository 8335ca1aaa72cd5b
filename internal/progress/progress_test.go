package progress

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/brainseg/brainseg/internal/progress/progresstest"
)

var kinds = []struct {
	name  string
	draw  func(*Task)
	shows string // a frame
}{
	{"a spinner", func(t *Task) { t.Spin("measuring") }, `[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] measuring`},
	{"a count", func(t *Task) { t.Count("golden slices", 3, 20) }, `golden slices \[=+>-+\] 3 / 20`},
	{"a count of which nothing is done", func(t *Task) { t.Count("golden slices", 0, 20) }, `golden slices \[-+\] 0 / 20`},
	{"a count of which all is done", func(t *Task) { t.Count("golden slices", 20, 20) }, `golden slices \[=+>\] 20 / 20`},
	{"a transfer", func(t *Task) { t.Transfer("fetching", 0, 20e6); t.Transfer("fetching", 5e6, 20e6) }, `fetching \[=+>-+\] 5.0 MB / 20.0 MB \d+`},
	{"a transfer that goes on", func(t *Task) { t.Transfer("fetching", 10e6, 20e6) }, `fetching \[=+>-+\] 10.0 MB / 20.0 MB 0s`},
}

func TestEachKindIsDrawnAndGoneBeforeTheNextLine(t *testing.T) {
	for _, tt := range kinds {
		t.Run(tt.name, func(t *testing.T) {
			terminal := progresstest.New(t)
			none := goleak.IgnoreCurrent()
			d := New(terminal.File, terminal.File)
			fmt.Fprintln(d.Messages(), "before")
			task := d.Begin()
			tt.draw(task)
			terminal.WaitFor(tt.shows, regexp.MustCompile(tt.shows).MatchString)
			fmt.Fprintln(d.Messages(), "meanwhile")
			task.End()
			if err := goleak.Find(none); err != nil {
				t.Errorf("a task that has ended has left: %v", err)
			}
			fmt.Fprintln(d.Out(), "after")
			if diff := cmp.Diff([]string{"before", "meanwhile", "after"}, terminal.End()); diff != "" {
				t.Errorf("the terminal shows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestATaskGoesFromOneKindToAnother(t *testing.T) {
	terminal := progresstest.New(t)
	d := New(terminal.File, terminal.File)
	task := d.Begin()
	for _, tt := range kinds {
		tt.draw(task)
		terminal.WaitFor(tt.shows, regexp.MustCompile(tt.shows).MatchString)
	}
	task.End()
	if seen := terminal.End(); len(seen) != 0 {
		t.Errorf("the terminal still shows %q", seen)
	}
}

// A goroutine of a transfer that failed may be late.
func TestNothingIsDrawnOfATaskThatHasEnded(t *testing.T) {
	for _, over := range []struct {
		name string
		end  func(*Display, *Task)
	}{
		{"by its end", func(_ *Display, t *Task) { t.End() }},
		{"by another task", func(d *Display, _ *Task) { d.Begin() }},
		{"by the display's end", func(d *Display, _ *Task) { d.Close() }},
	} {
		t.Run(over.name, func(t *testing.T) {
			terminal := progresstest.New(t)
			d := New(terminal.File, terminal.File)
			task := d.Begin()
			task.Spin("fetching")
			terminal.WaitForText("fetching")
			over.end(d, task)
			fmt.Fprintln(d.Messages(), "the connection was lost")
			task.Spin("too late")
			task.Count("too late", 1, 2)
			task.Transfer("too late", 1, 2)
			if over.name == "by the display's end" {
				d.Begin().Spin("too late")
			}
			task.End()

			// Frames of the next task prove that there was time for late ones.
			next := New(terminal.File, terminal.File).Begin()
			next.Spin("something else")
			terminal.WaitForText("something else")
			next.End()
			if seen := terminal.End(); !slices.Equal(seen, []string{"the connection was lost"}) {
				t.Errorf("the terminal shows %q", seen)
			}
			if drawn := terminal.WaitForText("that is all"); strings.Contains(drawn, "too late") {
				t.Errorf("what had ended was drawn: %q", drawn)
			}
		})
	}
}

func TestAnyGoroutineMayDrawAndWriteLines(t *testing.T) {
	terminal := progresstest.New(t)
	d := New(terminal.File, terminal.File)
	const goroutines, each = 8, 100
	task := d.Begin()
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			for i := range each {
				switch g % 4 {
				case 0:
					task.Spin(fmt.Sprintf("spinning %d", i))
				case 1:
					task.Count("counting", i, each)
				case 2:
					task.Transfer("fetching", int64(i), each)
				}
				w := d.Out()
				if i%2 == 1 {
					w = d.Messages()
				}
				fmt.Fprintf(w, "goroutine %d, line %d\n", g, i)
			}
		})
	}
	group.Wait()
	task.End()
	seen := terminal.End()
	if len(seen) != goroutines*each {
		t.Errorf("the terminal shows %d lines, not %d", len(seen), goroutines*each)
	}
	next := make([]int, goroutines)
	for _, line := range seen {
		var g, i int
		if n, err := fmt.Sscanf(line, "goroutine %d, line %d", &g, &i); n != 2 || err != nil || line != fmt.Sprintf("goroutine %d, line %d", g, next[g]) {
			t.Fatalf("the terminal shows %q, which nobody wrote then", line)
		}
		next[g]++
	}
}

func TestAPartOfALineEndsWhatIsDrawn(t *testing.T) {
	terminal := progresstest.New(t)
	d := New(terminal.File, terminal.File)
	task := d.Begin()
	task.Spin("waiting")
	terminal.WaitForText("waiting")
	fmt.Fprint(d.Messages(), "Go on? ")
	fmt.Fprintln(d.Messages(), "yes")
	task.End()
	if seen := terminal.End(); !slices.Equal(seen, []string{"Go on? yes"}) {
		t.Errorf("the terminal shows %q", seen)
	}
}

func TestResultsGoToTheirFileWhileMessagesAreDrawnOnATerminal(t *testing.T) {
	terminal := progresstest.New(t)
	path := filepath.Join(t.TempDir(), "results")
	results, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer results.Close()
	d := New(results, terminal.File)
	task := d.Begin()
	task.Count("segmenting", 1, 2)
	terminal.WaitForText("1 / 2")
	fmt.Fprintln(d.Out(), "a mask")
	if content, err := os.ReadFile(path); err != nil || string(content) != "a mask\n" {
		t.Errorf("the file has %q, %v", content, err)
	}
	fmt.Fprintln(d.Messages(), "a message")
	task.End()
	if seen := terminal.End(); !slices.Equal(seen, []string{"a message"}) {
		t.Errorf("the terminal shows %q", seen)
	}
}

func TestOffATerminalNothingIsDrawnAndNoGoroutineRuns(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	dumb := progresstest.New(t)
	for name, messages := range map[string]interface{ Write([]byte) (int, error) }{
		"buffer": new(bytes.Buffer), "pipe": writer, "terminal that cannot move its cursor": dumb.File,
	} {
		t.Run(name, func(t *testing.T) {
			if messages == dumb.File {
				t.Setenv("TERM", "dumb")
			}
			none := goleak.IgnoreCurrent()
			d := New(new(bytes.Buffer), messages)
			for _, tt := range kinds {
				task := d.Begin()
				tt.draw(task)
				if err := goleak.Find(none); err != nil {
					t.Errorf("%s has a goroutine: %v", tt.name, err)
				}
				task.End()
			}
			if d.Terminal() {
				t.Error("it is taken for a terminal to draw on")
			}
			fmt.Fprintln(d.Messages(), "a message")
			switch messages := messages.(type) {
			case *bytes.Buffer:
				if got := messages.String(); got != "a message\n" {
					t.Errorf("what was written is %q", got)
				}
			case *os.File:
				if messages == dumb.File {
					if seen := dumb.End(); !slices.Equal(seen, []string{"a message"}) {
						t.Errorf("the terminal shows %q", seen)
					}
					return
				}
				got := make([]byte, 100)
				n, err := reader.Read(got)
				if err != nil || string(got[:n]) != "a message\n" {
					t.Errorf("what was written is %q, %v", got[:n], err)
				}
			}
		})
	}
}

func TestWithoutADisplayNothingIsDrawn(t *testing.T) {
	var d *Display
	for _, tt := range kinds {
		task := d.Begin()
		tt.draw(task)
		task.End()
	}
}
