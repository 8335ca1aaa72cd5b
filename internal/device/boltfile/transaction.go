package boltfile

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

func openBolt(path string) (db *bolt.DB, err error) {
	err = guard(func() error {
		db, err = bolt.Open(path, 0o600, &bolt.Options{
			Timeout:  time.Second,
			PageSize: PageSize,
			// After a burst the list of free pages would be written with every
			// transaction; without it, opening finds them anew.
			NoFreelistSync: true,
			FreelistType:   bolt.FreelistMapType,
		})
		return err
	})
	return db, err
}

// errFault is a fault while the mapped file was read, or a panic of bbolt.
var errFault = errors.New("the file cannot be read as a database")

// guard runs do on this goroutine and makes an error of its panics, also of those
// that reading a mapped file causes where the disk fails or the file is shorter.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errFault, p)
		}
	}()
	return do()
}

// Fate is what became of a transaction.
type Fate int

// What became of a transaction.
const (
	Committed Fate = iota
	Refused        // nothing has changed
	Unknown        // the file must be opened again to know
)

// Update runs a transaction that writes. Where it fails the fate says whether
// anything may have changed; after Unknown the file must be opened again, copied.
func (f *File) Update(write func(*bolt.Tx) error) (Fate, error) {
	f.mu.RLock()
	db := f.db
	f.mu.RUnlock()
	if db == nil {
		return Unknown, errClosed
	}
	var tx *bolt.Tx
	number := 0
	err := guard(func() (err error) {
		if tx, err = db.Begin(true); err != nil {
			return err
		}
		number = tx.ID()
		if err = write(tx); err != nil {
			return err
		}
		if f.Commit != nil {
			return f.Commit(tx)
		}
		return tx.Commit()
	})
	if err == nil {
		if f.touched.Add(1) >= releaseEvery {
			f.releaseMapping()
		}
		return Committed, nil
	}
	result := Unknown
	if !errors.Is(err, errFault) {
		result = f.fate(db, tx, number)
	}
	f.noteFault(err)
	return result, err
}

// fate finds out what became of a transaction that failed.
func (f *File) fate(db *bolt.DB, tx *bolt.Tx, number int) Fate {
	result := Unknown
	err := guard(func() error {
		if tx != nil { // after a failed commit this does nothing
			if err := tx.Rollback(); err != nil && !errors.Is(err, berrors.ErrTxClosed) {
				return err
			}
		}
		view, err := db.Begin(false)
		if err != nil {
			return err
		}
		if number > 0 && view.ID() < number {
			result = Refused
		}
		return view.Rollback()
	})
	if err != nil {
		f.noteFault(err)
		return Unknown
	}
	return result
}

func (f *File) noteFault(err error) {
	if errors.Is(err, errFault) {
		f.fault.Store(true)
	}
}

var errClosed = errors.New("the file is not open")

// View runs a transaction that reads. It sees a transaction as soon as that is
// written, which is before it is synced.
func (f *File) View(read func(*bolt.Tx) error) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.db == nil {
		return errClosed
	}
	f.touched.Add(1)
	err := guard(func() error { return f.db.View(read) })
	f.noteFault(err)
	return err
}

// releaseEvery is the number of transactions after which the mapping is released.
// Each maps some pages that it needs, and the 64 KiB around each of them.
const releaseEvery = 16

// releaseMapping lets the kernel take the mapped pages out of this process, where
// they count as its memory; they stay in the page cache. Only the goroutine that
// commits calls it.
func (f *File) releaseMapping() {
	if f.db == nil {
		return
	}
	f.touched.Store(0)
	_ = guard(func() error {
		return f.db.View(func(tx *bolt.Tx) error { // which holds the mapping in its place
			_, _, err := unix.Syscall(unix.SYS_MADVISE, f.db.Info().Data, uintptr(tx.Size()), unix.MADV_DONTNEED)
			return err // of no consequence: it saves memory only
		})
	})
}
