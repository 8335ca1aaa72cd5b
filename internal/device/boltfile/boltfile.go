// Package boltfile is a bbolt database that may be damaged and a disk that may
// fail. bbolt maps its file into memory and trusts it; here a file is read and
// checked before bbolt gets it, what is damaged is set aside and kept, and a fault
// of the disk is an error, never the end of the process.
//
// It knows nothing of what a database holds. Every value must be sealed. Package
// groupcommit opens files, package queue/records reads and changes what is in them.
package boltfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/syncedfolder"
)

// File is a database in a file. One goroutine at a time opens, updates and closes
// it; any number of others view it. Beside it stand the files that are made and
// set aside, under its name with .new and .damaged-1 and so on.
type File struct {
	// Path is that of the file. Required.
	Path string
	// Initial puts into a new file what every file has. It runs twice. Required.
	Initial func(*bolt.Tx) error
	// Damaged is told of a damaged file and the name under which it is kept.
	// Required.
	Damaged func(setAside string, cause error)
	// Commit stands for (*bolt.Tx).Commit in tests of a disk that fails.
	Commit func(*bolt.Tx) error

	fault   atomic.Bool  // met in db, which is not usable any more
	touched atomic.Int64 // transactions since the mapping was released

	mu sync.RWMutex
	db *bolt.DB // guarded by mu; nil while the file cannot be used
}

func (f *File) folder() string { return filepath.Dir(f.Path) }

func (f *File) temporary() string { return f.Path + ".new" }

// Open opens the file, again if it is open, and makes it where there is none, or
// where it is damaged and was set aside: then fresh is set. Before that, load is
// called with the file to check it, by Check, and to take from it what it likes;
// an error that wraps ErrDamaged says that it cannot be used. With copied the file
// is written anew and synced, so that what load has seen is on the disk even if a
// sync has failed before.
func (f *File) Open(copied bool, load func(file io.ReaderAt, size int64) error) (fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.release() // what it has not written is lost in any case
	if err := os.Remove(f.temporary()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	err = f.verify(load)
	if err == nil && copied {
		err = f.copy()
	}
	var db *bolt.DB
	if err == nil {
		db, err = openBolt(f.Path)
	}
	if unusable(err, copied) {
		if err = f.setAside(err); err == nil {
			err = fs.ErrNotExist
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		fresh = true
		if err = f.create(); err == nil {
			db, err = openBolt(f.Path)
		}
	}
	if err != nil {
		return false, err
	}
	f.db = db
	f.releaseMapping()
	return fresh, nil
}

// verify syncs the file, so that what a killed process has left is on the disk
// before it is confirmed again, and has it read.
func (f *File) verify(load func(io.ReaderAt, int64) error) error {
	info, err := os.Lstat(f.Path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return Damaged("it is not a regular file")
	}
	file, err := os.OpenFile(f.Path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return err
	}
	if err := syncedfolder.Sync(f.folder()); err != nil {
		return err
	}
	return load(file, info.Size())
}

// create makes an empty file beside its place and moves it there, so that a power
// cut leaves none that looks damaged.
func (f *File) create() error {
	if err := f.makeNew(f.Initial); err != nil {
		return err
	}
	return f.moveIn()
}

func (f *File) makeNew(fill func(*bolt.Tx) error) error {
	db, err := openBolt(f.temporary())
	if err != nil {
		return err
	}
	// Twice, so that neither meta page names the free list of bbolt's beginning.
	for range 2 {
		if err == nil {
			err = db.Update(fill)
		}
	}
	if closeErr := db.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Renew puts a new file in the place of one that is larger than a size, with what
// every file has and what keep puts into it, which runs twice: bbolt gives no room
// back. Where that cannot be made the file stays as it is. After an error the file
// must be opened again.
func (f *File) Renew(size int64, keep func(*bolt.Tx) error) error {
	if info, err := os.Lstat(f.Path); err != nil || info.Size() <= size {
		return nil // whoever uses the file next meets what is wrong with it
	}
	err := f.makeNew(func(tx *bolt.Tx) error { return errors.Join(f.Initial(tx), keep(tx)) })
	if err != nil {
		os.Remove(f.temporary())
		return nil
	}
	if err := f.moveIn(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.release(); err != nil {
		return err
	}
	db, err := openBolt(f.Path)
	if err != nil {
		return err
	}
	f.db = db
	f.releaseMapping()
	return nil
}

func (f *File) moveIn() error {
	if err := os.Rename(f.temporary(), f.Path); err != nil {
		return err
	}
	return syncedfolder.Sync(f.folder())
}

// copy writes the file anew.
func (f *File) copy() error {
	from, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(f.temporary(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Sync()
	}
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = f.moveIn()
	}
	if err != nil {
		os.Remove(f.temporary())
	}
	return err
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.release()
}

// release is Close with mu held. A fault may have left bbolt's locks taken for
// good, so then the file is not closed but left behind: opening it again makes a
// copy, which has locks of its own.
func (f *File) release() error {
	db := f.db
	f.db = nil
	if db == nil || f.fault.Swap(false) {
		return nil
	}
	return db.Close()
}

// unusable tells whether a new file must take the place of one that met err. What
// another process holds, or may not be read, is not damaged. A disk that does not
// read keeps nobody from starting, but later it may read again.
func unusable(err error, again bool) bool {
	return errors.Is(err, ErrDamaged) || errors.Is(err, errFault) || !again && errors.Is(err, unix.EIO)
}
