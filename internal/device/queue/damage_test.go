package queue

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// memoryFolder is a folder in memory, where there is one: for tests of what a
// file may hold, not of what a disk does.
func memoryFolder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "queue-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	return folder
}

// sample fills a queue with something of everything, and returns its file. The
// last two transactions leave the same content.
func sample(t testing.TB) []byte {
	t.Helper()
	q := open(t, Options{Folder: memoryFolder(t)})
	for i := range 40 {
		r := request(fmt.Sprintf("request-%d", i))
		if i%8 == 0 {
			r.Image = bytes.Repeat([]byte{byte(i)}, 20_000)
		}
		accept(t, q, r)
	}
	for i := range 20 {
		answer := fmt.Sprintf("answer-%d", i)
		if i%8 == 0 {
			answer += strings.Repeat(".", 5_000)
		}
		finish(t, q, fmt.Sprintf("request-%d", i), answer, "ipc", "cloud")
	}
	for range 2 {
		delivered(t, q, "ipc", 1, 2, 3, 4, 5)
	}
	shut(t, q)
	return readFile(t, filepath.Join(q.opts.Folder, fileName))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// whole tells what of the sample a queue lacks.
func whole(t testing.TB, q *Queue) error {
	t.Helper()
	if s := q.Stats(); s.Waiting != 20 || s.Answers != 20 || s.Pending["ipc"] != 15 || s.Pending["cloud"] != 20 {
		return fmt.Errorf("it has %+v", s)
	}
	for range 20 {
		w := next(t, q)
		if want := "document of " + w.ID; string(w.Document) != want {
			return fmt.Errorf("%s has the document %q", w.ID, w.Document)
		}
		if len(w.Image) > 0 && !bytes.Equal(w.Image, bytes.Repeat(w.Image[:1], 20_000)) {
			return fmt.Errorf("%s has another image", w.ID)
		}
	}
	list := deliveries(t, q, "cloud", 100)
	for i, d := range list {
		if !strings.HasPrefix(string(d.Answer), fmt.Sprintf("answer-%d", i)) {
			return fmt.Errorf("answer %d is %.20q", i, d.Answer)
		}
	}
	if len(list) != 20 {
		return fmt.Errorf("%d answers are left", len(list))
	}
	return nil
}

// openDamaged opens a queue on a file, and holds it to: whole, or set aside.
func openDamaged(t testing.TB, folder string, content []byte) (setAside bool) {
	t.Helper()
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, fileName), content, 0o600); err != nil {
		t.Fatal(err)
	}
	var told []string
	q, err := Open(t.Context(), Options{Folder: folder, Damaged: func(path string, cause error) { told = append(told, path) }})
	if err != nil {
		t.Fatalf("it does not open: %v", err)
	}
	defer shut(t, q)
	if len(told) == 0 {
		if err := whole(t, q); err != nil {
			t.Errorf("it opens, but %v", err)
		}
		return false
	}
	if len(told) != 1 || !bytes.Equal(readFile(t, told[0]), content) {
		t.Errorf("it is not kept as it was: %v", told)
	}
	if n := q.Stats().Damaged; n != 1 {
		t.Errorf("%d are counted", n)
	}
	accept(t, q, request("new"))
	return true
}

func TestADamagedFileIsSetAsideAndNeverKeepsTheQueueFromOpening(t *testing.T) {
	content := sample(t)
	pages := len(content) / boltfile.PageSize
	random := rand.New(rand.NewPCG(1, 2))
	type damage struct {
		name    string
		content []byte
		must    bool // be found
	}
	all := []damage{
		{"nothing", content, false},
		{"no bytes", nil, true},
		{"another kind of file", []byte("these are not the pages that you are looking for"), true},
		{"zeroes", make([]byte, len(content)), true},
		{"no meta page", append(make([]byte, 2*boltfile.PageSize), content[2*boltfile.PageSize:]...), true},
		{"longer", append(bytes.Clone(content), make([]byte, 3*boltfile.PageSize)...), false},
	}
	noise := make([]byte, len(content))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	all = append(all, damage{"noise", noise, true})
	for i := range pages {
		page := func(change func(b []byte)) []byte {
			b := bytes.Clone(content)
			change(b[i*boltfile.PageSize:][:boltfile.PageSize])
			return b
		}
		for range 4 {
			bit := random.IntN(8 * boltfile.PageSize)
			all = append(all, damage{fmt.Sprintf("bit %d of page %d", bit, i), page(func(b []byte) { b[bit/8] ^= 1 << (bit % 8) }), false})
		}
		bit := random.IntN(8 * 48) // page header and first elements
		all = append(all,
			damage{fmt.Sprintf("bit %d of page %d", bit, i), page(func(b []byte) { b[bit/8] ^= 1 << (bit % 8) }), false},
			damage{fmt.Sprintf("page %d is empty", i), page(func(b []byte) { clear(b) }), false},
			damage{fmt.Sprintf("page %d is noise", i), page(func(b []byte) { copy(b, noise) }), false},
			damage{fmt.Sprintf("page %d is another", i), page(func(b []byte) { copy(b, content[random.IntN(pages)*boltfile.PageSize:][:boltfile.PageSize]) }), false},
			damage{fmt.Sprintf("half of page %d is written", i), page(func(b []byte) { clear(b[boltfile.PageSize/2:]) }), false},
			damage{fmt.Sprintf("cut before page %d", i), content[:i*boltfile.PageSize], i < 4},
			damage{fmt.Sprintf("cut in page %d", i), content[:i*boltfile.PageSize+random.IntN(boltfile.PageSize)], i < 4},
		)
	}
	folder := filepath.Join(memoryFolder(t), "queue")
	found := 0
	for _, d := range all {
		setAside := openDamaged(t, folder, d.content)
		if setAside {
			found++
		} else if d.must {
			t.Error("it is not found")
		}
		if t.Failed() {
			t.Fatalf("damage: %s", d.name)
		}
	}
	t.Logf("%d files, %d set aside, the others whole", len(all), found)
}

func TestAFileOfAnotherFormatIsSetAside(t *testing.T) {
	for name, build := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":   func(path string) error { return os.Symlink("/etc/hostname", path) },
		"a pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"an empty database of bbolt": func(path string) error {
			db, err := bolt.Open(path, 0o600, nil)
			if err != nil {
				return err
			}
			return db.Close()
		},
		"another database of bbolt": func(path string) error {
			db, err := bolt.Open(path, 0o600, &bolt.Options{PageSize: boltfile.PageSize, NoFreelistSync: true})
			if err != nil {
				return err
			}
			for range 2 {
				err := db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucketIfNotExists([]byte("other")); return err })
				if err != nil {
					return err
				}
			}
			return db.Close()
		},
	} {
		folder := t.TempDir()
		if err := build(filepath.Join(folder, fileName)); err != nil {
			t.Fatal(err)
		}
		told := 0
		q := open(t, Options{Folder: folder, Damaged: func(string, error) { told++ }})
		accept(t, q, request("a"))
		if told != 1 {
			t.Errorf("%s: told %d times", name, told)
		}
	}
}

func TestManyDamagedFilesAreAllKept(t *testing.T) {
	folder := memoryFolder(t)
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(folder, fileName), []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		shut(t, open(t, Options{Folder: folder}))
	}
	kept, err := filepath.Glob(filepath.Join(folder, "queue.db.damaged-*"))
	if err != nil || len(kept) != 5 {
		t.Errorf("%v %v", kept, err)
	}
}

func TestAFileThatIsDamagedUnderWayIsSetAsideToo(t *testing.T) {
	for _, cut := range []int64{0, boltfile.PageSize, 2 * boltfile.PageSize, 6 * boltfile.PageSize} {
		var mu sync.Mutex
		told := 0
		q := open(t, Options{Folder: memoryFolder(t), MaxRequests: 1000, Damaged: func(string, error) { mu.Lock(); told++; mu.Unlock() }})
		for i := range 200 {
			r := request(fmt.Sprint(i))
			r.Image = make([]byte, 2000)
			accept(t, q, r)
		}
		w := next(t, q)
		q.mu.Lock() // so that the file is not in use
		err := os.Truncate(q.file.Path, cut)
		q.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		// What is in work can still be answered, and what comes is stored.
		eventually(t, func() error { return q.Finish(t.Context(), w.ID, []byte("answer"), "ipc") })
		eventually(t, func() error { _, err := q.Accept(t.Context(), request("new")); return err })
		if got := next(t, q); got.ID != "new" {
			t.Errorf("%s is handed out", got.ID)
		}
		if list := deliveries(t, q, "ipc", 1); len(list) != 1 || string(list[0].Answer) != "answer" {
			t.Errorf("deliveries %+v", list)
		}
		if mu.Lock(); told != 1 {
			t.Errorf("told %d times", told)
		}
		mu.Unlock()
	}
}

// eventually tries again while the disk does not store.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if !errors.Is(err, ErrStorage) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// FuzzADamagedFile holds check to its promise: what it passes, bbolt can use.
func FuzzADamagedFile(f *testing.F) {
	content := sample(f)
	f.Add(uint32(0), []byte{1}, uint32(0))
	f.Add(uint32(4*boltfile.PageSize+12), []byte{255, 255, 255, 255}, uint32(0))
	f.Add(uint32(5*boltfile.PageSize+16), []byte{0, 0, 1, 0}, uint32(8*boltfile.PageSize))
	folder := filepath.Join(memoryFolder(f), "queue")
	f.Fuzz(func(t *testing.T, at uint32, value []byte, cut uint32) {
		b := bytes.Clone(content)
		if n := int(at) % len(b); len(value) > 0 {
			copy(b[n:], value)
		}
		if cut > 0 {
			b = b[:int(cut)%len(b)]
		}
		openDamaged(t, folder, b)
	})
}
