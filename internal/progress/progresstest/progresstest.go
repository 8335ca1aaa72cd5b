// Package progresstest gives tests a pseudo-terminal and tells what a person would
// see on it. Tests of programs that draw progress use it.
package progresstest

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// Terminal is a pseudo-terminal, and what a program has drawn on it.
type Terminal struct {
	// File is what the program writes to.
	File *os.File

	t *testing.T

	mu      sync.Mutex
	drawn   bytes.Buffer  // guarded by mu
	changed chan struct{} // closed and replaced whenever drawn grows; guarded by mu
}

// New opens a terminal of 80 columns for the time of the test.
func New(t *testing.T) *Terminal {
	t.Helper()
	t.Setenv("TERM", "xterm")
	master, file, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 2000, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	s := &Terminal{t: t, File: file, changed: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			s.mu.Lock()
			s.drawn.Write(buffer[:n])
			close(s.changed)
			s.changed = make(chan struct{})
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { file.Close(); <-ended; master.Close() })
	return s
}

// WaitFor returns when what was drawn fulfils a condition, with all of it.
func (s *Terminal) WaitFor(what string, condition func(drawn string) bool) string {
	s.t.Helper()
	limit := time.After(patience)
	for {
		s.mu.Lock()
		drawn, changed := s.drawn.String(), s.changed
		s.mu.Unlock()
		if condition(drawn) {
			return drawn
		}
		select {
		case <-changed:
		case <-limit:
			s.t.Fatalf("%s was not drawn; the last that was is %q", what, drawn[max(0, len(drawn)-500):])
		}
	}
}

// WaitForText returns when text was drawn, with all that was.
func (s *Terminal) WaitForText(text string) string {
	s.t.Helper()
	return s.WaitFor(strconv.Quote(text), func(drawn string) bool { return strings.Contains(drawn, text) })
}

// End writes a last line past the program, which must have ended, and returns the
// lines that are then to be seen, without it.
func (s *Terminal) End() []string {
	s.t.Helper()
	const mark = "that is all"
	if _, err := s.File.WriteString(mark + "\n"); err != nil {
		s.t.Fatal(err)
	}
	seen := screen(s.t, s.WaitForText(mark+"\r\n"))
	if n := len(seen); n < 2 || seen[n-2] != mark || seen[n-1] != "" {
		s.t.Fatalf("the line after it all does not stand by itself: %q", seen)
	}
	return seen[:len(seen)-2]
}

// screen is what a terminal shows of drawn: the lines, the last one that of the
// cursor.
func screen(t *testing.T, drawn string) []string {
	t.Helper()
	lines, row, column := [][]rune{nil}, 0, 0
	for rest := []rune(drawn); len(rest) > 0; {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case '\r':
			column = 0
		case '\n':
			if row++; row == len(lines) {
				lines = append(lines, nil)
			}
		case '\x1b':
			end := strings.IndexAny(string(rest), "AJ")
			if end < 1 || rest[0] != '[' {
				t.Fatalf("a sequence that this test does not know: %q", string(rest[:min(10, len(rest))]))
			}
			switch rest[end] {
			case 'A': // up
				n, err := strconv.Atoi(string(rest[1:end]))
				if err != nil || n > row {
					t.Fatalf("up by %q from row %d", string(rest[1:end]), row)
				}
				row -= n
			case 'J': // erase what is below
				lines = lines[:row+1]
				lines[row] = lines[row][:min(column, len(lines[row]))]
			}
			rest = rest[end+1:]
		default:
			for len(lines[row]) <= column {
				lines[row] = append(lines[row], ' ')
			}
			lines[row][column] = c
			column++
		}
	}
	seen := make([]string, len(lines))
	for i, line := range lines {
		seen[i] = strings.TrimRight(string(line), " ")
	}
	return seen
}
