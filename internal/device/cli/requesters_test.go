package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/crashtest"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
)

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
			if code := failure(err.Error()); code != "" {
				r.mu.Lock()
				r.results[id] = request.Result{ID: id, Error: &request.Failure{Code: code}}
				r.mu.Unlock()
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// failure is the code of a refusal that is the request's answer, however often it is
// sent again; "" for others.
func failure(refusal string) request.Code {
	for _, code := range []request.Code{request.CodePoisoned, request.CodeOutputFailed} {
		if strings.Contains(refusal, `"`+string(code)+`"`) {
			return code
		}
	}
	return ""
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
			if failure(string(answer)) != "" {
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
		if bytes.Contains(content, []byte(`"`+request.CodeInternal+`"`)) {
			r.t.Error(err) // whatever goes wrong has a code of its own
		}
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
	if err != nil || len(queue) < 2 || len(queue) > 3 { // the third has messages for AWS IoT Core that a process had to leave
		r.t.Errorf("the folder of the queue holds %v, %v", queue, err)
	}
}

// servedNucleus starts a nucleus whose component has the shipped model and serves
// HTTP, with what more changes of its configuration. It returns the service's URL and a
// slice to send.
func servedNucleus(t *testing.T, more map[string]any) (n *nucleus.Nucleus, url string, slice []byte) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if slice, err = os.ReadFile(filepath.Join(root, "artifacts", "samples", "whole-head", "axial-085.png")); err != nil {
		t.Fatal(err)
	}
	port, err := net.Listen("tcp", "127.0.0.1:0") // one that is free
	if err != nil {
		t.Fatal(err)
	}
	port.Close()
	n = newNucleus(t, nucleus.Classic)
	configuration := map[string]any{
		"http":  map[string]any{"address": port.Addr().String()},
		"model": map[string]any{"path": filepath.Join(root, "artifacts", "model")},
	}
	maps.Copy(configuration, more)
	if err := n.MergeConfiguration(greengrass.ComponentName, nil, configuration); err != nil {
		t.Fatal(err)
	}
	return n, "http://" + port.Addr().String() + "/", slice
}
