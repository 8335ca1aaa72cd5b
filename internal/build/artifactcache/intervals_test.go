package artifactcache

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestIntervalsAgreeWithATableOfBytes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		const size = 40
		var set intervals
		var have [size]bool
		for range 1 + random.IntN(12) {
			start := random.Int64N(size)
			end := start + random.Int64N(size-start+1)
			set = set.add(interval{start, end})
			for i := start; i < end; i++ {
				have[i] = true
			}
			if !set.valid(size) {
				t.Fatalf("%v is not in order", set)
			}
		}
		var wantGaps []interval
		n := int64(0)
		for i := int64(0); i < size; i++ {
			if have[i] {
				n++
				continue
			}
			if i == 0 || have[i-1] {
				wantGaps = append(wantGaps, interval{i, i})
			}
			wantGaps[len(wantGaps)-1].End = i + 1
		}
		if diff := cmp.Diff(wantGaps, set.gaps(size)); diff != "" || set.length() != n {
			t.Fatalf("%v: length %d, want %d; gaps (-want +got):\n%s", set, set.length(), n, diff)
		}
	}
}

func TestAJournalThatCannotBeTrueIsNotBelieved(t *testing.T) {
	for name, journal := range map[string]string{
		"nothing":              "",
		"no JSON":              "{",
		"another size":         `{"size":99,"done":[{"start":0,"end":10}]}`,
		"beyond the end":       `{"size":10,"done":[{"start":0,"end":11}]}`,
		"not in order":         `{"size":10,"done":[{"start":5,"end":6},{"start":0,"end":2}]}`,
		"touching":             `{"size":10,"done":[{"start":0,"end":2},{"start":2,"end":4}]}`,
		"before the beginning": `{"size":10,"done":[{"start":-2,"end":2}]}`,
		"the wrong way round":  `{"size":10,"done":[{"start":6,"end":2}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "data"), "0123456789")
			write(t, filepath.Join(dir, "journal"), journal)
			p, err := openPartial(t.Context(), dir, 10, func(int64) {})
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			if gaps := p.gaps(); !slices.Equal(gaps, []interval{{0, 10}}) {
				t.Errorf("only %v is missing", gaps)
			}
		})
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data"), "0123456789")
	write(t, filepath.Join(dir, "journal"), `{"size":10,"done":[{"start":2,"end":4}]}`)
	p, err := openPartial(t.Context(), dir, 10, func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if gaps := p.gaps(); !slices.Equal(gaps, []interval{{0, 2}, {4, 10}}) {
		t.Errorf("%v is missing of a good journal", gaps)
	}
	if _, err := (window{p, interval{4, 6}}).WriteAt([]byte("abc"), 0); !errors.Is(err, errOutOfRange) {
		t.Errorf("three bytes into a gap of two: error %v", err)
	}
}

func TestAFileIsCopiedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.tar.gz")
	write(t, path, "an archive")
	c := open(t)
	a, err := c.FromFile(t.Context(), path)
	if err != nil || a.Cached {
		t.Fatalf("%+v, %v", a, err)
	}
	checkArtifact(t, a, []byte("an archive"))
	if a, err = c.FromFile(t.Context(), path); err != nil || !a.Cached {
		t.Errorf("the second time: %+v, %v", a, err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	write(t, empty, "")
	if _, err := c.FromFile(t.Context(), empty); !errors.Is(err, ErrSize) {
		t.Errorf("an empty file: error %v", err)
	}
	if _, err := c.FromFile(t.Context(), t.TempDir()); err == nil {
		t.Error("a folder was taken")
	}
}

func TestTransfersThatNobodyGoesOnWithAreForgotten(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	for name, age := range map[string]time.Duration{"old": 31 * 24 * time.Hour, "young": 29 * 24 * time.Hour} {
		folder := filepath.Join(dir, "partial", name)
		if err := os.Mkdir(folder, 0o750); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(folder, "data"), "half")
		if err := os.Chtimes(folder, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "partial"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "young" {
		t.Errorf("%v, %v", entries, err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}
