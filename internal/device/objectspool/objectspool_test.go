package objectspool

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/device/store/objects"
)

const patience = time.Minute

// network is a way to S3 that can be cut, and hears what is written.
type network struct {
	url string
	up  atomic.Bool

	mu   sync.Mutex
	puts []string // paths, in their order; guarded by mu
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	s := awstest.UseMoto(t)
	s.Become(t, awstest.Device)
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_MAX_ATTEMPTS", "1") // the SDK's own pauses are no matter here
	target, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.up.Load() {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPut {
			n.mu.Lock()
			n.puts = append(n.puts, strings.TrimPrefix(r.URL.Path, "/scans/"))
			n.mu.Unlock()
		}
		proxy.ServeHTTP(w, r)
	}))
	front.Config.ErrorLog = nil
	t.Cleanup(front.Close)
	n.url = front.URL
	return n
}

func (n *network) written() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.puts
}

func (n *network) config(room int64) config.Config {
	cfg := config.Default()
	cfg.S3.Buckets, cfg.S3.Endpoint, cfg.S3.PathStyle, cfg.S3.SpoolBytes = []string{"scans", "private"}, n.url, true, room
	return cfg
}

// open opens a spool, and a store that it is for.
func open(t *testing.T, path string, cfg config.Config, logger *zap.Logger) (*Spool, *store.Store) {
	t.Helper()
	spool := Open(path, cfg, logger, func(setAside string, cause error) { t.Errorf("%s is set aside: %v", setAside, cause) })
	s, err := store.New(store.Options{S3: objects.Of(cfg.S3), Later: spool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return spool, s
}

func end(t *testing.T, s *Spool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.Close(ctx)
}

func write(t *testing.T, s *store.Store, location, content string) store.Written {
	t.Helper()
	written, err := s.Write(t.Context(), location, []byte(content), store.WriteOptions{})
	if err != nil {
		t.Fatalf("%s: %v", location, err)
	}
	return written
}

func TestResultsWaitForS3OverRestartsAndArriveInTheirOrder(t *testing.T) {
	n := newNetwork(t)
	path := filepath.Join(t.TempDir(), "objects.db")
	cfg := n.config(64 << 20)
	var want []string
	for life := range 2 {
		spool, s := open(t, path, cfg, zap.NewNop())
		for i := range 3 {
			key := fmt.Sprintf("later/%d-%d.png", life, i)
			if w := write(t, s, "s3://scans/"+key, key); !w.Pending || w.Location != "s3://scans/"+key || len(w.SHA256) != 64 {
				t.Errorf("%+v", w)
			}
			want = append(want, key)
		}
		end(t, spool)
	}
	n.up.Store(true)
	spool, s := open(t, path, cfg, zap.NewNop())
	for deadline := time.Now().Add(patience); spool.Waiting() || len(n.written()) < len(want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v wait", spool.Stats())
		}
	}
	if w := write(t, s, "s3://scans/later/now.png", "now"); w.Pending {
		t.Error("one that S3 takes is said to wait")
	}
	end(t, spool)
	if diff := cmp.Diff(append(want, "later/now.png"), n.written()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	got, err := s.Read(t.Context(), store.Reference{Location: "s3://scans/" + want[4]})
	if err != nil || string(got) != want[4] {
		t.Errorf("%q, %v", got, err)
	}
}

func TestANewResultWaitsBehindTheOldOfItsName(t *testing.T) {
	n := newNetwork(t)
	path := filepath.Join(t.TempDir(), "objects.db")
	spool, s := open(t, path, n.config(64<<20), zap.NewNop())
	write(t, s, "s3://scans/behind.png", "old")
	n.up.Store(true) // it is not tried again yet, mostly
	write(t, s, "s3://scans/behind.png", "new")
	end(t, spool)
	got, err := s.Read(t.Context(), store.Reference{Location: "s3://scans/behind.png"})
	if err != nil || string(got) != "new" || spool.Waiting() {
		t.Errorf("%q, %v", got, err)
	}
}

// Who was told that a result is on its way is not told lies for a younger one.
func TestWhatFindsNoRoomFailsAndWhatWaitsStays(t *testing.T) {
	n := newNetwork(t)
	path := filepath.Join(t.TempDir(), "objects.db")
	spool, s := open(t, path, n.config(100), zap.NewNop())
	if w := write(t, s, "s3://scans/fits.png", strings.Repeat("x", 60)); !w.Pending {
		t.Errorf("%+v", w)
	}
	if _, err := s.Write(t.Context(), "s3://scans/not.png", make([]byte, 60), store.WriteOptions{}); !errors.Is(err, ErrFull) || strings.Contains(err.Error(), "not.png") {
		t.Errorf("error %v", err)
	}
	if _, err := s.Write(t.Context(), "s3://elsewhere/x", nil, store.WriteOptions{}); err == nil || errors.Is(err, ErrFull) {
		t.Errorf("a bucket that is not allowed: %v", err)
	}
	change, err := spool.Prepare(t.Context(), n.config(0))
	if err != nil {
		t.Fatal(err)
	}
	change.Commit()
	if err := spool.Keep("s3://scans/off.png", nil); !errors.Is(err, ErrOff) {
		t.Errorf("while it is off: %v", err)
	}
	n.up.Store(true)
	end(t, spool)
	if diff := cmp.Diff([]string{"fits.png"}, n.written()); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

func TestWhatS3RefusesForGoodIsDroppedAndCountedAndNamedNowhere(t *testing.T) {
	n := newNetwork(t)
	core, logs := observer.New(zap.DebugLevel)
	path := filepath.Join(t.TempDir(), "objects.db")
	spool, s := open(t, path, n.config(64<<20), zap.New(core))
	write(t, s, "s3://private/secret.png", "refused")
	write(t, s, "s3://scans/after.png", "taken")
	n.up.Store(true)
	end(t, spool)
	if stats := spool.Stats(); stats.Lost != 1 || stats.Waiting != 0 {
		t.Errorf("%+v", stats)
	}
	for _, e := range logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, "secret") || strings.Contains(text, "private") {
			t.Errorf("the log tells %s", text)
		}
	}
	if got := n.written(); len(got) == 0 || got[len(got)-1] != "after.png" {
		t.Errorf("objects: %v", got)
	}
}

// A process that is killed right after Keep has lost nothing.
func TestWhatIsKeptIsOnTheDiskWhenKeepReturns(t *testing.T) {
	n := newNetwork(t)
	folder := t.TempDir()
	spool, _ := open(t, filepath.Join(folder, "objects.db"), n.config(64<<20), zap.NewNop())
	large := strings.Repeat("mask ", 100_000)
	if err := spool.Keep("s3://scans/killed.nii.gz", []byte(large)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(folder, "objects.db"))
	if err != nil {
		t.Fatal(err)
	}
	end(t, spool)
	left := filepath.Join(folder, "left.db")
	if err := os.WriteFile(left, content, 0o600); err != nil {
		t.Fatal(err)
	}
	n.up.Store(true)
	next, s := open(t, left, n.config(64<<20), zap.NewNop())
	end(t, next)
	got, err := s.Read(t.Context(), store.Reference{Location: "s3://scans/killed.nii.gz"})
	if err != nil || string(got) != large {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
