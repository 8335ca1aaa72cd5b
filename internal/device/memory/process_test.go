package memory

import (
	"math"
	"runtime"
	"testing"
	"testing/fstest"
)

func TestTheLimitIsTheLeastOfMachineAndGroups(t *testing.T) {
	const MB = 1 << 20
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"nothing is told", nil, math.MaxInt64},
		{"the machine", map[string]string{"proc/meminfo": "MemTotal: 2048 kB\nMemAvailable: 1024 kB\n", "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 2 * MB},
		{"a group above", map[string]string{
			"proc/meminfo": "MemTotal: 2048 kB\n", "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1048576\n", "sys/fs/cgroup/a/b/memory.max": "max\n",
		}, MB},
		{"version 1", map[string]string{"proc/self/cgroup": "4:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "4096\n"}, 4096},
	} {
		files := fstest.MapFS{}
		for name, content := range tt.files {
			files[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if got := limit(files); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if here := Limit(); runtime.GOOS == "linux" && (here < 64*MB || here == math.MaxInt64) {
		t.Errorf("here: %d", here)
	}
}

func TestWorkersFollowCoresAndMemory(t *testing.T) {
	const MB = 1 << 20
	for _, tt := range []struct {
		cores int
		limit int64
		want  int
	}{
		{4, math.MaxInt64, 4},
		{4, 4096 * MB, 4},
		{4, 174 * MB, 2}, // a tight control group
		{4, 100 * MB, 1}, // too tight for any: one all the same
		{128, 1 << 40, 64},
		{0, 1 << 40, 1},
	} {
		if got := workers(tt.cores, tt.limit); got != tt.want {
			t.Errorf("%d cores and %d MB: %d workers, want %d", tt.cores, tt.limit/MB, got, tt.want)
		}
	}
	for limit, want := range map[int64]int64{math.MaxInt64: math.MaxInt64, 190 * MB: 90 * MB, 50 * MB: 32 * MB} {
		if got := goLimit(limit); got != want {
			t.Errorf("GOMEMLIMIT at %d MB: %d MB, want %d", limit/MB, got/MB, want/MB)
		}
	}
}
