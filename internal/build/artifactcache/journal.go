package artifactcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/brainseg/brainseg/internal/syncedfolder"
	"github.com/google/renameio/v2"
)

// saveEvery is how many new bytes are written before the journal is.
const saveEvery = 8 << 20

// errOutOfRange: the server sent more than was asked for.
var errOutOfRange = errors.New("the server sent bytes that were not asked for")

// partial is a transfer that is not finished: the data, and a journal of which
// bytes of it have arrived. Its methods may be called concurrently.
type partial struct {
	dir   string
	size  int64
	file  *os.File
	lock  *os.File
	moved func(done int64) // told after each write

	mu      sync.Mutex
	done    intervals // guarded by mu
	unsaved int64     // guarded by mu
	failure error     // of the disk; guarded by mu
}

// state is the journal's form on the disk.
type state struct {
	Size int64     `json:"size"`
	Done intervals `json:"done"`
}

// openPartial goes on with the transfer in dir, or begins it. It waits while
// another process has it.
func openPartial(ctx context.Context, dir string, size int64, moved func(int64)) (*partial, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, err
	}
	err = waitForLock(ctx, lock)
	if err == nil {
		err = os.Chtimes(lock.Name(), time.Time{}, time.Now()) // so that nobody forgets it
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	p := &partial{dir: dir, size: size, lock: lock, moved: moved}
	if err := p.open(); err != nil {
		lock.Close()
		return nil, err
	}
	return p, nil
}

func waitForLock(ctx context.Context, file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *partial) open() error {
	// Whoever held the lock before may have taken the folder away.
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return err
	}
	var err error
	if p.file, err = os.OpenFile(p.data(), os.O_CREATE|os.O_RDWR, 0o640); err != nil {
		return err
	}
	var s state
	info, err := p.file.Stat()
	if err == nil && info.Size() == p.size {
		// A journal that cannot be read is as good as none.
		if document, err := os.ReadFile(p.journal()); err == nil && json.Unmarshal(document, &s) == nil && s.Size == p.size && s.Done.valid(p.size) {
			p.done = s.Done
		}
	}
	if err == nil {
		err = p.file.Truncate(p.size)
	}
	if err != nil {
		p.file.Close()
	}
	return err
}

func (p *partial) data() string    { return filepath.Join(p.dir, "data") }
func (p *partial) journal() string { return filepath.Join(p.dir, "journal") }

// gaps returns what is still missing.
func (p *partial) gaps() []interval {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done.gaps(p.size)
}

// arrived returns how many bytes are there.
func (p *partial) arrived() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done.length()
}

// write puts b at offset and notes it.
func (p *partial) write(b []byte, offset int64) (int, error) {
	n, err := p.file.WriteAt(b, offset)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = p.done.add(interval{offset, offset + int64(n)})
	p.moved(p.done.length())
	if p.unsaved += int64(n); err == nil && p.unsaved >= saveEvery {
		err = p.save()
	}
	p.failure = errors.Join(p.failure, err)
	return n, err
}

// failed returns what the disk complained of.
func (p *partial) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure
}

// save is called with mu held. The data are on the disk before the journal says
// so.
func (p *partial) save() error {
	document, err := json.Marshal(state{Size: p.size, Done: p.done})
	if err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	p.unsaved = 0
	return renameio.WriteFile(p.journal(), document, 0o640)
}

// discard forgets everything that has arrived.
func (p *partial) discard() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = nil
	p.moved(0)
	return p.save()
}

// finish moves the data to path and takes the rest away.
func (p *partial) finish(path string) error {
	err := errors.Join(p.file.Sync(), p.file.Chmod(0o440))
	if err == nil {
		err = os.Rename(p.data(), path)
	}
	if err == nil {
		err = syncedfolder.Sync(filepath.Dir(path))
	}
	if err == nil {
		err = os.RemoveAll(p.dir)
	}
	return err
}

// close keeps what has arrived for the next time.
func (p *partial) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	if p.unsaved > 0 {
		if _, statErr := os.Stat(p.dir); statErr == nil {
			err = p.save()
		}
	}
	return errors.Join(err, p.file.Close(), p.lock.Close())
}

// window is the part of a transfer that one gap takes. Offsets are the gap's.
type window struct {
	p   *partial
	gap interval
}

// WriteAt implements io.WriterAt.
func (w window) WriteAt(b []byte, offset int64) (int, error) {
	if offset < 0 || w.gap.Start+offset+int64(len(b)) > w.gap.End {
		return 0, errOutOfRange
	}
	return w.p.write(b, w.gap.Start+offset)
}

// newSection reads the data from their beginning.
func newSection(p *partial) io.Reader { return io.NewSectionReader(p.file, 0, p.size) }
