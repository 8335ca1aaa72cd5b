package walls

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// What is counted from 1970 leaves the process' own clock behind, which goes on evenly
// while the system's is set. So what a device does may not follow from such a number,
// but where package ownclock has made it, or for a reason:
var countsFrom1970 = map[string]string{
	"internal/device/ownclock/ownclock.go":    "it goes on from there by the process' own clock",
	"internal/device/queue/records/coding.go": "it is written down, and told; records.Load mends what it reads",
	"internal/device/models/watch.go":         "it is compared with itself: whether a file is another one",
	"internal/device/health/cloudwatch.go":    "it is told to AWS",
}

var from1970 = regexp.MustCompile(`\.Unix(Nano|Micro|Milli)?\(\)`)

// countsTime lists the lines of Go files, tests apart, that count times from 1970.
func countsTime(files fs.FS, allowed map[string]string) ([]string, error) {
	names, err := tree(files, ".go")
	if err != nil {
		return nil, err
	}
	var list []string
	for _, name := range names {
		if _, ok := allowed[name]; ok || !strings.HasPrefix(name, "internal/device/") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(content), "\n") {
			if from1970.MatchString(line) {
				list = append(list, fmt.Sprintf("%s:%d counts a time from 1970: keep a time.Time, or see package ownclock", name, i+1))
			}
		}
	}
	slices.Sort(list)
	return list, nil
}

func TestWhatADeviceDoesFollowsFromNoClockThatIsSet(t *testing.T) {
	list, err := countsTime(os.DirFS(root), countsFrom1970)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range list {
		t.Error(problem)
	}
	got, err := countsTime(fstest.MapFS{
		"internal/device/a/a.go":      {Data: []byte("a\nnow := time.Now().UnixNano()\n")},
		"internal/device/a/a_test.go": {Data: []byte("time.Now().Unix()")},
		"internal/device/b/b.go":      {Data: []byte("time.Now().Unix()")},
		"internal/device/c/c.go":      {Data: []byte("time.Unix(1, 0)")},
		"internal/build/d.go":         {Data: []byte("time.Now().UnixMilli()")},
	}, map[string]string{"internal/device/b/b.go": "it is told"})
	want := []string{"internal/device/a/a.go:2 counts a time from 1970: keep a time.Time, or see package ownclock"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("(-want +got), error %v:\n%s", err, diff)
	}
}
