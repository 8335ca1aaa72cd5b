package groupcommit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

var bucket = []byte("numbers")

// numbers is a database of numbers, with those of them that its owner knows of.
type numbers struct {
	t            *testing.T
	file         boltfile.File
	commits      *Committer
	found        []uint64
	mu           sync.Mutex // guards what follows
	known        []uint64
	transactions int
}

func open(t *testing.T) *numbers {
	n := &numbers{t: t}
	n.file = boltfile.File{
		Path:    filepath.Join(t.TempDir(), "numbers.db"),
		Initial: func(tx *bolt.Tx) error { _, err := tx.CreateBucketIfNotExists(bucket); return err },
		Damaged: func(_ string, cause error) { t.Errorf("the file is damaged: %v", cause) },
	}
	var err error
	n.commits, err = Open(Options{
		File: &n.file, Lock: &n.mu,
		Load: func(file io.ReaderAt, size int64) error {
			n.found = nil
			_, err := boltfile.Check(file, size, func(_, key, _ []byte) error {
				n.found = append(n.found, binary.BigEndian.Uint64(key))
				return nil
			})
			return err
		},
		Adopt:   func(bool) { n.known = slices.Clone(n.found) },
		Settled: func() { n.transactions++ },
		Tidy:    func() bool { return false },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(n.commits.Stop(context.Background()), n.file.Close()); err != nil {
			t.Error(err)
		}
	})
	return n
}

var errRefused = errors.New("no even numbers")

// submit has a number be stored, unless even ones are refused and it is one.
func (n *numbers) submit(number uint64, odd bool) *Operation {
	o := &Operation{}
	o.Write = func(tx *bolt.Tx) error {
		if odd && number%2 == 0 {
			return errRefused
		}
		key := binary.BigEndian.AppendUint64(nil, number)
		return tx.Bucket(bucket).Put(key, boltfile.Seal(key, bytes.Repeat([]byte{1}, 10)))
	}
	o.Done = func(err error) error {
		if err == nil {
			n.known = append(n.known, number)
		}
		return err
	}
	n.commits.Submit(o)
	return o
}

func TestWhatIsSubmittedTogetherSharesATransactionInItsOrder(t *testing.T) {
	n := open(t)
	var list []*Operation
	want := []uint64{9, 3, 7, 1, 5}
	for _, number := range want {
		list = append(list, n.submit(number, false))
	}
	n.commits.Start()
	for _, o := range list {
		if err := o.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.transactions != 1 || !slices.Equal(n.known, want) {
		t.Errorf("%d transactions, and %v are known", n.transactions, n.known)
	}
}

func TestAChangeThatCannotBeStoredKeepsNoOtherBack(t *testing.T) {
	n := open(t)
	var list []*Operation
	for number := range uint64(6) {
		list = append(list, n.submit(number, true))
	}
	n.commits.Start()
	for number, o := range list {
		if err := o.Wait(t.Context()); errors.Is(err, errRefused) != (number%2 == 0) {
			t.Errorf("%d: %v", number, err)
		}
	}
}

// The disk is played: it stores what it says it did not.
func TestWhatTheDiskHasIsLookedUpAfterASyncThatFailed(t *testing.T) {
	n := open(t)
	n.file.Commit = func(tx *bolt.Tx) error {
		n.file.Commit = nil
		return errors.Join(tx.Commit(), syscall.EIO)
	}
	first := n.submit(1, false)
	n.commits.Start()
	if err := first.Wait(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Errorf("the first: %v", err)
	}
	if err := n.submit(2, false).Wait(t.Context()); err != nil {
		t.Errorf("the second: %v", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.commits.Faulty() || !slices.Equal(n.known, []uint64{1, 2}) {
		t.Errorf("faulty %t, and %v are known", n.commits.Faulty(), n.known)
	}
}
