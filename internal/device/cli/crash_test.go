package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/crashtest"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
)

var kills = flag.Int("kills", 3, "how often the component of the crash test is killed")

// requesters send requests to a component that is killed, and hold it to what it
// says.
type requesters struct {
	t      *testing.T
	client *ggipc.Client
	http   http.Client
	url    string // of the HTTP service
	slice  []byte
	ledger crashtest.Ledger
	enough chan struct{} // closed when no new requests are sent

	overHTTP atomic.Int64 // masks that came
	refused  atomic.Int64 // replies after which a request is sent again
	answered atomic.Int64

	mu      sync.Mutex
	heard   map[string]chan struct{}  // closed when a reply to the id comes; guarded by mu
	results map[string]request.Result // guarded by mu
}

func (r *requesters) document(id string) []byte {
	image := `{"path":"slice.jpg"}`
	if sha256.Sum256([]byte(id))[0]%3 == 0 {
		image = fmt.Sprintf(`{"base64":%q}`, base64.StdEncoding.EncodeToString(r.slice))
	}
	return fmt.Appendf(nil, `{"id":%q,"image":%s,"acknowledge":true}`, id, image)
}

// reply notes what comes on the result topic.
func (r *requesters) reply(document []byte) {
	id := r.note(document, true)
	r.mu.Lock()
	defer r.mu.Unlock()
	if heard := r.heard[id]; heard != nil {
		close(heard)
		delete(r.heard, id)
	}
}

// note notes a reply and returns the id of its request, "" where that is to be sent
// again. One that came by itself counts its attempts.
func (r *requesters) note(document []byte, byItself bool) (id string) {
	result, err := request.ParseResult(document)
	if err != nil {
		r.t.Errorf("%q: %v", document, err)
		return ""
	}
	switch {
	case result.Status == request.StatusAccepted:
		r.ledger.Accepted(result.ID)
		return result.ID
	case result.Error != nil && slices.Contains([]request.Code{request.CodeBusy, request.CodeStopping, request.CodeStorageUnavailable}, result.Error.Code):
		r.refused.Add(1)
		return ""
	}
	attempt := 0
	if byItself {
		attempt = result.Attempt
	}
	sum := sha256.Sum256(request.WithAttempt(document, 1))
	r.ledger.Answer(result.ID, attempt, hex.EncodeToString(sum[:]))
	r.answered.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[result.ID] = result
	return result.ID
}

// send publishes a request until a reply to it comes.
func (r *requesters) send(ctx context.Context, id string) {
	heard := make(chan struct{})
	r.mu.Lock()
	r.heard[id] = heard
	r.mu.Unlock()
	for {
		// What fails is tried again, too.
		_ = r.client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: "inference/brain_segmentation/request", Binary: r.document(id)})
		select {
		case <-heard:
			return
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			r.t.Errorf("request %s is not heard", id)
			return
		}
	}
}

// askOverIPC sends one request after the other, and every fourth time an old one.
func (r *requesters) askOverIPC(ctx context.Context, name string) {
	for n := 0; r.more(); n++ {
		r.send(ctx, fmt.Sprintf("%s-%d", name, n))
		if n%4 == 3 {
			r.send(ctx, fmt.Sprintf("%s-%d", name, rand.IntN(n)))
		}
	}
}

// postImages sends one image after the other over HTTP, each until its mask comes.
func (r *requesters) postImages(ctx context.Context) {
	var first []byte
	for r.more() {
		mask, err := r.post(ctx, "", "image/jpeg", r.slice)
		if err != nil {
			time.Sleep(20 * time.Millisecond) // the component is being started
			continue
		}
		if first == nil {
			first = mask
		}
		if !bytes.Equal(mask, first) {
			r.t.Errorf("one image has two masks over HTTP")
		}
		r.overHTTP.Add(1)
	}
}

// postDocuments sends one request document after the other over HTTP, each until
// its answer comes, and every third time an old one.
func (r *requesters) postDocuments(ctx context.Context) {
	for n := 0; r.more(); n++ {
		id := fmt.Sprintf("http-%d", n)
		if n%3 == 2 {
			id = fmt.Sprintf("http-%d", rand.IntN(n))
		}
		for {
			answer, err := r.post(ctx, "v1/requests", "application/json", r.document(id))
			if err == nil {
				r.note(bytes.TrimSpace(answer), false)
				break
			}
			if ctx.Err() != nil {
				return
			}
			if strings.Contains(err.Error(), string(request.CodePoisoned)) {
				r.mu.Lock()
				r.results[id] = request.Result{ID: id, Error: &request.Failure{Code: request.CodePoisoned}}
				r.mu.Unlock()
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func (r *requesters) more() bool {
	select {
	case <-r.enough:
		return false
	default:
		return true
	}
}

// postForLater sends requests that are to be answered later, and fetches all
// answers at the end.
func (r *requesters) postForLater(ctx context.Context) {
	later := http.Header{"Content-Type": {"application/json"}, "Prefer": {"respond-async"}}
	var accepted []string
	for n := 0; r.more(); n++ {
		id := fmt.Sprintf("later-%d", n)
		for ctx.Err() == nil {
			status, answer, err := r.do(ctx, http.MethodPost, "v1/requests", later, r.document(id))
			if err == nil && status == http.StatusAccepted {
				r.ledger.Accepted(id)
				accepted = append(accepted, id)
				break
			}
			if err == nil && status == http.StatusOK { // it had been stored, and is answered by now
				r.note(bytes.TrimSpace(answer), false)
				break
			}
			if strings.Contains(string(answer), string(request.CodePoisoned)) {
				accepted = append(accepted, id)
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	for _, id := range accepted {
		for ctx.Err() == nil {
			if status, answer, err := r.do(ctx, http.MethodGet, "v1/requests/"+id, nil, nil); err == nil && status == http.StatusOK {
				r.note(bytes.TrimSpace(answer), false)
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func (r *requesters) post(ctx context.Context, path, kind string, body []byte) ([]byte, error) {
	status, content, err := r.do(ctx, http.MethodPost, path, http.Header{"Content-Type": {kind}}, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", status, content)
	}
	return content, err
}

func (r *requesters) do(ctx context.Context, method, path string, header http.Header, body []byte) (status int, content []byte, err error) {
	q, err := http.NewRequestWithContext(ctx, method, r.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if header != nil {
		q.Header = header.Clone()
	}
	answer, err := r.http.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	content, err = io.ReadAll(answer.Body)
	return answer.StatusCode, content, err
}

// trial is a component in a folder of its own, and those who send it requests.
type trial struct {
	*requesters
	work    string
	nucleus *nucleus.Nucleus
	sending sync.WaitGroup
}

func newTrial(t *testing.T) *trial {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts components")
	}
	c := &trial{work: t.TempDir(), nucleus: newNucleus(t, nucleus.Classic)}
	slice, err := os.ReadFile(filepath.Join("..", "..", "imaging", "testdata", "rgb.jpg"))
	if err == nil {
		err = os.Mkdir(filepath.Join(c.work, "images"), 0o750)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(c.work, "images", "slice.jpg"), slice, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0") // one that is free, for all runs
	if err != nil {
		t.Fatal(err)
	}
	port.Close()
	if err := c.nucleus.MergeConfiguration(greengrass.ComponentName, nil, map[string]any{
		"http": map[string]any{"address": port.Addr().String()}, "service": map[string]any{"workers": 2},
	}); err != nil {
		t.Fatal(err)
	}
	c.requesters = &requesters{
		t: t, url: "http://" + port.Addr().String() + "/", slice: slice, enough: make(chan struct{}),
		heard: map[string]chan struct{}{}, results: map[string]request.Result{},
	}
	c.http.Transport = &http.Transport{DisableKeepAlives: true}
	c.client, err = ggipc.Connect(t.Context(), ggipc.Options{SocketPath: c.nucleus.SocketPath(), AuthToken: c.nucleus.Token(clientName), QueueEvents: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.client.Close() })
	if _, err := c.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "inference/brain_segmentation/result"}, func(_ context.Context, m ggipc.TopicMessage) {
		c.reply(m.Bytes())
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// component is the real program, as a nucleus starts it.
func (c *trial) component() *exec.Cmd {
	cmd := exec.Command("brainseg", "component")
	cmd.Dir, cmd.Env = c.work, append(os.Environ(), c.nucleus.Env(greengrass.ComponentName)...)
	return cmd
}

// begin has requests sent, over IPC and HTTP.
func (c *trial) begin() {
	for i := range 3 {
		c.sending.Go(func() { c.askOverIPC(c.t.Context(), fmt.Sprint(i)) })
	}
	c.sending.Go(func() { c.postImages(c.t.Context()) })
	c.sending.Go(func() { c.postDocuments(c.t.Context()) })
	c.sending.Go(func() { c.postForLater(c.t.Context()) })
}

// end has no more sent, waits until all is answered, ends the component, and holds
// the files to the answers. It returns the codes of the failures.
func (c *trial) end(component *exec.Cmd, log *bytes.Buffer) map[request.Code]int {
	c.t.Helper()
	close(c.enough)
	c.sending.Wait() // everything that was sent is heard of
	c.checkEnd(c.work)
	if err := component.Process.Signal(os.Interrupt); err != nil {
		c.t.Error(err)
	}
	if err := component.Wait(); err != nil {
		c.t.Errorf("the component ended with %v:\n%s", err, log.Bytes())
	}
	c.client.Close() // nothing comes any more
	c.checkFiles(c.work)
	codes := map[request.Code]int{}
	for _, result := range c.results {
		if result.Error != nil {
			codes[result.Error.Code]++
		}
	}
	return codes
}

func TestNothingThatTheComponentAcceptedIsLostThoughItIsKilled(t *testing.T) {
	c := newTrial(t)
	c.begin()
	err := crashtest.Run(t.Context(), crashtest.Options{
		Command: func(int) *exec.Cmd { return c.component() }, Kills: *kills, Longest: 500 * time.Millisecond, Seed: uint64(*kills),
	})
	if err != nil {
		t.Fatal(err)
	}
	last := c.component()
	var log bytes.Buffer
	last.Stdout, last.Stderr = &log, &log
	if err := last.Start(); err != nil {
		t.Fatal(err)
	}
	codes := c.end(last, &log)
	poisoned := codes[request.CodePoisoned]
	if delete(codes, request.CodePoisoned); len(codes) > 0 {
		t.Errorf("requests failed: %v", codes)
	}
	t.Logf("killed %d times: %v; %d of them poisoned; %d masks over HTTP", *kills, &c.ledger, poisoned, c.overHTTP.Load())
}

func TestADiskThatFailsLosesNothingAndIsUsedAgain(t *testing.T) {
	c := newTrial(t)
	component := c.component()
	var log bytes.Buffer
	component.Stdout, component.Stderr = &log, &log
	if err := component.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { component.Process.Kill() })
	c.begin()
	more := func(of *atomic.Int64, n int64, what string) {
		t.Helper()
		for before, end := of.Load(), time.Now().Add(time.Minute); of.Load() < before+n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %s:\n%s", what, log.Bytes())
			}
		}
	}
	for range 2 {
		more(&c.answered, 10, "answers")
		// As on a full disk: what is written beyond the first pages of a file fails.
		var limit unix.Rlimit
		if err := unix.Prlimit(component.Process.Pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
			t.Skip(err)
		}
		full := limit
		full.Cur = 8192
		if err := unix.Prlimit(component.Process.Pid, unix.RLIMIT_FSIZE, &full, nil); err != nil {
			t.Fatal(err)
		}
		more(&c.refused, 10, "refusals")
		if err := unix.Prlimit(component.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
	}
	more(&c.answered, 10, "answers")
	codes := c.end(component, &log)
	t.Logf("%v; %d replies were refusals; failures: %v", &c.ledger, c.refused.Load(), codes)
	if answers, ids := c.answered.Load(), int64(len(c.results)); answers > 4*ids { // what is not noted as delivered is not sent without end
		t.Errorf("%d answers to %d requests", answers, ids)
	}
	if delete(codes, request.CodeOutputFailed); len(codes) > 0 {
		t.Errorf("requests failed: %v", codes)
	}
}

// checkEnd waits until everything that was accepted is answered.
func (r *requesters) checkEnd(work string) {
	r.t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = r.ledger.Close(); err == nil {
			if err = temporaries(work); err == nil {
				return
			}
		}
	}
	r.t.Error(err)
}

// temporaries names files that a process which was killed has left.
func temporaries(work string) error {
	return filepath.WalkDir(work, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".tmp") {
			err = fmt.Errorf("%s is left", entry.Name())
		}
		return err
	})
}

// checkFiles holds the masks to the answers that name them.
func (r *requesters) checkFiles(work string) {
	r.t.Helper()
	for id, result := range r.results {
		if result.Error != nil {
			continue
		}
		content, err := os.ReadFile(result.Mask.Path)
		if err != nil {
			r.t.Errorf("%s: %v", id, err)
			continue
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != result.Mask.SHA256 {
			r.t.Errorf("the mask of %s is not the one of its answer", id)
		}
	}
	masks, err := os.ReadDir(filepath.Join(work, "masks"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, entry := range masks {
		id, isMask := strings.CutSuffix(entry.Name(), ".png")
		if _, known := r.results[id]; !isMask || !known {
			r.t.Errorf("%s is no answer's", entry.Name())
			continue
		}
		file, err := os.Open(filepath.Join(work, "masks", entry.Name()))
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := png.Decode(file); err != nil {
			r.t.Errorf("the mask %s: %v", entry.Name(), err)
		}
		file.Close()
	}
	queue, err := os.ReadDir(filepath.Join(work, "queue"))
	if err != nil || len(queue) != 2 {
		r.t.Errorf("the folder of the queue holds %v, %v", queue, err)
	}
}
