package cli_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/request"
)

var hostile = flag.Int("hostile", 0, "hostile requests among as many good ones, whose time is compared; 0 for a few, and no comparison")

// hostileRequest is something sent to the component that should cost it little.
type hostileRequest struct {
	name, path, kind string
	body             []byte
	heavy            bool // takes more than a slice to find out
}

// hostileRequests are the images, and documents that name what is no image or are
// not even requests. images is the component's folder.
func hostileRequests(t *testing.T, images string) (list []hostileRequest) {
	t.Helper()
	bad := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	bad(syscall.Mkfifo(filepath.Join(images, "pipe"), 0o600))
	bad(os.Mkdir(filepath.Join(images, "folder"), 0o750))
	bad(os.Symlink("/etc/passwd", filepath.Join(images, "link")))
	bad(os.Symlink("loop", filepath.Join(images, "loop")))
	bad(os.WriteFile(filepath.Join(images, "empty"), nil, 0o640))
	bad(os.WriteFile(filepath.Join(images, "endless"), nil, 0o640))
	bad(os.Truncate(filepath.Join(images, "endless"), 1<<40))
	document := func(name, body string) {
		list = append(list, hostileRequest{name, "v1/requests", "application/json", []byte(body), false})
	}
	for _, path := range []string{"pipe", "folder", "link", "loop", "empty", "endless", "/dev/zero", "/proc/self/mem", "../queue/queue.db", "a\x00b", strings.Repeat("a/", 2000), strings.Repeat("x", 300)} {
		named, err := json.Marshal(path)
		bad(err)
		document("path "+path[:min(len(path), 20)], `{"id":"#","image":{"path":`+string(named)+`}}`)
	}
	document("nothing", "")
	document("no JSON", strings.Repeat("\xff\x00", 5000))
	document("nested", strings.Repeat(`{"image":`, 100_000))
	document("nested lists", strings.Repeat("[", 1<<20))
	document("cut", `{"id":"a","image":{"base64":"iVBORw0KGgo`)
	document("many members", `{"id":"a"`+strings.Repeat(`,"a":1`, 100_000)+"}")
	document("a long id", `{"id":"`+strings.Repeat("i", 1<<20)+`","image":{"path":"a"}}`)
	document("output elsewhere", `{"id":"#","image":{"path":"empty"},"output":{"to":"../../../../etc/cron.d/a"}}`)
	document("a bucket", `{"id":"#","image":{"s3":"s3://others/secret.png"}}`)
	document("no base64", `{"id":"#","image":{"base64":"`+strings.Repeat("!", 1<<20)+`"}}`)
	document("zeros", `{"id":"#","image":{"base64":"`+base64.StdEncoding.EncodeToString(make([]byte, 1<<20))+`"}}`)
	corpus := hostileImages(t)
	for _, name := range slices.Sorted(maps.Keys(corpus)) {
		image := corpus[name]
		list = append(list, hostileRequest{name, "", "image/png", image.file, image.says == "" || len(image.file) > 1<<20})
	}
	return list
}

// post sends a request, under an id of its own where it has one, and returns how it
// was answered, and in what time.
func (h hostileRequest) post(t *testing.T, client *http.Client, url string, id int) (status int, content []byte, took time.Duration) {
	body := bytes.Replace(h.body, []byte(`{"id":"#"`), fmt.Appendf(nil, `{"id":"%d"`, id), 1)
	start := time.Now()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+h.path, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, nil, 0
	}
	q.Header.Set("Content-Type", h.kind)
	answer, err := client.Do(q)
	if err != nil {
		t.Errorf("%s: %v", h.name, err)
		return 0, nil, 0
	}
	defer answer.Body.Close()
	if content, err = io.ReadAll(answer.Body); err != nil {
		t.Errorf("%s: %v", h.name, err)
	}
	return answer.StatusCode, content, time.Since(start)
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

func TestGoodRequestsAreAnsweredAmongHostileOnes(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the component")
	}
	n, url, slice := servedNucleus(t, nil)
	program := "brainseg"
	if *hostile > 0 {
		program = shippedProgram(t) // what a race detector takes says nothing of a device
	}
	p := startProgram(t, n, program)
	bad := hostileRequests(t, filepath.Join(p.Dir, "images"))
	total := *hostile
	if total == 0 {
		bad = slices.DeleteFunc(bad, func(h hostileRequest) bool { return h.heavy })
		total = len(bad)
	}

	good := hostileRequest{name: "a good request", kind: "image/png", body: slice}
	var masks [][]byte // that differ
	ask := func(client *http.Client) time.Duration {
		status, content, took := good.post(t, client, url, 0)
		if status != http.StatusOK {
			t.Errorf("a good request is answered %d: %s", status, content)
		} else if !slices.ContainsFunc(masks, func(m []byte) bool { return bytes.Equal(m, content) }) {
			masks = append(masks, content)
		}
		return took
	}
	one, other := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{}}
	defer one.CloseIdleConnections()
	defer other.CloseIdleConnections()
	ask(one)
	codes := make(map[string]int)
	var quiet, loud []time.Duration
	for i := range total {
		quiet = append(quiet, ask(one))
		var attack sync.WaitGroup
		attack.Go(func() {
			h := bad[i%len(bad)]
			status, content, _ := h.post(t, other, url, i)
			var told struct{ Code string }
			if status != http.StatusOK {
				if err := json.Unmarshal(content, &told); err != nil || told.Code == "" || told.Code == string(request.CodeInternal) {
					t.Errorf("%s is answered %d: %.200s", h.name, status, content)
				}
			}
			codes[fmt.Sprint(status, " ", told.Code)]++
		})
		loud = append(loud, ask(one))
		attack.Wait()
	}
	if len(masks) != 1 {
		t.Errorf("one slice has %d masks", len(masks))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Error(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(strings.TrimSpace(peak), "\n")
	a, b := median(quiet), median(loud)
	t.Logf("%d hostile requests among %d good ones, all good ones answered: p50 %v quiet, %v among hostile ones, %.2f times; peak %s; hostile ones: %v",
		total, total, a, b, float64(b)/float64(a), peak, codes)
	if limit := 1.2; *hostile > 0 && float64(b) > limit*float64(a) {
		t.Errorf("good requests take %.2f times as long, and may take %.2f", float64(b)/float64(a), limit)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if code := p.end(t); code != command.ExitOK {
		t.Errorf("exit code %d\n%s", code, p.log.String())
	}
}
