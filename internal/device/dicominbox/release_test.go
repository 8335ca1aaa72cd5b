package dicominbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
)

func TestOnlyASeriesThatFailedIsTriedAgainWhenItIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		b := open(t, dicominbox.Options{Folder: folder})
		sent := dicomtest.Series{Number: 1, Slices: 2}
		storeAll(t, b, sent)
		first := mustComplete(t, b)
		accept(t, b, first)
		release(t, b, first, true)
		storeAll(t, b, sent)
		b = open(t, dicominbox.Options{Folder: folder}) // what was confirmed outlives the process
		second := mustComplete(t, b)
		if second.Set != first.Set || second.Attempt != 1 || second.ID() == first.ID() {
			t.Errorf("%+v, and then %+v", first, second)
		}
		accept(t, b, second)
		release(t, b, second, false)
		storeAll(t, b, sent)
		if s, again := complete(t, b); again {
			t.Errorf("%+v is complete though it was done", s)
		}
	})
}

func TestAfterANewStartEachSeriesIsWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		b := open(t, dicominbox.Options{Folder: folder})
		series := func(n int) dicomtest.Series { return dicomtest.Series{Number: n, Slices: 2} }
		storeAll(t, b, series(1))
		released := mustComplete(t, b)
		accept(t, b, released)
		release(t, b, released, false)
		storeAll(t, b, series(2))
		accepted := mustComplete(t, b)
		accept(t, b, accepted)
		storeAll(t, b, series(3))
		handedOut := mustComplete(t, b) // and nobody said that he keeps it
		storeAll(t, b, series(4))
		if err := os.WriteFile(filepath.Join(folder, "incoming", "1.part"), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		stats := b.Stats()

		b = open(t, dicominbox.Options{Folder: folder})
		if got := b.Stats(); got != stats {
			t.Errorf("%+v, and before %+v", got, stats)
		}
		if left := b.Unreleased(); len(left) != 1 || left[0] != accepted {
			t.Errorf("not released: %+v", left)
		}
		one, two := mustComplete(t, b), mustComplete(t, b)
		if one != handedOut && two != handedOut {
			t.Errorf("%+v and %+v are complete, and not %+v, which was", one, two, handedOut)
		}
		if s, more := complete(t, b); more {
			t.Errorf("%+v is complete too", s)
		}
		b.Reopen(accepted.Key)
		if s := mustComplete(t, b); s != accepted {
			t.Errorf("%+v is worked on again, not %+v", s, accepted)
		}
		if left, _ := os.ReadDir(filepath.Join(folder, "incoming")); len(left) != 0 {
			t.Errorf("%d temporary files are left", len(left))
		}
	})
}

func TestADamagedNoteAndHalfAReplacementDoNotStopTheInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		b := open(t, dicominbox.Options{Folder: folder})
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 2})
		first := mustComplete(t, b)
		accept(t, b, first)
		notes, err := filepath.Glob(filepath.Join(folder, "series", "*", "note.json"))
		if err != nil || len(notes) != 1 {
			t.Fatal(notes, err)
		}
		if err := os.WriteFile(notes[0], []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		// The process died between the new object's name and the end of the old one's.
		files := objectFiles(t, folder)
		other := files[0][:len(files[0])-len("0123456789abcdef.dcm")] + "ffffffffffffffff.dcm"
		if err := os.WriteFile(other, []byte("older"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(other, time.Time{}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		b = open(t, dicominbox.Options{Folder: folder})
		if s := mustComplete(t, b); s != first {
			t.Errorf("%+v is complete, want %+v", s, first)
		}
		if got := objectFiles(t, folder); len(got) != 2 {
			t.Errorf("files: %v", got)
		}
	})
}

func TestWhatIsReleasedIsRemovedAfterAWhileOrForWantOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		var removed []string
		opts := dicominbox.Options{
			Folder: folder, Keep: 20 * time.Minute, MaxBytes: 5 * 4096, MaxObjects: 1000,
			Removed: func(key string, _ bool) { removed = append(removed, key) },
		}
		b := open(t, opts)
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 2})
		one := mustComplete(t, b)
		storeAll(t, b, dicomtest.Series{Number: 2, Slices: 2})
		two := mustComplete(t, b)
		release(t, b, one, false)
		// There is room for one more object, and then for none but in place of the
		// first series.
		three := dicomtest.Series{Number: 3, Slices: 4}
		storeAll(t, b, dicomtest.Series{Number: 3, Slices: 3})
		if len(removed) != 1 || removed[0] != one.Key {
			t.Errorf("removed for want of room: %v", removed)
		}
		if status := store(b, three, 3); status != dicomnet.OutOfResources {
			t.Errorf("an object without room: %v", status)
		}
		if stats := b.Stats(); stats.Objects != 5 || stats.Bytes != 5*4096 {
			t.Errorf("%+v", stats)
		}
		mustComplete(t, b)
		release(t, b, two, false)
		complete(t, b) // an hour, nearly
		if len(removed) != 2 || removed[1] != two.Key {
			t.Errorf("removed: %v", removed)
		}
		if got := objectFiles(t, folder); len(got) != 3 {
			t.Errorf("files: %v", got)
		}
		if status := store(b, three, 3); status != dicomnet.Success {
			t.Errorf("an object with room: %v", status)
		}
		few := open(t, dicominbox.Options{Folder: t.TempDir(), MaxObjects: 1})
		storeAll(t, few, dicomtest.Series{Number: 1, Slices: 1})
		if status := store(few, dicomtest.Series{Number: 1, Slices: 2}, 1); status != dicomnet.OutOfResources {
			t.Errorf("an object too many: %v", status)
		}
	})
}

func TestAClockThatIsSetBackAYearKeepsNoReleasedSeriesForAYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		removed := 0
		opts := dicominbox.Options{Folder: folder, Keep: 20 * time.Minute, Removed: func(string, bool) { removed++ }}
		b := open(t, opts)
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 2})
		release(t, b, mustComplete(t, b), false)
		notes, err := filepath.Glob(filepath.Join(folder, "series", "*", "note.json"))
		if err != nil || len(notes) != 1 {
			t.Fatal(notes, err)
		}
		note, err := os.ReadFile(notes[0])
		if err != nil {
			t.Fatal(err)
		}
		at := time.Now().UTC()
		later := bytes.Replace(note, fmt.Appendf(nil, `"at":"%d-`, at.Year()), fmt.Appendf(nil, `"at":"%d-`, at.Year()+1), 1)
		if bytes.Equal(later, note) {
			t.Fatalf("the note is %s", note)
		}
		if err := os.WriteFile(notes[0], later, 0o600); err != nil {
			t.Fatal(err)
		}
		b = open(t, opts)
		for _, want := range []int{0, 1} { // after 15 minutes, and after 30
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
			if s, err := b.Complete(ctx); err == nil {
				t.Errorf("%+v is complete again", s)
			}
			cancel()
			if removed != want {
				t.Errorf("%d series are removed, want %d", removed, want)
			}
		}
	})
}

func TestSeriesThatAreDoneMakeRoomOnAFullDisk(t *testing.T) {
	folder := t.TempDir()
	disk := func(string) int64 { // what of 40 blocks is left, beside what is spared for notes
		left := int64(1<<20 + 40*4096)
		_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
			if err == nil && entry.Type().IsRegular() {
				if info, err := entry.Info(); err == nil {
					left -= (info.Size() + 4095) / 4096 * 4096
				}
			}
			return nil
		})
		return left
	}
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dicominbox.Options{Folder: folder, Free: disk})
		done := dicomtest.Series{Number: 1, Slices: 25}
		storeAll(t, b, done)
		s, ok := complete(t, b)
		if !ok {
			t.Fatal("not complete")
		}
		next := dicomtest.Series{Number: 2, Slices: 25}
		refused := 0
		for k := range next.Slices {
			if status := store(b, next, k); status == dicomnet.OutOfResources {
				refused++
			} else if status != dicomnet.Success {
				t.Fatal(status)
			}
		}
		if refused == 0 {
			t.Error("there is room for everything: the test tells nothing")
		}
		if err := b.Released(s, false); err != nil {
			t.Fatal(err)
		}
		storeAll(t, b, next)
	})
}
