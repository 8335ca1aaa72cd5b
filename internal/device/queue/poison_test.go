package queue

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/brainseg/brainseg/internal/device/boltfile"
	"github.com/brainseg/brainseg/internal/device/queue/crashmarks"
)

func TestARequestThatKillsTheProcessIsPoisoned(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("deadly"))
	accept(t, q, request("harmless"))
	for crashes := range 3 {
		w := started(t, q, next(t, q))
		if w.ID != "deadly" || w.Crashes != crashes || w.Poisoned != (crashes >= 2) {
			t.Fatalf("%+v after %d", w, crashes)
		}
		if crashes < 2 {
			q = again(t, q, true)
			if n := q.Stats().Interrupted; n != 1 {
				t.Errorf("%d requests were interrupted", n)
			}
			q = again(t, q, false) // an end without work costs nothing
		}
	}
	finish(t, q, "deadly", "poisoned")
	if w := next(t, q); w.ID != "harmless" || w.Crashes != 0 {
		t.Errorf("%+v", w)
	}
}

// Two requests are in work when the process dies, twice. The one that is not the
// cause is not taken for it.
func TestARequestBesideOneThatKillsTheProcessIsNotPoisoned(t *testing.T) {
	q := open(t, Options{MaxRequests: 100})
	for _, id := range []string{"harmless", "deadly", "waiting"} {
		accept(t, q, request(id))
	}
	begin := func(want string) {
		t.Helper()
		if w := started(t, q, next(t, q)); w.ID != want || w.Poisoned {
			t.Fatalf("%+v is handed out, not %s", w, want)
		}
	}
	begin("harmless")
	begin("deadly")
	q = again(t, q, true)
	begin("harmless")
	begin("waiting") // not the other one that the process may have died of
	finish(t, q, "harmless", "answer")
	begin("deadly")
	q = again(t, q, true)
	for _, want := range []struct {
		id       string
		poisoned bool
	}{{"deadly", true}, {"waiting", false}} {
		w := next(t, q)
		if w.ID != want.id || w.Poisoned != want.poisoned {
			t.Errorf("%+v", w)
		}
		finish(t, q, w.ID, "answer")
	}
}

func TestARequestThatIsFetchedAheadIsNoCause(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("in work"))
	accept(t, q, request("fetched"))
	started(t, q, next(t, q))
	next(t, q)
	q = again(t, q, true)
	for range 2 {
		if w := next(t, q); (w.Crashes == 1) != (w.ID == "in work") {
			t.Errorf("%+v", w)
		}
	}
}

func TestAPowerCutIsNoFaultOfTheRequestInWork(t *testing.T) {
	q := open(t, Options{})
	accept(t, q, request("a"))
	started(t, q, next(t, q))
	kill(t, q)
	path := filepath.Join(q.opts.Folder, crashmarks.FileName)
	marks, err := boltfile.Unseal(nil, readFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	marks[0]++ // another start of the system
	if err := os.WriteFile(path, boltfile.Seal(nil, marks), 0o600); err != nil {
		t.Fatal(err)
	}
	q = open(t, q.opts)
	if w := next(t, q); w.Crashes != 0 {
		t.Errorf("%+v", w)
	}
	shut(t, q)
	for _, garbage := range [][]byte{nil, []byte("x"), make([]byte, 100), bytes.Repeat([]byte{255}, 5000)} {
		if err := os.WriteFile(path, garbage, 0o600); err != nil {
			t.Fatal(err)
		}
		q = again(t, open(t, q.opts), false)
		if s := q.Stats(); s.Waiting != 1 || s.Interrupted != 0 {
			t.Errorf("marks of garbage: %+v", s)
		}
		shut(t, q)
	}
}
