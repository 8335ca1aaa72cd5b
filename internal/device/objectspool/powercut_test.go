package objectspool

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/dev/awstest"
	"github.com/brainseg/brainseg/internal/dev/powercut"
	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/store"
	"github.com/brainseg/brainseg/internal/device/store/objects"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

var (
	cutRounds = flag.Int("cut-rounds", 1, "how often the power cut test records S3 going away and coming back")
	cutStates = flag.Int("cut-states", 60, "how many disks the power cut test builds")
)

// These make a program of the tests: the one whose power is cut.
const (
	cutFolder = "OBJECTSPOOL_CUT_FOLDER"
	cutLimit  = "OBJECTSPOOL_CUT_ROUNDS"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(cutFolder); folder != "" {
		if err := cutProgram(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	cutRound = 14      // results of a round
	cutRoom  = 1 << 20 // bytes
)

// cutKey is that of a result: some have the same, and one of a round is refused.
func cutKey(i int) string {
	switch i % cutRound {
	case 1, 5, 8, 9, 11, 13:
		return "same.png"
	case 6:
		return fmt.Sprintf("refused/%d.png", i)
	default:
		return fmt.Sprintf("%d.png", i)
	}
}

// cutResult begins with its number, and is of some bytes to some more than are read
// ahead from the file.
func cutResult(i int) []byte {
	b := make([]byte, []int{20, 900, 1100, 270_000, 5000, 30_000, 300}[i%7])
	_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(b) // which does not fail
	copy(b, fmt.Sprintf("%06d", i))
	return b
}

// bucket takes objects as S3 does, while it is up, and holds each to what it should be.
type bucket struct {
	*httptest.Server
	took func(i int) // is told before anybody else

	mu    sync.Mutex
	takes int            // writes until it is away; guarded by mu
	got   []int          // numbers of what was written, or refused for good, in that order; guarded by mu
	holds map[string]int // number of the last version, by key; guarded by mu
	wrong error          // guarded by mu
}

func newBucket(takes int, took func(int)) *bucket {
	b := &bucket{takes: takes, took: took, holds: make(map[string]int)}
	b.Server = httptest.NewServer(http.HandlerFunc(b.serve))
	return b
}

func (b *bucket) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.takes == 0 || err != nil {
		panic(http.ErrAbortHandler)
	}
	b.takes--
	key := strings.TrimPrefix(r.URL.Path, "/scans/")
	sum := sha256.Sum256(body)
	i, err := strconv.Atoi(string(body[:min(6, len(body))]))
	if err != nil || r.Method != http.MethodPut || key != cutKey(i) || string(body) != string(cutResult(i)) || r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) {
		b.wrong = fmt.Errorf("%s of %s wrote %d bytes that nobody gave: %.20q", r.Method, key, len(body), body)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.took(i)
	b.got = append(b.got, i)
	if strings.HasPrefix(key, "refused/") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	b.holds[key] = i
}

func (b *bucket) set(takes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takes = takes
}

func (b *bucket) taken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.got)
}

// config is of a spool for the bucket.
func (b *bucket) config() config.Config {
	cfg := config.Default()
	cfg.S3.Buckets, cfg.S3.Endpoint, cfg.S3.PathStyle, cfg.S3.SpoolBytes = []string{"scans"}, b.URL, true, cutRoom
	return cfg
}

// cutting is the program: a store whose S3 is away at times, life after life.
type cutting struct {
	path   string
	bucket *bucket
	last   int // result that was written
	sent   int // the last that S3 took
	wrong  error
}

func cutProgram(folder string) error {
	rounds, err := strconv.Atoi(os.Getenv(cutLimit))
	if err != nil {
		return err
	}
	if err := syncedfolder.Make(folder, 0o700); err != nil {
		return err
	}
	c := &cutting{path: filepath.Join(folder, "objects.db"), last: -1, sent: -1}
	c.bucket = newBucket(0, func(i int) {
		c.sent = i
		fmt.Println("sent", i)
	})
	defer c.bucket.Close()
	for range rounds {
		c.life(0, func(_ *Spool, s *store.Store) error { return c.write(s, 8) })
		c.life(3, func(_ *Spool, s *store.Store) error {
			for before := c.bucket.taken(); c.bucket.taken() < before+3; time.Sleep(100 * time.Microsecond) {
			}
			return c.write(s, 1)
		})
		c.life(1<<20, func(spool *Spool, s *store.Store) error {
			err := c.write(s, 1) // behind those in the file, which is not open yet
			for spool.Waiting() {
				time.Sleep(20 * time.Microsecond)
			}
			err = errors.Join(err, c.write(s, 2)) // to S3 itself
			c.bucket.set(0)
			return errors.Join(err, c.write(s, 2))
		})
	}
	return errors.Join(c.wrong, c.bucket.wrong)
}

// life opens the spool and closes it, after which nothing is sent again that was.
func (c *cutting) life(takes int, do func(*Spool, *store.Store) error) {
	c.bucket.set(takes)
	spool := Open(c.path, c.bucket.config(), zap.NewNop(), func(_ string, cause error) { c.wrong = cause })
	s, err := store.New(store.Options{S3: objects.Of(c.bucket.config().S3), Later: spool})
	if err == nil {
		err = errors.Join(do(spool, s), s.Close())
	}
	spool.Close(context.Background())
	fmt.Println("forgotten", c.sent)
	c.wrong = errors.Join(c.wrong, err)
}

func (c *cutting) write(s *store.Store, n int) error {
	for range n {
		c.last++
		fmt.Println("writing", c.last)
		written, err := s.Write(context.Background(), "s3://scans/"+cutKey(c.last), cutResult(c.last), store.WriteOptions{})
		if err != nil {
			return err
		}
		word := "written"
		if written.Pending {
			word = "kept"
		}
		fmt.Println(word, c.last)
	}
	return nil
}

func TestNoResultThatWaitsForS3IsLostOrTornByAPowerCut(t *testing.T) {
	awstest.Isolate(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1") // the SDK's own pauses are no matter here
	t.Setenv("AWS_CA_BUNDLE", "")     // nor are certificates, which are read for each disk
	root := t.TempDir()
	trace, disk := powercut.RecordTest(t, root, cutFolder+"="+filepath.Join(root, "queue"), cutLimit+"="+fmt.Sprint(*cutRounds))
	states, again, heard := 0, 0, 0
	known := confirmed{kept: make(map[int]bool), sent: make(map[int]bool), holds: make(map[string]int), promised: make(map[string]int), forgotten: -1}
	err := trace.States(powercut.StateOptions{States: *cutStates, Folder: disk}, func(said []string) error {
		states++
		for _, line := range said[heard:] {
			known.hear(line)
		}
		heard = len(said)
		repeated, err := known.check(t, filepath.Join(disk, "queue"), states%16 == 0)
		again += repeated
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if known.last != cutRound**cutRounds-1 || len(known.kept) < 11**cutRounds || len(known.sent) != cutRound**cutRounds-2 {
		t.Errorf("%d results were written, %d kept and %d sent", known.last+1, len(known.kept), len(known.sent))
	}
	t.Logf("%d operations, %d states of the disk: %d results written, %d of them kept, %.1f sent again after a cut",
		trace.Len(), states, known.last+1, len(known.kept), float64(again)/float64(states))
}

// confirmed is what the program had said by then. Results have numbers that grow.
type confirmed struct {
	last, forgotten int            // writing began, and is not sent again
	kept, sent      map[int]bool   // by number
	holds, promised map[string]int // the last that S3 has, and that it has or will have, by key
}

func (k *confirmed) hear(line string) {
	word, number, _ := strings.Cut(line, " ")
	i, _ := strconv.Atoi(number)
	switch word {
	case "writing":
		k.last = i
	case "kept":
		k.kept[i] = true
		k.promised[cutKey(i)] = i
	case "written":
		k.promised[cutKey(i)] = i
	case "sent":
		k.sent[i] = true
		k.holds[cutKey(i)] = i
	case "forgotten":
		k.forgotten = i
	}
}

// check opens the spool of a disk, has it write all, and holds S3 to what was
// confirmed. It returns how many results were written again.
func (k *confirmed) check(t *testing.T, folder string, refill bool) (again int, err error) {
	if err := syncedfolder.Make(folder, 0o700); err != nil {
		return 0, err
	}
	path := filepath.Join(folder, "objects.db")
	b := newBucket(1<<20, func(int) {})
	defer b.Close()
	for key, i := range k.holds {
		b.holds[key] = i
	}
	var damage error
	spool := Open(path, b.config(), zap.NewNop(), func(_ string, cause error) { damage = cause })
	end(t, spool)
	if err := errors.Join(damage, b.wrong); err != nil {
		return 0, err
	}
	refused := uint64(0)
	got := make(map[int]bool)
	for at, i := range b.got {
		switch {
		case i > k.last:
			return 0, fmt.Errorf("%d was never written", i)
		case i <= k.forgotten:
			return 0, fmt.Errorf("%d was sent and forgotten, and is written again", i)
		case at > 0 && i <= b.got[at-1]:
			return 0, fmt.Errorf("they are written in another order: %v", b.got)
		}
		if got[i] = true; k.sent[i] {
			again++
		}
		if strings.HasPrefix(cutKey(i), "refused/") {
			refused++
		}
	}
	for i := range k.kept {
		if !got[i] && (!k.sent[i] || len(b.got) > 0 && i > b.got[0]) {
			return 0, fmt.Errorf("%d was kept and is lost, though %v are written", i, b.got)
		}
	}
	for key, i := range k.promised {
		if !strings.HasPrefix(key, "refused/") && b.holds[key] < i {
			return 0, fmt.Errorf("%s was to be %d in the end, and is %d after %v were written", key, i, b.holds[key], b.got)
		}
	}
	if s := spool.Stats(); s.Waiting != 0 || s.Bytes != 0 || s.Lost != refused {
		return 0, fmt.Errorf("after all is written: %+v", s)
	}
	if refill {
		return again, refilled(t, path)
	}
	return again, nil
}

// refilled tells whether a file from which all was written has its whole room again, as
// often as that is needed, and gives it back to the disk, with no other file beside it.
func refilled(t *testing.T, path string) error {
	b := newBucket(0, func(int) {})
	defer b.Close()
	elsewhere := b.config()
	elsewhere.S3.Buckets = []string{"elsewhere"} // what waits is refused for good
	for range 3 {
		spool := Open(path, b.config(), zap.NewNop(), func(_ string, cause error) { t.Error(cause) })
		location := "s3://scans/full"
		err := spool.Keep(location, make([]byte, cutRoom-len(location)))
		full := spool.Keep(location, nil)
		end(t, spool)
		end(t, Open(path, elsewhere, zap.NewNop(), func(_ string, cause error) { t.Error(cause) }))
		info, missing := os.Stat(path)
		if err != nil || missing != nil || !errors.Is(full, ErrFull) {
			return fmt.Errorf("the room is not whole: %w", errors.Join(err, missing, full))
		}
		if info.Size() > 256<<10 {
			return fmt.Errorf("the file still has %d bytes", info.Size())
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(left) != 1 {
		return fmt.Errorf("files are left: %q, %w", left, err)
	}
	return nil
}
