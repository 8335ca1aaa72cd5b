package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/store/fault"
	"github.com/brainseg/brainseg/internal/device/store/objects"
)

// oneFolder is a store that reads and writes in one folder, with one image.
func oneFolder(t *testing.T) (store *Store, folder string) {
	t.Helper()
	folder = t.TempDir()
	store, err := New(Options{InputRoots: []string{folder}, OutputRoot: folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	put(t, filepath.Join(folder, "scan-7.png"), "image")
	return store, folder
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func checkContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s holds %q, error %v; want %q", filepath.Base(path), got, err, want)
	}
}

func TestAnOutputNeverReplacesTheImageItWasMadeFrom(t *testing.T) {
	store, folder := oneFolder(t)
	image := filepath.Join(folder, "scan-7.png")
	if err := os.Mkdir(filepath.Join(folder, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(image, filepath.Join(folder, "sub", "hard.png")); err != nil {
		t.Fatal(err)
	}
	link(t, "scan-7.png", filepath.Join(folder, "soft.png"))
	link(t, image, filepath.Join(folder, "absolute.png"))
	link(t, "sub", filepath.Join(folder, "folder"))
	for _, tt := range []struct{ source, destination string }{
		{"scan-7.png", "scan-7.png"},
		{"scan-7.png", "./sub/../scan-7.png"},
		{"scan-7.png", image},
		{image, "scan-7.png"},
		{"scan-7.png", "sub/hard.png"},
		{"scan-7.png", "folder/hard.png"},
		{"sub/hard.png", "scan-7.png"},
		{"soft.png", "scan-7.png"},
		{"absolute.png", "sub/hard.png"},
		{"scan-7.png", "soft.png"},
	} {
		for _, overwrite := range []bool{false, true} {
			_, err := store.Write(t.Context(), tt.destination, []byte("mask"), WriteOptions{Source: Reference{Location: tt.source}, Overwrite: overwrite})
			if !errors.Is(err, fault.ErrIsSource) {
				t.Errorf("%s to %s, overwrite %v: error %v, want %v", tt.source, tt.destination, overwrite, err, fault.ErrIsSource)
			}
			checkContent(t, image, "image")
		}
	}
	checkNothingTemporary(t, folder)
}

func TestAnOutputNeverReplacesAnImageThatAPreviousOutputWas(t *testing.T) {
	store, folder := oneFolder(t)
	if _, err := store.Write(t.Context(), "mask.png", []byte("mask"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := store.Write(t.Context(), "mask.png", []byte("mask of a mask"), WriteOptions{Source: Reference{Location: "mask.png"}})
	checkPrivate(t, err, fault.ErrIsSource)
	checkContent(t, filepath.Join(folder, "mask.png"), "mask")
}

func TestAnOutputNeverReplacesTheObjectItWasMadeFrom(t *testing.T) {
	store, err := New(Options{S3: objects.Options{AllowedBuckets: []string{"scans"}, Endpoint: "http://127.0.0.1:1", Region: "eu-north-1"}})
	if err != nil {
		t.Fatal(err)
	}
	const object = "s3://scans/p1/scan-7.png"
	_, err = store.Write(t.Context(), object, []byte("mask"), WriteOptions{Source: Reference{Location: object}, Overwrite: true})
	checkPrivate(t, err, fault.ErrIsSource, "scan-7")
}

func TestAnOutputReplacesOnlyEarlierOutputs(t *testing.T) {
	store, folder := oneFolder(t)
	at := func(name string) string { return filepath.Join(folder, name) }
	write := func(name, content string, o WriteOptions) error {
		_, err := store.Write(t.Context(), name, []byte(content), o)
		return err
	}
	checkPrivate(t, write("scan-7.png", "mask", WriteOptions{}), fault.ErrExists, "scan-7")
	checkContent(t, at("scan-7.png"), "image")

	for i := range 3 { // the same request, again
		if err := write("own.png", fmt.Sprint("mask ", i), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	checkContent(t, at("own.png"), "mask 2")

	// Somebody corrects the mask in place: it is theirs from then on.
	put(t, at("own.png"), "a corrected mask")
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(at("own.png"), later, later); err != nil {
		t.Fatal(err)
	}
	checkPrivate(t, write("own.png", "mask 3", WriteOptions{}), fault.ErrExists, "own")
	checkContent(t, at("own.png"), "a corrected mask")
	if err := write("own.png", "mask 4", WriteOptions{Overwrite: true}); err != nil {
		t.Error(err)
	}
	checkContent(t, at("own.png"), "mask 4")
	if err := write("own.png", "mask 5", WriteOptions{}); err != nil {
		t.Error(err)
	}

	link(t, "own.png", at("link.png"))
	checkPrivate(t, write("link.png", "mask", WriteOptions{}), fault.ErrExists, "link")
	checkContent(t, at("own.png"), "mask 5")
	checkNothingTemporary(t, folder)
}

// A file that somebody puts under the name while a mask is being written is kept.
func TestAFileThatAppearsMeanwhileIsNotReplaced(t *testing.T) {
	store, folder := oneFolder(t)
	kept := 0
	for i := range 400 {
		name := fmt.Sprintf("m%d.png", i)
		var theirs error
		var both sync.WaitGroup
		start := make(chan struct{})
		both.Go(func() {
			<-start
			var f *os.File
			if f, theirs = os.OpenFile(filepath.Join(folder, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); theirs == nil {
				f.WriteString("a person's")
				f.Close()
			}
		})
		close(start)
		_, ours := store.Write(t.Context(), name, []byte("mask"), WriteOptions{})
		both.Wait()
		want := "mask"
		if theirs == nil {
			want = "a person's"
			kept++
		}
		if (ours == nil) == (theirs == nil) || ours != nil && !errors.Is(ours, fault.ErrExists) {
			t.Fatalf("both made %s: %v and %v", name, ours, theirs)
		}
		checkContent(t, filepath.Join(folder, name), want)
	}
	t.Logf("somebody else was first %d times of 400", kept)
}

func TestWritersToOneNameLeaveOneWholeOutput(t *testing.T) {
	store, folder := oneFolder(t)
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 40_000) }
	var writing sync.WaitGroup
	for i := range 8 {
		writing.Go(func() {
			for range 20 {
				if _, err := store.Write(t.Context(), "m.png", content(i), WriteOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	got, err := os.ReadFile(filepath.Join(folder, "m.png"))
	if err != nil || len(got) != 40_000 || !bytes.Equal(got, content(int(got[0]-'a'))) {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
	checkNothingTemporary(t, folder)
}

func TestFileAndFoldersAreSyncedBeforeWriteReturns(t *testing.T) {
	store, folder := oneFolder(t)
	synced := make(map[string]bool) // names that were in a folder when it was flushed
	store.output.sync = func(f *os.File) error {
		names, err := f.Readdirnames(-1)
		for _, name := range names {
			synced[name] = true
		}
		return errors.Join(err, syncFolder(f))
	}
	if _, err := store.Write(t.Context(), "p1/day/m.png", []byte("mask"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p1", "day", "m.png"} {
		if !synced[name] {
			t.Errorf("the name %s was not flushed: %v", name, synced)
		}
	}
	clear(synced)
	if _, err := store.Write(t.Context(), "p1/day/m.png", []byte("mask"), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if !synced["m.png"] || synced["p1"] {
		t.Errorf("flushed in the second write: %v", synced)
	}
	store.output.sync = func(*os.File) error { return os.ErrDeadlineExceeded }
	if _, err := store.Write(t.Context(), "late.png", []byte("mask"), WriteOptions{}); err == nil {
		t.Error("a name that was not flushed is told as written")
	}
	checkContent(t, filepath.Join(folder, "p1/day/m.png"), "mask")
}
