// Package crashmarks keeps a small file that says which requests are in work, for the
// process that comes after one that died of them. It outlives the process, which needs
// no sync; after a power cut it may be lost or torn, and says nothing. The process that
// has it open owns the folder.
//
// It knows requests by their numbers only, and loses none where it cannot be written.
// Package queue calls it.
package crashmarks

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

// FileName is that of the file in its folder.
const FileName = "queue.working"

const header = 20 // bytes: start of the system, number of marks

var (
	// ErrLocked: another process holds the folder.
	ErrLocked = errors.New("another process holds the folder")
	// ErrIrregular: something that is no file stands in its place.
	ErrIrregular = errors.New(FileName + " is not a regular file, move it away")
)

// Marks is the file, open. Its methods may be called concurrently.
type Marks struct {
	mu   sync.Mutex // held while the file is written
	file *os.File
	boot [16]byte
}

// Open takes hold of a folder, and waits for a process before this one to let go of it.
func Open(ctx context.Context, folder string, wait time.Duration) (*Marks, error) {
	path := filepath.Join(folder, FileName)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, ErrIrregular
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			file.Close()
			return nil, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			file.Close()
			return nil, ErrLocked
		}
	}
	m := &Marks{file: file}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		sum := bytes.ReplaceAll(bytes.TrimSpace(id), []byte("-"), nil)
		copy(m.boot[:], sum) // half of it is unique enough
	}
	return m, nil
}

// Interrupted returns the requests that were in work when the process before this
// one died. Where the system was started since, it was not their fault.
func (m *Marks) Interrupted() []uint64 {
	b := make([]byte, 1<<16)
	n, _ := m.file.ReadAt(b, 0) // short of the buffer in any case
	b = b[:n]
	if len(b) < header || !bytes.Equal(b[:16], m.boot[:]) {
		return nil
	}
	end := header + 8*uint64(binary.LittleEndian.Uint32(b[16:]))
	if end+4 > uint64(len(b)) {
		return nil
	}
	content, err := boltfile.Unseal(nil, b[:end+4])
	if err != nil {
		return nil
	}
	var numbers []uint64
	for content = content[header:]; len(content) > 0; content = content[8:] {
		numbers = append(numbers, binary.LittleEndian.Uint64(content))
	}
	return numbers
}

// Write replaces the marks by what list returns. A disk that does not take them
// loses no request, so errors mean nothing.
func (m *Marks) Write(list func() []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	numbers := list()
	b := append([]byte(nil), m.boot[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(numbers)))
	for _, number := range numbers {
		b = binary.LittleEndian.AppendUint64(b, number)
	}
	_, _ = m.file.WriteAt(boltfile.Seal(nil, b), 0) // in one piece; what is behind it has no meaning
}

// Clear says that nothing is in work.
func (m *Marks) Clear() { m.Write(func() []uint64 { return nil }) }

// Close lets go of the folder.
func (m *Marks) Close() error { return m.file.Close() }
