package dicominbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brainseg/brainseg/internal/dev/dicomtest"
	"github.com/brainseg/brainseg/internal/device/dicominbox"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/volume"
	"github.com/brainseg/brainseg/internal/volume/dicom"
)

func open(t testing.TB, opts dicominbox.Options) *dicominbox.Inbox {
	t.Helper()
	b, err := dicominbox.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func store(b *dicominbox.Inbox, s dicomtest.Series, k int) dicomnet.Status {
	r := dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: s.InstanceUID(k), TransferSyntax: dicomtest.Syntax, CallingTitle: "PEER"}
	return b.Store(context.Background(), r, bytes.NewReader(s.DataSet(k)))
}

func storeAll(t testing.TB, b *dicominbox.Inbox, s dicomtest.Series) {
	t.Helper()
	for k := range s.Slices {
		if status := store(b, s, k); status != dicomnet.Success {
			t.Fatalf("object %d of series %d: %v", k, s.Number, status)
		}
	}
}

// complete waits for the next complete series, for at most an hour of the test's
// clock.
func complete(t testing.TB, b *dicominbox.Inbox) (dicominbox.Series, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 59*time.Minute)
	defer cancel()
	s, err := b.Complete(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	return s, err == nil
}

func mustComplete(t testing.TB, b *dicominbox.Inbox) dicominbox.Series {
	t.Helper()
	s, ok := complete(t, b)
	if !ok {
		t.Fatal("no series is complete")
	}
	return s
}

func accept(t testing.TB, b *dicominbox.Inbox, s dicominbox.Series) {
	t.Helper()
	if err := b.Accepted(s); err != nil {
		t.Fatal(err)
	}
}

func release(t testing.TB, b *dicominbox.Inbox, s dicominbox.Series, failed bool) {
	t.Helper()
	if err := b.Released(s, failed); err != nil {
		t.Fatal(err)
	}
}

func TestASeriesIsCompleteAfterItsQuietTimeAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dicominbox.Options{Folder: t.TempDir(), Quiet: 10 * time.Second})
		start := time.Now()
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 3})
		time.Sleep(6 * time.Second)
		storeAll(t, b, dicomtest.Series{Number: 2, Slices: 2})
		if status := store(b, dicomtest.Series{Number: 1, Slices: 4}, 3); status != dicomnet.Success {
			t.Fatal(status)
		}
		var got []int
		for range 2 {
			got = append(got, mustComplete(t, b).Objects)
		}
		if after := time.Since(start); after != 16*time.Second || got[0]+got[1] != 6 {
			t.Errorf("series of %v objects after %v", got, after)
		}
		if s, again := complete(t, b); again {
			t.Errorf("%+v is complete again", s)
		}
	})
}

func TestWhatIsReadIsWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dicominbox.Options{Folder: t.TempDir()})
		sent := dicomtest.Series{Number: 1, Slices: 5}
		storeAll(t, b, sent)
		s := mustComplete(t, b)
		folder, _, free, ok := b.Hold(t.Context(), s)
		if !ok {
			t.Fatal("the series is gone")
		}
		defer free()
		scan, origin, err := dicom.Read(t.Context(), folder, volume.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if scan.Size != [3]int{16, 16, 5} || origin.SeriesUID != sent.SeriesUID() {
			t.Errorf("a scan of %v of series %s", scan.Size, origin.SeriesUID)
		}
		for _, warning := range scan.Warnings {
			t.Errorf("warning: %+v", warning)
		}
	})
}

func TestALateObjectReopensTheSeriesAndOneThatIsThereDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, dicominbox.Options{Folder: t.TempDir()})
		sent := dicomtest.Series{Number: 1, Slices: 3}
		storeAll(t, b, sent)
		first := mustComplete(t, b)
		accept(t, b, first)
		_, until, free, ok := b.Hold(t.Context(), first)
		if !ok {
			t.Fatal("the series cannot be held")
		}
		defer free()
		storeAll(t, b, sent) // once more
		if until.Err() != nil {
			t.Error("objects that are there already end the work")
		}
		if _, again := complete(t, b); again {
			t.Error("objects that are there already reopen the series")
		}
		if status := store(b, dicomtest.Series{Number: 1, Slices: 4}, 3); status != dicomnet.Success {
			t.Fatal(status)
		}
		<-until.Done()
		if cause := context.Cause(until); !errors.Is(cause, dicominbox.ErrReopened) {
			t.Errorf("the work ends with %v", cause)
		}
		second := mustComplete(t, b)
		if second.Key != first.Key || second.ID() == first.ID() || second.Objects != 4 {
			t.Errorf("%+v, and then %+v", first, second)
		}
		if _, _, _, ok := b.Hold(t.Context(), first); ok {
			t.Error("the series as it was can still be held")
		}
		release(t, b, first, false) // is late, and means nothing
		accept(t, b, second)
		if left := b.Unreleased(); len(left) != 1 || left[0] != second {
			t.Errorf("not released: %+v", left)
		}
	})
}

func TestACorrectedObjectReplacesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		b := open(t, dicominbox.Options{Folder: folder})
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 3})
		first := mustComplete(t, b)
		release(t, b, first, false)
		storeAll(t, b, dicomtest.Series{Number: 1, Slices: 3, Changed: true})
		second := mustComplete(t, b)
		if second.Objects != 3 || second.Set == first.Set {
			t.Errorf("%+v, and then %+v", first, second)
		}
		files := objectFiles(t, folder)
		if len(files) != 3 || b.Stats().Objects != 3 {
			t.Errorf("%d files, %+v", len(files), b.Stats())
		}
		for _, file := range files {
			if raw, err := os.ReadFile(file); err != nil || !bytes.Contains(raw, []byte("corrected")) {
				t.Errorf("%s is an old one: %v", file, err)
			}
		}
	})
}

func objectFiles(t testing.TB, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "series", "*", "objects", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestObjectsThatAreNotWhatTheySayAreRefused(t *testing.T) {
	folder := t.TempDir()
	b := open(t, dicominbox.Options{Folder: folder})
	s := dicomtest.Series{Number: 1, Slices: 1}
	good := dicomnet.StoreRequest{SOPClass: dicomtest.ClassMR, SOPInstance: s.InstanceUID(0), TransferSyntax: dicomtest.Syntax}
	for _, tt := range []struct {
		name   string
		change func(*dicomnet.StoreRequest)
		data   []byte
		want   dicomnet.Status
	}{
		{"as it says", func(*dicomnet.StoreRequest) {}, s.DataSet(0), dicomnet.Success},
		{"another instance", func(r *dicomnet.StoreRequest) { r.SOPInstance = "1.2.3" }, s.DataSet(0), dicomnet.DoesNotMatch},
		{"another class", func(r *dicomnet.StoreRequest) { r.SOPClass = "1.2.840.10008.5.1.4.1.1.2" }, s.DataSet(0), dicomnet.DoesNotMatch},
		{"a path for a UID", func(r *dicomnet.StoreRequest) { r.SOPInstance = "../../x" }, s.DataSet(0), dicomnet.CannotUnderstand},
		{"no UID", func(r *dicomnet.StoreRequest) { r.SOPInstance = "" }, s.DataSet(0), dicomnet.CannotUnderstand},
		{"nothing", func(*dicomnet.StoreRequest) {}, nil, dicomnet.CannotUnderstand},
		{"nonsense", func(*dicomnet.StoreRequest) {}, bytes.Repeat([]byte("nonsense"), 1000), dicomnet.CannotUnderstand},
		{"an end before the series", func(*dicomnet.StoreRequest) {}, s.DataSet(0)[:200], dicomnet.CannotUnderstand},
	} {
		r := good
		tt.change(&r)
		if got := b.Store(t.Context(), r, bytes.NewReader(tt.data)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	cut := io.MultiReader(bytes.NewReader(s.DataSet(0)), failing{})
	if got := b.Store(t.Context(), good, cut); got == dicomnet.Success {
		t.Error("an object that was cut off is stored")
	}
	if stats := b.Stats(); stats.Objects != 1 || stats.Series != 1 || stats.Bytes != 4096 {
		t.Errorf("%+v", stats)
	}
	if left, _ := os.ReadDir(filepath.Join(folder, "incoming")); len(left) != 0 {
		t.Errorf("%d temporary files are left", len(left))
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestManyPeersAtOnceFillTheSameSeries(t *testing.T) {
	folder := t.TempDir()
	b := open(t, dicominbox.Options{Folder: folder, Quiet: time.Millisecond})
	const peers, slices = 4, 12
	var all sync.WaitGroup
	for range peers {
		all.Go(func() {
			for number := range 2 {
				for k := range slices {
					if status := store(b, dicomtest.Series{Number: number, Slices: slices}, k); status != dicomnet.Success {
						t.Error(status)
					}
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	last := make(map[string]dicominbox.Series)
	taken := make(chan struct{})
	go func() {
		defer close(taken)
		for {
			s, err := b.Complete(ctx)
			if err != nil {
				return
			}
			if err := b.Accepted(s); err != nil {
				t.Error(err)
			}
			if last[s.Key] = s; len(last) == 2 && whole(last, slices) {
				cancel()
			}
		}
	}()
	all.Wait()
	select {
	case <-taken:
	case <-time.After(time.Minute):
		t.Error("the series do not become complete")
	}
	cancel()
	<-taken
	if got := objectFiles(t, folder); len(got) != 2*slices {
		t.Errorf("%d files", len(got))
	}
}

func whole(last map[string]dicominbox.Series, objects int) bool {
	for _, s := range last {
		if s.Objects != objects {
			return false
		}
	}
	return true
}

func TestNothingOfAHeaderIsInANameOrANote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		b := open(t, dicominbox.Options{Folder: folder})
		sent := dicomtest.Series{Number: 1, Slices: 2}
		storeAll(t, b, sent)
		s := mustComplete(t, b)
		accept(t, b, s)
		document, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		texts := []string{string(document), s.ID()}
		err = filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
			if info, err := d.Info(); path != folder && err == nil && info.Mode()&0o007 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			texts = append(texts, strings.TrimPrefix(path, folder))
			if strings.HasSuffix(path, ".json") {
				raw, err := os.ReadFile(path)
				texts = append(texts, string(raw))
				return err
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			for _, marked := range []string{"QXMARK", "MPRAGE", fmt.Sprintf("%.20s", sent.StudyUID())} {
				if strings.Contains(text, marked) {
					t.Errorf("%q shows %q", text, marked)
				}
			}
		}
	})
}
