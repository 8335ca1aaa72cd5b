// Package output is what both programs print with: a stream that does not forget
// a write that failed, so that a full disk is no success, and names of files that
// do a terminal no harm.
//
// It neither formats nor colours, and draws nothing; see package progress. Both
// packages cli call it.
package output

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Stream is a writer that remembers the first error. It may be used by several
// goroutines.
type Stream struct {
	w io.Writer

	mu  sync.Mutex
	err error // guarded by mu
}

// NewStream returns a stream that writes to w.
func NewStream(w io.Writer) *Stream { return &Stream{w: w} }

// Write implements io.Writer.
func (s *Stream) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.err == nil {
			s.err = fmt.Errorf("write the output: %w", err)
		}
	}
	return n, err
}

// Err returns the first error of Write, nil where there was none.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// File returns the file that w is or, as a Stream, writes to; nil where it is
// none.
func File(w io.Writer) *os.File {
	if s, ok := w.(*Stream); ok {
		w = s.w
	}
	file, _ := w.(*os.File)
	return file
}

// Printable returns text for a line on a terminal: control characters, what turns
// the direction of writing, and bytes that are no UTF-8 are written as in Go's
// string literals; line ends and tabs stay.
func Printable(text string) string {
	good := func(r rune) bool { return r == '\n' || r == '\t' || unicode.IsGraphic(r) }
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !good(r) }) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case good(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[size:]
	}
	return b.String()
}

// Name returns the name of a file for a line: as Printable, and on one line.
func Name(name string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(Printable(name))
}
