// Package spool keeps whole scans that were sent to a way in on disk, for as long
// as they are worked on. Nobody else can read them, and what a killed process left
// behind goes when the next one needs the place.
//
// It reads no scan and knows no request: package httpapi fills the folders, and
// package engine lets scans be read below them.
package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// prefix begins the names of folders of processes.
const prefix = "brainseg-scans-"

// Spool hands out folders. The zero value works below the system's folder for
// temporary files. Its methods may be called concurrently.
type Spool struct {
	// Parent is the folder below which all is. Default os.TempDir(). It is not
	// changed once Take was called.
	Parent string

	mu     sync.Mutex
	own    *os.File // the folder of this process, locked while it lives; nil before it is needed; guarded by mu
	closed bool     // guarded by mu
}

// Take returns a new folder. Whoever takes it removes it.
func (s *Spool) Take() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errors.New("keep a scan on disk: the component is being stopped")
	}
	if s.own == nil {
		own, err := s.begin()
		if err != nil {
			return "", fmt.Errorf("keep a scan on disk: %w", err)
		}
		s.own = own
	}
	folder, err := os.MkdirTemp(s.own.Name(), "")
	if err != nil {
		return "", fmt.Errorf("keep a scan on disk: %w", err)
	}
	return folder, nil
}

// And returns folders and, once Take was called, the one below which all is that it
// returned. It works for a nil Spool.
func (s *Spool) And(folders []string) []string {
	if root := s.root(); root != "" {
		return append(slices.Clip(folders), root)
	}
	return folders
}

func (s *Spool) root() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == nil {
		return ""
	}
	return s.own.Name()
}

// Close removes everything.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.own == nil {
		return nil
	}
	err := os.RemoveAll(s.own.Name())
	return errors.Join(err, s.own.Close())
}

// begin makes the folder of this process, and removes those of dead ones.
func (s *Spool) begin() (*os.File, error) {
	parent := s.Parent
	if parent == "" {
		parent = os.TempDir()
	}
	left, _ := filepath.Glob(filepath.Join(parent, prefix+"*")) // fails for bad patterns only: then nothing is removed
	for _, name := range left {
		if dead, err := lock(name); err == nil {
			_ = os.RemoveAll(name) // of another user, most likely, where it fails
			dead.Close()
		}
	}
	name, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, err
	}
	return lock(name)
}

// lock opens a folder that no living process has locked.
func lock(name string) (*os.File, error) {
	folder, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		folder.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return folder, nil
}
