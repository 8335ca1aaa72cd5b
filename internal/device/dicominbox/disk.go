package dicominbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/boundedfile"
	"github.com/brainseg/brainseg/internal/syncedfolder"
)

// What lies in the folder: series/KEY/objects/INSTANCE-CONTENT.dcm,
// series/KEY/note.json, and in incoming what is not complete yet.
const (
	incomingName = "incoming"
	seriesName   = "series"
	objectsName  = "objects"
	noteName     = "note.json"
	objectSuffix = ".dcm"

	hashBytes = 16 // of those hashes that make names; half of it of contents
	maxNote   = 4 << 10
	block     = 4 << 10 // of the disk
)

// What has become of a series.
const (
	phaseAccepted = "accepted" // somebody else keeps the work
	phaseReleased = "released" // the work is over
	phaseReopened = "reopened" // and is to be done again
	phaseRemoving = "removing" // and the objects are being removed
)

// note is what has become of a set of objects.
type note struct {
	Set     string `json:"set"`
	Attempt int    `json:"attempt"`
	Phase   string `json:"phase"`
	Failed  bool   `json:"failed,omitempty"`
	// At is when it was released, by a clock that may have been set since.
	At time.Time `json:"at,omitzero"`
}

// follows tells whether the note may take the place of another: what is told late
// does not undo what came after it.
func (n note) follows(old note) bool {
	switch {
	case n.Set != old.Set || n.Attempt > old.Attempt:
		return true
	case n.Attempt < old.Attempt:
		return false
	case n.Phase == phaseReleased && old.Phase == phaseReleased:
		return old.Failed
	}
	return old.Phase == phaseAccepted
}

// write makes the note durable.
func (n note) write(path string) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o640))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	if _, err := file.Write(b); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return syncedfolder.Sync(filepath.Dir(path))
}

// hashed names what UIDs or contents name.
func hashed(length int, texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:length])
}

// setName names the objects of the series.
func (s *series) setName() string {
	if s.set == "" {
		h := sha256.New()
		for _, instance := range slices.Sorted(maps.Keys(s.objects)) {
			fmt.Fprintf(h, "%s-%s\n", instance, s.objects[instance].content)
		}
		s.set = hex.EncodeToString(h.Sum(nil)[:hashBytes])
	}
	return s.set
}

// onDisk is how many bytes a file of some size takes.
func onDisk(size int64) int64 { return (size + block - 1) / block * block }

// load reads what is in the folder.
func (b *Inbox) load() error {
	for _, name := range []string{incomingName, seriesName} {
		if err := syncedfolder.Make(filepath.Join(b.opts.Folder, name), 0o750); err != nil {
			return err
		}
	}
	// What a process that was killed has not synced is there, and may not stay: before
	// anything is confirmed on its account it is made durable.
	for _, folder := range []string{filepath.Dir(b.opts.Folder), b.opts.Folder, filepath.Join(b.opts.Folder, seriesName)} {
		if err := syncedfolder.Sync(folder); err != nil {
			return err
		}
	}
	left, err := os.ReadDir(b.incoming())
	if err != nil {
		return err
	}
	for _, entry := range left {
		if err := os.RemoveAll(filepath.Join(b.incoming(), entry.Name())); err != nil {
			return err
		}
	}
	folders, err := os.ReadDir(filepath.Join(b.opts.Folder, seriesName))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		s, err := b.loadSeries(folder.Name())
		if err != nil {
			return err
		}
		if len(s.objects) == 0 || s.note.Phase == phaseRemoving { // the process died within
			if err := b.removeFiles(s.key); err != nil {
				return err
			}
			if s.note.Phase == phaseRemoving {
				b.opts.Removed(s.key, s.note.Failed)
			}
			continue
		}
		if err := errors.Join(syncedfolder.Sync(b.objectsFolder(s.key)), syncedfolder.Sync(b.folderOf(s.key))); err != nil {
			return err
		}
		b.series[s.key] = s
		b.bytes += s.bytes
		b.objects += len(s.objects)
		s.open = s.note.Set != s.setName() || s.note.Phase == phaseReopened
	}
	return nil
}

// loadSeries reads the folder of a series. Its quiet time begins anew.
func (b *Inbox) loadSeries(key string) (*series, error) {
	s := newSeries(key)
	folder := b.objectsFolder(key)
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	newest := make(map[string]time.Time)
	for _, entry := range entries {
		instance, content, ok := strings.Cut(strings.TrimSuffix(entry.Name(), objectSuffix), "-")
		if !ok {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		if old, twice := s.objects[instance]; twice {
			// The process died while one was replaced by the other.
			remove := content
			if newest[instance].Before(info.ModTime()) {
				remove = old.content
			}
			if err := os.Remove(filepath.Join(folder, fileName(instance, remove))); err != nil {
				return nil, err
			}
			if remove == content {
				continue
			}
			s.bytes -= old.bytes
		}
		newest[instance] = info.ModTime()
		o := object{content: content, bytes: onDisk(info.Size())}
		s.objects[instance] = o
		s.bytes += o.bytes
	}
	if err := b.tidy(key); err != nil {
		return nil, err
	}
	raw, err := boundedfile.Read(filepath.Join(b.folderOf(key), noteName), maxNote)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case json.Unmarshal(raw, &s.note) != nil:
		b.opts.Logger.Warn("the note on a received series is damaged; it is worked on again", zap.String("series", shown(key)))
		s.note = note{}
	}
	// The clock may have been set back since: then it is as if it were released now.
	now := time.Now()
	s.released = now.Add(-max(0, now.Sub(s.note.At)))
	return s, nil
}

// removeFiles removes the objects of a series for good, and then its note, where
// there are any.
func (b *Inbox) removeFiles(key string) error {
	if err := os.RemoveAll(b.objectsFolder(key)); err != nil {
		return err
	}
	if err := syncedfolder.Sync(b.folderOf(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(b.folderOf(key))
}

// tidy removes what a process that died has left beside a series' objects and
// note.
func (b *Inbox) tidy(key string) error {
	entries, err := os.ReadDir(b.folderOf(key))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != objectsName && name != noteName {
			if err := os.Remove(filepath.Join(b.folderOf(key), name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func newSeries(key string) *series {
	return &series{key: key, objects: make(map[string]object), last: time.Now(), changed: make(chan struct{})}
}

func fileName(instance, content string) string { return instance + "-" + content + objectSuffix }

// shown is a key as logs show it.
func shown(key string) string { return key[:min(len(key), 12)] }

// removeOld removes series that were kept for long enough, and tells how long it
// is until the next one is due. It is called with mu held.
func (b *Inbox) removeOld() time.Duration {
	next := time.Hour
	for _, s := range b.series {
		if !s.removable() {
			continue
		}
		left := b.opts.Keep - time.Since(s.released)
		if left > 0 {
			next = min(next, left)
			continue
		}
		b.remove(s)
	}
	return next
}

// removable tells whether nobody needs the objects but for late ones.
func (s *series) removable() bool {
	return !s.open && s.committing == 0 && s.note.Phase == phaseReleased && s.note.Set == s.setName()
}

// spare is left free on the disk, for notes: without one no series can be removed.
const spare = 1 << 20

// free is the default of Options.Free.
func free(folder string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil {
		return math.MaxInt64
	}
	return int64(s.Bavail) * int64(s.Bsize)
}

// makeRoom removes released series until there is room, within the bounds and on the
// disk, and tells whether there is. It is called with mu held.
func (b *Inbox) makeRoom(bytes int64, objects int) bool {
	fits := func() bool {
		return b.bytes+bytes <= b.opts.MaxBytes && b.objects+objects <= b.opts.MaxObjects && b.opts.Free(b.opts.Folder) >= bytes+spare
	}
	if fits() {
		return true
	}
	var list []*series
	for _, s := range b.series {
		if s.removable() {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *series) int { return cmp.Or(a.released.Compare(b.released), cmp.Compare(a.key, b.key)) })
	for _, s := range list {
		if b.remove(s); fits() {
			return true
		}
	}
	return false
}

// remove removes a series. It is called with mu held. The note comes first: half
// a series must not be taken for one to be worked on.
func (b *Inbox) remove(s *series) {
	n := s.note
	n.Phase = phaseRemoving
	if err := n.write(filepath.Join(b.folderOf(s.key), noteName)); err != nil {
		b.opts.Logger.Error("removing a received series failed", zap.String("series", shown(s.key)), zap.Error(err))
		s.released = time.Now() // tried again later
		return
	}
	// From now on it is gone, also where files are left until the next start: an
	// object that comes again must not be taken for one that is there.
	delete(b.series, s.key)
	b.bytes -= s.bytes
	b.objects -= len(s.objects)
	if err := b.removeFiles(s.key); err != nil {
		b.opts.Logger.Error("removing the files of a received series failed; the next start tries again", zap.String("series", shown(s.key)), zap.Error(err))
	}
	b.opts.Removed(s.key, s.note.Failed)
}
