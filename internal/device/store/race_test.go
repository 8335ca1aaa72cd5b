package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// A folder that turns into a link out of the root and back, over and over, must
// never lead a read or a write there.
func TestAFolderThatBecomesALinkDoesNotLeadOutside(t *testing.T) {
	f := newFixture(t)
	for _, root := range []string{f.first, f.output} {
		if err := os.MkdirAll(filepath.Join(root, "real"), 0o755); err != nil {
			t.Fatal(err)
		}
		link(t, "real", filepath.Join(root, "turn"))
		link(t, f.outside, filepath.Join(root, "evil"))
		link(t, "../outside", filepath.Join(root, "evil2"))
	}
	if err := os.WriteFile(filepath.Join(f.first, "real", "secret.png"), []byte("harmless"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var turning sync.WaitGroup
	turning.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			for _, root := range []string{f.first, f.output} {
				temporary := filepath.Join(root, "next")
				_ = os.Symlink([]string{"real", "evil2", "evil"}[i%3], temporary)
				_ = os.Rename(temporary, filepath.Join(root, "turn"))
			}
		}
	})
	reads, writes := 0, 0
	for range 2000 {
		data, err := f.Read(t.Context(), Reference{Location: "turn/secret.png"})
		if err == nil {
			reads++
			if string(data) != "harmless" {
				t.Fatalf("read %q", data)
			}
		}
		if _, err := f.Write(t.Context(), "turn/secret.png", []byte("mask")); err == nil {
			writes++
		}
	}
	cancel()
	turning.Wait()
	if kept, err := os.ReadFile(filepath.Join(f.outside, "secret.png")); err != nil || string(kept) != "secret" {
		t.Errorf("the file outside holds %q, error %v", kept, err)
	}
	if left, err := os.ReadDir(f.outside); err != nil || len(left) != 1 {
		t.Errorf("the folder outside holds %v, error %v", left, err)
	}
	if reads == 0 || writes == 0 {
		t.Errorf("%d reads and %d writes went through: the race was not run", reads, writes)
	}
}

func TestReadersSeeTheOldFileOrTheNewOne(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.InputRoots = []string{t.TempDir()}; o.OutputRoot = o.InputRoots[0] })
	content := [][]byte{bytes.Repeat([]byte("a"), 50_000), bytes.Repeat([]byte("b"), 90_000)}
	if _, err := f.Write(t.Context(), "m.png", content[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for i := range 2 {
		writing.Go(func() {
			for ctx.Err() == nil {
				if _, err := f.Write(t.Context(), "m.png", content[i]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 300 {
		got, err := f.Read(t.Context(), Reference{Location: "m.png"})
		if err != nil || !bytes.Equal(got, content[0]) && !bytes.Equal(got, content[1]) {
			t.Errorf("read %d bytes, error %v", len(got), err)
			break
		}
	}
	cancel()
	writing.Wait()
}
