// Package boundedfile reads a file whole, if it is a regular one within bounds:
// neither a pipe that never ends nor a file of another kind takes the memory.
//
// It knows no formats and no folders: package store confines paths to configured
// ones and reads by itself. Everything else that reads a file whose size somebody
// else decides calls it.
package boundedfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// ErrUnfit: the file is not a regular one, is empty or exceeds the limit.
var ErrUnfit = errors.New("the file cannot be read")

// Open opens a file to read it, now or later. It does not wait, as for the writer
// of a pipe.
func Open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// Read returns the content of the file at path, 1 to limit bytes. An error wraps
// ErrUnfit or that of the file system.
func Read(path string, limit int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ReadFrom(file, limit)
}

// ReadFrom is Read of a file that is open, from its beginning, any number of
// times.
func ReadFrom(file *os.File, limit int64) ([]byte, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrUnfit, file.Name())
	}
	if info.Size() == 0 || info.Size() > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes and must have 1 to %d", ErrUnfit, file.Name(), info.Size(), limit)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, info.Size()), content); err != nil {
		return nil, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return content, nil
}
