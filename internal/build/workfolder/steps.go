package workfolder

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

	"github.com/brainseg/brainseg/internal/model"
)

// Pipeline takes steps one after the other in a work folder. Each has a folder
// of its own and a stamp beside it, which says from what the folder was made and
// what is in it: a step is taken again only where one of the two has changed. Its
// methods must not be called concurrently.
type Pipeline struct {
	work    string
	tool    string
	say     func(format string, a ...any)
	program string // digest of the program itself
	lock    *os.File

	previous string // digest of what the step before left

	// Taken and Skipped are the numbers of steps up to now.
	Taken, Skipped int
}

// stamp is the form of a step's <name>.json.
type stamp struct {
	// Key is the digest of everything that the step depends on.
	Key string `json:"key"`
	// Files are the digests of what it left, by path.
	Files map[string]string `json:"files"`
}

// Open makes the work folder and keeps other processes out of it. tool names the
// program and its version, of which every step depends; say is told what is done.
func Open(work, tool string, say func(format string, a ...any)) (*Pipeline, error) {
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
	if rests, err := filepath.Glob(filepath.Join(work, TemporaryPrefix+"*")); err == nil {
		for _, rest := range rests {
			os.RemoveAll(rest)
		}
	}
	p := &Pipeline{work: work, tool: tool, say: say, lock: lock}
	// Another program may do another thing with the same input.
	if executable, err := os.Executable(); err == nil {
		p.program, err = model.FileSHA256(executable)
		if err != nil {
			lock.Close()
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
	}
	return p, nil
}

// Close lets other processes in.
func (p *Pipeline) Close() error { return p.lock.Close() }

// Step takes the step called name unless nothing has changed, and returns its
// folder. inputs is everything that the step depends on besides what the step
// before left.
func (p *Pipeline) Step(ctx context.Context, name string, inputs any, run func(dir string) error) (string, error) {
	dir := filepath.Join(p.work, name)
	key, err := p.key(name, inputs)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if files, ok := p.upToDate(dir, key); ok {
		p.say("%s: up to date", name)
		p.Skipped++
		p.previous = digestOf(files)
		return dir, nil
	}
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	p.say("%s", name)
	p.Taken++
	if err := p.Forget(name); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := Fill(dir, run); err != nil {
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

// Forget removes what a step left.
func (p *Pipeline) Forget(name string) error {
	dir := filepath.Join(p.work, name)
	return errors.Join(remove(dir+".json"), os.RemoveAll(dir))
}

func (p *Pipeline) key(name string, inputs any) (string, error) {
	document, err := json.Marshal(map[string]any{"step": name, "tool": p.tool, "program": p.program, "previous": p.previous, "inputs": inputs})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(document)
	return hex.EncodeToString(sum[:]), nil
}

// upToDate compares the stamp with the key and with what is in the folder.
func (p *Pipeline) upToDate(dir, key string) (map[string]string, bool) {
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

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
