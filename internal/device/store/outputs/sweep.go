package outputs

import (
	"container/heap"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Retention says for how long outputs are kept. The zero value keeps all.
type Retention struct {
	// MaxAge is for how long an output is kept; default for ever. One that was
	// written before the device knew the time is not removed for its age.
	MaxAge time.Duration
	// MaxBytes is how many bytes all outputs may have together; beyond it the
	// oldest go. Default: no limit.
	MaxBytes int64
	// Interval is the time between two looks; default an hour.
	Interval time.Duration
	// Clock tells the age of outputs. Default: one of this sweeper's own.
	Clock *Clock
}

// On reports whether anything is ever removed.
func (r Retention) On() bool { return r.MaxAge > 0 || r.MaxBytes > 0 }

// Bounds of the work of one look at the output folder.
const (
	// maxEntries is how many files and folders are looked at.
	maxEntries = 1_000_000
	// maxFolders is how many folders may wait to be looked at.
	maxFolders = 10_000
	// maxOldest is how many of the oldest outputs are remembered to be removed.
	maxOldest = 10_000
	// minLeftover is the age below which a temporary file may be of a writer that
	// has not come to lock it yet. Those that are younger are looked at again.
	minLeftover = time.Second
	// closeWait is for how long Close waits for a look at a file system that does
	// not answer.
	closeWait = time.Second
)

// clockSet is before any output: a device that starts without the time gives its
// files one of 1970, and they must not be old at once when the time comes.
var clockSet = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// leftover is what a killed process leaves: see TemporaryName.
var leftover = regexp.MustCompile(`^\.[A-Z2-7]{26}\.tmp$`)

// Sweeper removes leftovers once and old outputs from time to time.
type Sweeper struct {
	folder    string
	retention Retention
	cancel    context.CancelFunc
	done      chan struct{}
	young     []string // temporary files that may be leftovers; the sweeper's own
}

// Sweep starts a sweeper of a folder, which runs until it is closed.
func Sweep(folder string, r Retention) *Sweeper {
	if r.Interval <= 0 {
		r.Interval = time.Hour
	}
	if r.Clock == nil {
		r.Clock = new(Clock)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sweeper{folder: folder, retention: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.run(ctx)
	}()
	return s
}

// Done is closed when the sweeper has ended: by Close, or because there is no
// retention and the leftovers are gone.
func (s *Sweeper) Done() <-chan struct{} { return s.done }

// Close ends the sweeper and waits for it, though not for a file system that
// does not answer.
func (s *Sweeper) Close() {
	s.cancel()
	select {
	case <-s.done:
	case <-time.After(closeWait):
	}
}

func (s *Sweeper) run(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		for s.look(ctx, first) {
			first = false
		}
		if len(s.young) > 0 && !s.lookAgain(ctx) {
			return
		}
		if !s.retention.On() {
			return
		}
		next.Reset(s.retention.Interval)
	}
}

// output is a file that may have to go.
type output struct {
	name    string
	written written
	bytes   int64
}

// oldest is a heap with the youngest of the oldest outputs on top.
type oldest []output

func (o oldest) Len() int           { return len(o) }
func (o oldest) Less(i, j int) bool { return o[i].written.compare(o[j].written) > 0 }
func (o oldest) Swap(i, j int)      { o[i], o[j] = o[j], o[i] }
func (o *oldest) Push(x any)        { *o = append(*o, x.(output)) }
func (o *oldest) Pop() any {
	last := (*o)[len(*o)-1]
	*o = (*o)[:len(*o)-1]
	return last
}

// look goes through the folder once. It removes what is too old, with leftovers
// also those, and then the oldest outputs until the rest fits. It reports
// whether more have to go than it could remember. What cannot be removed stays:
// the next look will try again.
func (s *Sweeper) look(ctx context.Context, leftovers bool) (again bool) {
	root, err := os.OpenRoot(s.folder)
	if err != nil {
		return false
	}
	defer root.Close()
	var total int64
	var old oldest
	now := time.Now()
	spans := s.retention.Clock.look()
	walk(ctx, root, func(name string, entry fs.DirEntry) {
		rest := leftover.MatchString(entry.Name())
		if rest && !leftovers || !rest && !s.retention.On() {
			return // unseen: a folder may be full of what is none of ours
		}
		info, err := entry.Info()
		if err != nil {
			return
		}
		if rest {
			if now.Sub(info.ModTime()) >= minLeftover {
				removeLeftover(root, name)
			} else if len(s.young) < maxOldest {
				s.young = append(s.young, name)
			}
			return
		}
		written := spans.written(info.ModTime())
		tooOld := s.retention.MaxAge > 0 && written.ago() > s.retention.MaxAge && info.ModTime().After(clockSet)
		if !tooOld && s.retention.MaxBytes <= 0 || !Marked(root, name) {
			return
		}
		if tooOld && root.Remove(name) == nil {
			return
		}
		total += info.Size()
		heap.Push(&old, output{name, written, info.Size()})
		if len(old) > maxOldest {
			heap.Pop(&old)
		}
	})
	if s.retention.MaxBytes <= 0 || ctx.Err() != nil {
		return false
	}
	slices.SortFunc(old, func(a, b output) int { return a.written.compare(b.written) })
	all := len(old) == maxOldest
	for _, o := range old {
		if total <= s.retention.MaxBytes {
			return false
		}
		if root.Remove(o.name) == nil {
			total -= o.bytes
			again = all
		}
	}
	return again && total > s.retention.MaxBytes
}

// lookAgain waits until the temporary files that were young have been locked by who
// writes them, or are leftovers: of a process that was killed just before this one
// began. It is false where ctx ends first.
func (s *Sweeper) lookAgain(ctx context.Context) bool {
	select {
	case <-time.After(minLeftover):
	case <-ctx.Done():
		return false
	}
	root, err := os.OpenRoot(s.folder)
	if err != nil {
		return true
	}
	defer root.Close()
	for _, name := range s.young {
		removeLeftover(root, name)
	}
	s.young = nil
	return true
}

// removeLeftover removes a temporary file that nobody writes.
func removeLeftover(root *os.Root, name string) {
	if abandoned(root, name) {
		_ = root.Remove(name)
	}
}

// abandoned reports whether no writer holds the lock of a temporary file.
func abandoned(root *os.Root, name string) bool {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// walk calls visit with the regular files below root, in no order and without
// following links, until ctx ends or maxEntries have been seen.
func walk(ctx context.Context, root *os.Root, visit func(name string, entry fs.DirEntry)) {
	seen := 0
	for folders := []string{"."}; len(folders) > 0; {
		at := folders[len(folders)-1]
		folders = folders[:len(folders)-1]
		folder, err := root.Open(at)
		for err == nil {
			var entries []fs.DirEntry
			entries, err = folder.ReadDir(256)
			for _, entry := range entries {
				if seen++; seen > maxEntries || ctx.Err() != nil {
					folder.Close()
					return
				}
				name := filepath.Join(at, entry.Name())
				if entry.IsDir() && len(folders) < maxFolders {
					folders = append(folders, name)
				}
				if entry.Type().IsRegular() {
					visit(name, entry)
				}
			}
		}
		if folder != nil {
			folder.Close()
		}
	}
}
