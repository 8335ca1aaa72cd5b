package workfolder

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderAppearsWholeOrNotAtAll(t *testing.T) {
	parent := t.TempDir()
	out := filepath.Join(parent, "a", "out")
	failed := errors.New("failed")
	err := Fill(out, func(dir string) error {
		write(t, filepath.Join(dir, "half"), "x")
		return failed
	})
	if entries, _ := os.ReadDir(filepath.Dir(out)); !errors.Is(err, failed) || len(entries) != 0 {
		t.Errorf("error %v, and %v is left", err, entries)
	}
	if err := Fill(out, func(dir string) error { write(t, filepath.Join(dir, "whole"), "x"); return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(out, "whole")); err != nil {
		t.Error(err)
	}
	if err := Fill(out, func(string) error { t.Error("it was filled again"); return nil }); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a folder that is not empty: error %v", err)
	}
}

func TestAStepIsTakenAgainWhereItsInputsOrWhatItLeftHaveChanged(t *testing.T) {
	work := filepath.Join(t.TempDir(), "work")
	run := func(tool, input string) (taken int) {
		t.Helper()
		p, err := Open(work, tool, t.Logf)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if _, err := Open(work, tool, t.Logf); err == nil {
			t.Error("two work in one folder")
		}
		for _, name := range []string{"first", "second"} {
			if _, err := p.Step(t.Context(), name, input, func(dir string) error {
				write(t, filepath.Join(dir, "made"), name+input)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if p.Taken+p.Skipped != 2 {
			t.Errorf("%d steps taken, %d left out", p.Taken, p.Skipped)
		}
		return p.Taken
	}
	for _, tt := range []struct {
		name, tool, input string
		change            func()
		want              int
	}{
		{"at first", "1", "a", func() {}, 2},
		{"nothing has changed", "1", "a", func() {}, 0},
		{"another input", "1", "b", func() {}, 2},
		{"another program", "2", "b", func() {}, 2},
		{"a file that is damaged", "2", "b", func() { write(t, filepath.Join(work, "second", "made"), "damaged") }, 1},
		{"a stamp that is gone", "2", "b", func() { os.Remove(filepath.Join(work, "first.json")) }, 1},
	} {
		tt.change()
		if taken := run(tt.tool, tt.input); taken != tt.want {
			t.Errorf("%s: %d steps taken, want %d", tt.name, taken, tt.want)
		}
	}
}
