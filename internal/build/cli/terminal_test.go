package cli

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/internal/progress/progresstest"
)

// figures are what is another each time.
var figures = regexp.MustCompile(`\d+\.\d\d ms|memory \d+ MB`)

func TestOnATerminalAllStepsLeaveTheSameLinesAsElsewhere(t *testing.T) {
	s := newSite(t)
	job := s.train(t, tarGz(t, modelFiles(t, "threshold")))
	elsewhere := strings.Split(strings.TrimSuffix(mustRun(t, s.all("elsewhere", "--training-job", job)...).stderr, "\n"), "\n")
	terminal := progresstest.New(t)
	stdout := new(strings.Builder)
	if code := Run(t.Context(), s.all("terminal", "--training-job", job, "--cache", t.TempDir()), stdout, terminal.File); code != ExitOK {
		t.Errorf("exit code %d", code)
	}
	seen := terminal.End()
	// The line that stands in for the bar, where there is none.
	elsewhere = slices.DeleteFunc(elsewhere, func(line string) bool { return strings.HasPrefix(line, "fetching ") })
	for _, lines := range [][]string{elsewhere, seen} {
		for i := range lines {
			lines[i] = figures.ReplaceAllString(lines[i], "#")
		}
	}
	if got, want := strings.Join(seen, ""), strings.Join(elsewhere, ""); got != want {
		t.Errorf("the terminal shows\n%s\nand elsewhere it is\n%s", strings.Join(seen, "\n"), strings.Join(elsewhere, "\n"))
	}
}

func TestAnErrorOnATerminalStandsByItself(t *testing.T) {
	s := newSite(t)
	terminal := progresstest.New(t)
	if code := Run(t.Context(), s.all("a", "--training-job", s.train(t, []byte("no archive"))), new(strings.Builder), terminal.File); code != ExitFailed {
		t.Errorf("exit code %d", code)
	}
	seen := terminal.End()
	if last := slices.IndexFunc(seen, func(line string) bool { return strings.HasPrefix(line, "model-build: ") }); last < 1 {
		t.Errorf("the terminal shows %q", seen)
	}
}
