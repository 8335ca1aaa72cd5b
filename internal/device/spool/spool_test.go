package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatADeadProcessLeftIsRemovedAndWhatALivingOneHasIsNot(t *testing.T) {
	parent := t.TempDir()
	dead := filepath.Join(parent, prefix+"dead")
	if err := os.MkdirAll(filepath.Join(dead, "1"), 0o700); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(parent, prefix+"link")); err != nil {
		t.Fatal(err)
	}
	first, second := Spool{Parent: parent}, Spool{Parent: parent}
	if got := first.And([]string{"a"}); len(got) != 1 {
		t.Errorf("there is a folder before one is needed: %v", got)
	}
	one, err := first.Take()
	if err != nil {
		t.Fatal(err)
	}
	two, err := second.Take()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{dead: fs.ErrNotExist, one: nil, two: nil, elsewhere: nil} {
		if _, err := os.Stat(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if info, err := os.Stat(first.root()); err != nil || info.Mode().Perm() != 0o700 || !strings.HasPrefix(one, first.root()+"/") {
		t.Errorf("%s is below %s with %v, %v", one, first.root(), info, err)
	}
	if got := first.And([]string{"a"}); len(got) != 2 || got[1] != first.root() {
		t.Errorf("the folders are %v", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(one); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a scan is left behind")
	}
	if _, err := first.Take(); err == nil {
		t.Error("a folder was given after the end")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}
