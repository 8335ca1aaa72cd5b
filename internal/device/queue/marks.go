package queue

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/internal/device/boltfile"
)

const (
	marksName   = "queue.working"
	marksHeader = 20 // start of the system, number of marks
)

// marks is a small file that says which requests are in work, for the process
// that comes after one that died of them. It outlives the process, which needs no
// sync; after a power cut it may be lost or torn, and says nothing. The process
// that has it open owns the folder.
type marks struct {
	mu   sync.Mutex // held while the file is written
	file *os.File
	boot [16]byte
}

// openMarks takes hold of the folder.
func openMarks(ctx context.Context, folder string, wait time.Duration) (*marks, error) {
	path := filepath.Join(folder, marksName)
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file, move it away", ErrInvalid, marksName)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, storageError(err)
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
			return nil, storageError(err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			file.Close()
			return nil, ErrLocked
		}
	}
	m := &marks{file: file}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		sum := bytes.ReplaceAll(bytes.TrimSpace(id), []byte("-"), nil)
		copy(m.boot[:], sum) // half of it is unique enough
	}
	return m, nil
}

// interrupted returns the requests that were in work when the process before this
// one died. Where the system was started since, it was not their fault.
func (m *marks) interrupted() []uint64 {
	b := make([]byte, 1<<16)
	n, _ := m.file.ReadAt(b, 0) // short of the buffer in any case
	b = b[:n]
	if len(b) < marksHeader || !bytes.Equal(b[:16], m.boot[:]) {
		return nil
	}
	end := marksHeader + 8*uint64(binary.LittleEndian.Uint32(b[16:]))
	if end+4 > uint64(len(b)) {
		return nil
	}
	content, err := boltfile.Unseal(nil, b[:end+4])
	if err != nil {
		return nil
	}
	var numbers []uint64
	for content = content[marksHeader:]; len(content) > 0; content = content[8:] {
		numbers = append(numbers, binary.LittleEndian.Uint64(content))
	}
	return numbers
}

// write replaces the marks by what list returns. A disk that does not take them
// loses no request, so errors mean nothing.
func (m *marks) write(list func() []uint64) {
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

func (m *marks) clear() { m.write(func() []uint64 { return nil }) }

func (m *marks) close() error { return m.file.Close() }
