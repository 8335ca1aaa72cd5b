package dicominbox_test

import (
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
