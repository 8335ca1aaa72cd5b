package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"

	"github.com/brainseg/brainseg/internal/build/provenance"
)

// pipeline takes steps one after the other in a work folder. Each has a folder
// of its own and a stamp beside it, which says from what the folder was made and
// what is in it: a step is taken again only where one of the two has changed.
type pipeline struct {
	console console
	work    string
	program string // digest of the program itself
	lock    *os.File

	previous string // digest of what the step before left
	taken    int
	skipped  int
}

// stamp is the form of a step's <name>.json.
type stamp struct {
	// Key is the digest of everything that the step depends on.
	Key string `json:"key"`
	// Files are the digests of what it left, by path.
	Files map[string]string `json:"files"`
}

// openPipeline makes the work folder and keeps other processes out of it.
func openPipeline(c console, work string) (*pipeline, error) {
	const doing = "open the work folder"
	if err := os.MkdirAll(work, 0o750); err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	lock, err := os.OpenFile(filepath.Join(work, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s: another model-build works in %s; wait for it, or name another by --work", doing, work)
	}
	// What a run that was killed has left.
	if rests, err := filepath.Glob(filepath.Join(work, temporaryPrefix+"*")); err == nil {
		for _, rest := range rests {
			os.RemoveAll(rest)
		}
	}
	p := &pipeline{console: c, work: work, lock: lock}
	// Another program may do another thing with the same input.
	if executable, err := os.Executable(); err == nil {
		p.program, err = provenance.FileSHA256(executable)
		if err != nil {
			lock.Close()
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	return p, nil
}

func (p *pipeline) close() error { return p.lock.Close() }

// step takes the step called name unless nothing has changed, and returns its
// folder. inputs is everything that the step depends on besides what the step
// before left.
func (p *pipeline) step(ctx context.Context, name string, inputs any, run func(dir string) error) (string, error) {
	dir := filepath.Join(p.work, name)
	key, err := p.key(name, inputs)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if files, ok := p.upToDate(dir, key); ok {
		p.console.say("%s: up to date", name)
		p.skipped++
		p.previous = digestOf(files)
		return dir, nil
	}
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	p.console.say("%s", name)
	p.taken++
	if err := p.forget(name); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := fill(dir, run); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	files, err := digests(dir)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	document, err := json.MarshalIndent(stamp{Key: key, Files: files}, "", "  ")
	if err == nil {
		err = renameio.WriteFile(dir+".json", document, 0o640)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	p.previous = digestOf(files)
	return dir, nil
}

// forget removes what a step left.
func (p *pipeline) forget(name string) error {
	dir := filepath.Join(p.work, name)
	return errors.Join(remove(dir+".json"), os.RemoveAll(dir))
}

func (p *pipeline) key(name string, inputs any) (string, error) {
	document, err := json.Marshal(map[string]any{"step": name, "tool": tool(), "program": p.program, "previous": p.previous, "inputs": inputs})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:]), nil
}

// upToDate compares the stamp with the key and with what is in the folder.
func (p *pipeline) upToDate(dir, key string) (map[string]string, bool) {
	document, err := os.ReadFile(dir + ".json")
	var s stamp
	if err != nil || json.Unmarshal(document, &s) != nil || s.Key != key {
		return nil, false
	}
	files, err := digests(dir)
	if err != nil || digestOf(files) != digestOf(s.Files) {
		return nil, false
	}
	return files, true
}

// digests returns those of the files below dir, by path.
func digests(dir string) (map[string]string, error) {
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(relative)], err = provenance.FileSHA256(path)
		return err
	})
	return files, err
}

// digestOf is that of a whole folder.
func digestOf(files map[string]string) string {
	document, _ := json.Marshal(files) // texts, in order of the keys
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:])
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
