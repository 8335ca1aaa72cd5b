package health

import (
	"math"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"

	"github.com/brainseg/brainseg/internal/device/memory"
	"github.com/brainseg/brainseg/internal/device/request"
)

// processMemory asks the system and Go's runtime.
func processMemory() (m request.Memory) {
	content, _ := os.ReadFile("/proc/self/status") // what is not told is 0
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(line, ":")
		kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch {
		case err != nil:
		case name == "VmRSS":
			m.Resident = kB << 10
		case name == "VmHWM":
			m.Peak = kB << 10
		}
	}
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	if heap[0].Value.Kind() == metrics.KindUint64 {
		m.Heap = int64(heap[0].Value.Uint64())
	}
	if limit := memory.Limit(); limit != math.MaxInt64 {
		m.Limit = limit
	}
	return m
}
