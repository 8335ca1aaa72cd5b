package models

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/model"
)

// names lists a folder.
func names(t *testing.T, folder string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func TestAModelThatWasRefusedStaysRefusedOverARestart(t *testing.T) {
	keep := filepath.Join(t.TempDir(), "kept")
	b := start(t, 0, nil)
	again := func() *Models {
		t.Helper()
		m, err := New(t.Context(), b.config(b.link()), Options{Keep: keep, Tell: func(message string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, message)
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		return m
	}
	m := again()
	b.until("a copy is kept", func() bool { return len(names(t, keep)) == 1 && !strings.HasPrefix(names(t, keep)[0], unfinished) })
	m.Close()
	first := names(t, keep)

	if err := os.RemoveAll(filepath.Join(b.dir, "1")); err != nil { // as nuclei do with old versions
		t.Fatal(err)
	}
	b.put("values", "damaged", func(m *model.Manifest) { m.SHA256 = strings.Repeat("0", 64) })
	b.set("damaged")
	b.awaitRefused(1)
	b.until("it is told", func() bool { return len(b.messages()) == 1 })
	b.Stop() // watching; the bench is not needed any more
	m = again()
	if m.Identity().Version != "1" {
		t.Errorf("%+v is in use after the restart", m.Identity())
	}
	m.Watch(3 * time.Millisecond)
	b.until("it is told again", func() bool {
		told := b.messages()
		return len(told) > 1 && strings.HasPrefix(told[len(told)-1], "Error: the new model is refused and the one before stays in use: "+model.ErrChecksum.Error())
	})
	b.put("values", "2")
	b.set("2")
	b.until("the next one takes over", func() bool { return m.Identity().Version == "2" })
	b.until("it is kept in place of the first", func() bool { now := names(t, keep); return len(now) == 1 && now[0] != first[0] })
	m.Close()
	if h := m.Health(); h.Refused != 1 || h.Loaded != 1 {
		t.Errorf("health: %+v", h)
	}
	if files := names(t, filepath.Join(keep, names(t, keep)[0])); !slices.Equal(files, []string{"manifest.json", "model.onnx"}) {
		t.Errorf("kept: %q", files)
	}
}

func TestACopyThatIsNotWholeIsNoModel(t *testing.T) {
	b := start(t, 0, nil)
	keep := t.TempDir()
	cfg := b.config(filepath.Join(b.dir, "nowhere"))
	whole := b.put("values", "whole")
	damaged, good := strings.Repeat("d", 32), strings.Repeat("e", 32)
	for _, name := range []string{unfinished + "1", damaged} {
		if err := os.CopyFS(filepath.Join(keep, name), os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(keep, damaged, "model.onnx"), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), cfg, Options{Keep: keep}); !errors.Is(err, model.ErrManifest) || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v", err)
	}
	if err := os.CopyFS(filepath.Join(keep, good), os.DirFS(whole)); err != nil {
		t.Fatal(err)
	}
	m, err := New(t.Context(), cfg, Options{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	if len(names(t, keep)) != 1 {
		t.Errorf("kept: %q", names(t, keep))
	}
}

func TestTheStartWaitsForAModelThatIsNotThereYet(t *testing.T) {
	b := start(t, 0, nil)
	later := filepath.Join(b.dir, "later")
	cfg := b.config(later)
	if _, err := New(t.Context(), cfg, Options{Await: time.Millisecond}); !errors.Is(err, model.ErrManifest) {
		t.Errorf("no model: %v", err)
	}
	made := make(chan error)
	go func() { made <- os.Symlink("1", later) }()
	m, err := New(t.Context(), cfg, Options{Await: time.Minute})
	if err != nil || <-made != nil {
		t.Fatal(err)
	}
	m.Close()
}

func TestWhatIsNoCopyStaysInTheFolderOfCopies(t *testing.T) {
	keep := t.TempDir()
	for _, name := range []string{"manifest.json", "0123", strings.Repeat("a", 32)} {
		if err := os.WriteFile(filepath.Join(keep, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"folder", strings.Repeat("b", 32), unfinished + "1"} {
		if err := os.MkdirAll(filepath.Join(keep, name, "below"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b := start(t, 0, nil)
	m, err := New(t.Context(), b.config(b.link()), Options{Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	b.until("the old copies are gone", func() bool { return len(names(t, keep)) == 5 })
	m.Close()
	got := names(t, keep)
	for _, name := range []string{"manifest.json", "0123", strings.Repeat("a", 32), "folder"} {
		if !slices.Contains(got, name) {
			t.Errorf("%s is gone: %q", name, got)
		}
	}
}
