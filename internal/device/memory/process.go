package memory

import (
	"io/fs"
	"math"
	"os"
	"runtime"
	"sync"
)

// Limit is the number of bytes that the process may have at most: those of its
// control groups when it started, or of the machine, whichever are fewer;
// math.MaxInt64 where the system does not tell.
func Limit() int64 { return startLimit() }

var startLimit = sync.OnceValue(func() int64 { return limit(os.DirFS("/")) })

func limit(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	content, _ := fs.ReadFile(root, "proc/meminfo")
	if kB, ok := field(content, "MemTotal:"); ok {
		least = kB << 10
	}
	everyGroup(root, func(h *hierarchy, group string) {
		if n, ok := number(root, group, h.limit); ok {
			least = min(least, n)
		}
	})
	return least
}

// What a process takes beside Go's heap, for the model, ONNX Runtime and the
// program itself, and what each worker more takes, in bytes; see docs/configuration.md.
const (
	fixed     = 90 << 20
	perWorker = 10 << 20
	reserve   = 64 << 20 // for an image that is larger than usual
)

// maxWorkers is the largest service.workers.
const maxWorkers = 64

// Workers is how many slices this machine can segment at the same time: one a core
// that the process may use, and no more than there is memory for; at least one.
func Workers() int { return workers(cores, Limit()) }

// cores are those of the start: later the program itself may use fewer.
var cores = runtime.GOMAXPROCS(0)

func workers(cores int, limit int64) int {
	room := (limit - fixed - reserve) / perWorker
	return int(max(1, min(int64(cores), room, maxWorkers)))
}

// GoLimit is what GOMEMLIMIT should be: what the limit leaves beside the model, less
// a tenth. Above it Go collects garbage more often; it never refuses memory.
func GoLimit() int64 { return goLimit(Limit()) }

func goLimit(limit int64) int64 {
	if limit == math.MaxInt64 {
		return limit
	}
	return max(32<<20, (limit-fixed)/10*9)
}
