// Package memory tells how much memory the process may still take before the
// system ends it: what the machine has available, or what the process' control
// groups leave it, whichever is less.
//
// It takes no memory and keeps no account of it: two that ask at the same time
// are told the same. Package engine asks before it works on a large image, and
// the command volume before it reads a scan. How much a process may have in all,
// and how many workers and how large a heap of Go suit that, is in limit.go: for
// what the configuration calls auto.
package memory

import (
	"bytes"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// Spare is what Available leaves for everybody else, in bytes.
const Spare = 32 << 20

// Available is the number of bytes that may be taken now, Spare left aside;
// math.MaxInt64 where the system does not tell.
func Available() int64 { return available(os.DirFS("/")) }

func available(root fs.FS) int64 {
	left := min(machine(root), groups(root))
	if left == math.MaxInt64 {
		return left
	}
	return max(0, left-Spare)
}

// machine is what the kernel believes that can be had without swapping.
func machine(root fs.FS) int64 {
	content, _ := fs.ReadFile(root, "proc/meminfo") // nothing is told where there is none
	if kB, ok := field(content, "MemAvailable:"); ok {
		return kB << 10
	}
	return math.MaxInt64
}

// groups is what the control groups of the process leave it, all the way up.
func groups(root fs.FS) int64 {
	left := int64(math.MaxInt64)
	everyGroup(root, func(h *hierarchy, group string) { left = min(left, h.left(root, group)) })
	return left
}

// everyGroup calls do for the control groups that bound the memory of the process,
// all the way up.
func everyGroup(root fs.FS, do func(h *hierarchy, group string)) {
	content, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(content)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, name, ok := strings.Cut(rest, ":")
		version := versions[controllers]
		if !ok || version == nil {
			continue
		}
		// In a container the name may be one that is seen outside only: then the
		// group is where its hierarchy is mounted.
		for at := path.Join(version.mount, name); ; at = path.Dir(at) {
			do(version, at)
			if at == version.mount || at == "." {
				break
			}
		}
	}
}

// hierarchy names the files of a version of control groups.
type hierarchy struct {
	mount, limit, used string
	// unneeded are the fields of memory.stat whose memory the kernel takes back
	// before it ends a process.
	unneeded []string
}

// versions are the hierarchies by the controllers that /proc/self/cgroup names.
var versions = map[string]*hierarchy{
	"":       {"sys/fs/cgroup", "memory.max", "memory.current", []string{"inactive_file", "active_file", "slab_reclaimable"}},
	"memory": {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", []string{"total_inactive_file", "total_active_file"}},
}

// left is what one group leaves: nothing is known of one without a limit.
func (h *hierarchy) left(root fs.FS, group string) int64 {
	limit, limited := number(root, group, h.limit) // "max" is no number
	used, known := number(root, group, h.used)
	if !limited || !known {
		return math.MaxInt64
	}
	stat, _ := fs.ReadFile(root, path.Join(group, "memory.stat"))
	for _, name := range h.unneeded {
		if n, ok := field(stat, name); ok {
			used -= n
		}
	}
	return max(0, limit-max(0, used))
}

// number is the content of a file of a group.
func number(root fs.FS, group, name string) (int64, bool) {
	content, err := fs.ReadFile(root, path.Join(group, name))
	n, parsed := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
	return n, err == nil && parsed == nil
}

// field is the number that follows name at the beginning of a line.
func field(content []byte, name string) (int64, bool) {
	for line := range bytes.Lines(content) {
		if words := bytes.Fields(line); len(words) >= 2 && string(words[0]) == name {
			n, err := strconv.ParseInt(string(words[1]), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
