package memory

import (
	"math"
	"runtime"
	"testing"
	"testing/fstest"
)

func TestWhatIsAvailableIsTheLeastThatMachineAndGroupsLeave(t *testing.T) {
	const MB = 1 << 20
	meminfo := "MemTotal:         524288 kB\nMemFree:           10240 kB\nMemAvailable:     204800 kB\n" // 200 MB
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  int64 // in MB, before Spare is left
	}{
		{"no limit", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.current": "5\n"}, 200},
		{"no groups", nil, 200},
		{"version 2", map[string]string{
			"proc/self/cgroup":                                             "0::/system.slice/greengrass.service\n",
			"sys/fs/cgroup/system.slice/memory.max":                        "max\n",
			"sys/fs/cgroup/system.slice/memory.current":                    "900000000\n",
			"sys/fs/cgroup/system.slice/greengrass.service/memory.max":     "209715200\n", // 200 MB
			"sys/fs/cgroup/system.slice/greengrass.service/memory.current": "167772160\n", // 160 MB
			"sys/fs/cgroup/system.slice/greengrass.service/memory.stat":    "anon 1\nfile 99\ninactive_file 41943040\nactive_file 10485760\nslab_reclaimable 10485760\n",
		}, 100},
		{"the group above is narrower", map[string]string{
			"proc/self/cgroup":                 "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max":       "104857600\n",
			"sys/fs/cgroup/a/memory.current":   "52428800\n",
			"sys/fs/cgroup/a/b/memory.max":     "209715200\n",
			"sys/fs/cgroup/a/b/memory.current": "0\n",
		}, 50},
		{"the mount is the group", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "73400320\n", "sys/fs/cgroup/memory.current": "10485760\n",
		}, 60},
		{"version 1", map[string]string{
			"proc/self/cgroup": "9:name=systemd:/x\n4:memory:/docker/1\n2:cpu,cpuacct:/x\n",
			"sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "209715200\n",
			"sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes": "157286400\n",
			"sys/fs/cgroup/memory/docker/1/memory.stat":           "cache 7\ntotal_inactive_file 41943040\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":          "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":          "1000000000\n",
		}, 90},
		{"version 1, named as seen outside", map[string]string{
			"proc/self/cgroup": "4:memory:/docker/1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "104857600\n", "sys/fs/cgroup/memory/memory.usage_in_bytes": "52428800\n",
		}, 50},
		{"over the limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "100\n", "sys/fs/cgroup/memory.current": "200\n"}, 0},
		{"damaged", map[string]string{"proc/self/cgroup": "x\n::\n0::/../../etc\n", "sys/fs/cgroup/memory.max": "\n"}, 200},
	} {
		root := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
		for name, content := range tt.files {
			root[name] = &fstest.MapFile{Data: []byte(content)}
		}
		if got, want := available(root), max(0, tt.want*MB-Spare); got != want {
			t.Errorf("%s: %d bytes, want %d", tt.name, got, want)
		}
	}
}

func TestWhereNothingIsToldThereIsNoLimit(t *testing.T) {
	if got := available(fstest.MapFS{}); got != math.MaxInt64 {
		t.Errorf("%d bytes", got)
	}
}

func TestThisMachineTells(t *testing.T) {
	if got := Available(); runtime.GOOS == "linux" && (got <= 0 || got > 1<<50) {
		t.Errorf("%d bytes are available", got)
	}
}
