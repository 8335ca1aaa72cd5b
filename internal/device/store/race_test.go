package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestAnAbsoluteLinkInsideARootIsFollowed(t *testing.T) {
	top := t.TempDir()
	for _, folder := range []string{"disk/images", "disk/masks"} {
		if err := os.MkdirAll(filepath.Join(top, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The root itself is known by a link and by its real path.
	link(t, filepath.Join(top, "disk"), filepath.Join(top, "data"))
	if err := os.WriteFile(filepath.Join(top, "disk/images/a.png"), []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	store, err := New(Options{InputRoots: []string{filepath.Join(top, "data/images")}, OutputRoot: filepath.Join(top, "data/masks")})
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"by-link.png": "data/images/a.png", "by-path.png": "disk/images/a.png"} {
		link(t, filepath.Join(top, target), filepath.Join(top, "disk/images", name))
		if got, err := store.Read(t.Context(), Reference{Location: name}); err != nil || string(got) != "image" {
			t.Errorf("%s: read %q, error %v", name, got, err)
		}
	}
	link(t, filepath.Join(top, "disk/masks"), filepath.Join(top, "disk/masks/here"))
	if _, err := store.Write(t.Context(), "here/m.png", []byte("mask"), WriteOptions{}); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(filepath.Join(top, "disk/masks/m.png")); err != nil || string(got) != "mask" {
		t.Errorf("the mask is %q, error %v", got, err)
	}
}

// A folder that turns into a link out of the root and back, over and over, must
// never lead a read or a write there; nor one that turns by an absolute link.
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
				_ = os.Symlink([]string{"real", "evil2", "evil", filepath.Join(root, "real"), filepath.Join(root, "evil")}[i%5], temporary)
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
		if _, err := f.Write(t.Context(), "turn/secret.png", []byte("mask"), WriteOptions{}); err == nil {
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
	if _, err := f.Write(t.Context(), "m.png", content[0], WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	for i := range 2 {
		writing.Go(func() {
			for ctx.Err() == nil {
				if _, err := f.Write(t.Context(), "m.png", content[i], WriteOptions{}); err != nil {
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
