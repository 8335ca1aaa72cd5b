package output

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestAStreamRemembersThatTheDeviceIsFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	s := NewStream(full)
	if s.Err() != nil {
		t.Error(s.Err())
	}
	fmt.Fprintln(s, "lost")
	if err := s.Err(); !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "write the output: ") {
		t.Errorf("error %v", err)
	}
	if File(s) != full || File(full) != full || File(new(strings.Builder)) != nil {
		t.Error("the file is not found again")
	}
}

func TestNamesDoATerminalNoHarm(t *testing.T) {
	for name, want := range map[string]string{
		"slice.png":                "slice.png",
		"Schädel 日本 b.png":         "Schädel 日本 b.png",
		"\x1b]0;title\x07.png":     `\x1b]0;title\x07.png`,
		"a\nbrainseg: all is well": `a\nbrainseg: all is well`,
		"a\rb\tc\x7f":              `a\x0db\tc\x7f`,
		"\xff.png":                 `\xff.png`,
		"\u202egnp.exe":            `\u202egnp.exe`,
		"c1\u009b2J":               `c1\u009b2J`,
	} {
		if got := Name(name); got != want {
			t.Errorf("Name(%q) is %s, want %s", name, got, want)
		}
	}
	if got := Printable("two\nlines\x1b[2J"); got != "two\nlines\\x1b[2J" {
		t.Errorf("%q", got)
	}
}
