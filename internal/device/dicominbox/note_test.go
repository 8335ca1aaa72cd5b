package dicominbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
)

func TestWhatIsToldLateDoesNotUndoTheEndOfTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		removed := 0
		opts := dicominbox.Options{Folder: folder, Quiet: time.Minute, Keep: 20 * time.Minute, Removed: func(string, bool) { removed++ }}
		b := open(t, opts)
		sent := dicomtest.Series{Number: 1, Slices: 2}
		storeAll(t, b, sent)
		first := mustComplete(t, b) // and the process dies before it says who keeps it
		b = open(t, opts)
		release(t, b, first, true) // by those who keep it all the same, within the quiet time
		accept(t, b, first)
		if left := b.Unreleased(); len(left) != 0 {
			t.Errorf("not released: %+v", left)
		}
		storeAll(t, b, sent) // which failed: it is to be tried again
		release(t, b, first, true)
		second := mustComplete(t, b)
		if second.Set != first.Set || second.Attempt != 1 {
			t.Errorf("%+v, and then %+v", first, second)
		}
		b = open(t, opts)
		release(t, b, second, false)
		if s, again := complete(t, b); again {
			t.Errorf("%+v is complete, though the work on it is over", s)
		}
		if removed != 1 {
			t.Errorf("removed %d times after its time", removed)
		}
	})
}

func TestASeriesWhoseWorkWasGivenUpIsHandedOutUnderAnotherID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		b := open(t, dicominbox.Options{Folder: folder})
		sent := dicomtest.Series{Number: 1, Slices: 2}
		superseded := func(s dicominbox.Series) {
			if err := b.Superseded(s); err != nil {
				t.Fatal(err)
			}
		}
		storeAll(t, b, sent)
		first := mustComplete(t, b)
		accept(t, b, first)
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 2, Changed: true})
		superseded(first) // as it should be
		other := mustComplete(t, b)
		if other.Set == first.Set || other.Attempt != 0 {
			t.Errorf("%+v, and then %+v", first, other)
		}
		storeAll(t, b, sent)
		superseded(first) // and yet it is the same again
		b = open(t, dicominbox.Options{Folder: folder})
		second := mustComplete(t, b)
		if second.Set != first.Set || second.ID() == first.ID() {
			t.Errorf("%+v, and then %+v", first, second)
		}
		accept(t, b, second)
		superseded(first) // told twice
		if s, again := complete(t, b); again {
			t.Errorf("%+v is complete again", s)
		}
	})
}

func TestAnObjectOfAHalfRemovedSeriesIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		sent := dicomtest.Series{Number: 1, Slices: 2}
		b := open(t, dicominbox.Options{Folder: folder})
		storeAll(t, b, sent)
		first := mustComplete(t, b)
		release(t, b, first, false)
		// Half a removal leaves the note, and of the objects one.
		removing(t, folder, first.Key)
		kept := objectFiles(t, folder)[0]
		raw, err := os.ReadFile(kept)
		if err != nil {
			t.Fatal(err)
		}
		note, err := os.ReadFile(filepath.Join(folder, "series", first.Key, "note.json"))
		if err != nil {
			t.Fatal(err)
		}
		var removed []string
		opts := dicominbox.Options{Folder: folder, Removed: func(key string, _ bool) { removed = append(removed, key) }}
		b = open(t, opts)
		if len(removed) != 1 || removed[0] != first.Key || b.Stats() != (dicominbox.Stats{}) {
			t.Errorf("removed at the start: %v, %+v", removed, b.Stats())
		}
		if err := os.MkdirAll(filepath.Dir(kept), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(kept, raw, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "series", first.Key, "note.json"), note, 0o640); err != nil {
			t.Fatal(err)
		}
		storeAll(t, b, sent)
		b = open(t, opts)
		if s := mustComplete(t, b); s.Objects != 2 || len(objectFiles(t, folder)) != 2 {
			t.Errorf("%+v, files: %v", s, objectFiles(t, folder))
		}
	})
}

// removing has the note on a series say that it is being removed.
func removing(t *testing.T, folder, key string) {
	t.Helper()
	path := filepath.Join(folder, "series", key, "note.json")
	raw, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(raw), "released", "removing", 1)), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestASeriesWhoseFilesCannotBeRemovedIsGoneAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		removed := 0
		b := open(t, dicominbox.Options{Folder: folder, Keep: 20 * time.Minute, Removed: func(string, bool) { removed++ }})
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 2})
		release(t, b, mustComplete(t, b), false)
		objects := filepath.Dir(objectFiles(t, folder)[0])
		if err := os.Chmod(objects, 0o550); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(objects, 0o750)
		if file, err := os.Create(filepath.Join(objects, "x")); err == nil {
			file.Close()
			t.Skip("who runs the test may write everywhere")
		}
		complete(t, b)
		if removed != 1 || b.Stats() != (dicominbox.Stats{}) {
			t.Errorf("removed %d times, %+v", removed, b.Stats())
		}
	})
}
