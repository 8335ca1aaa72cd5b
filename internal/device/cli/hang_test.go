package cli_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/cli/command"
	"github.com/brainseg/brainseg/internal/device/greengrass"
	"github.com/brainseg/brainseg/internal/device/request"
)

// grey is a PNG of one value. The model endless works on one of 253 for hours.
func grey(t *testing.T, value uint8) string {
	t.Helper()
	slice := image.NewGray(image.Rect(0, 0, 40, 30))
	for i := range slice.Pix {
		slice.Pix[i] = value
	}
	var file bytes.Buffer
	if err := png.Encode(&file, slice); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(file.Bytes())
}

func TestARunOfTheModelThatHangsFailsItsRequestAndTheSecondEndsTheProcess(t *testing.T) {
	t.Parallel()
	n := newNucleus(t, nucleus.Classic)
	endless, err := filepath.Abs(filepath.Join("..", "..", "segmentation", "testdata", "models", "endless"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.MergeConfiguration(greengrass.ComponentName, nil, map[string]any{
		"model": map[string]any{"path": endless}, "service": map[string]any{"workers": 1, "inferenceSeconds": 1},
	}); err != nil {
		t.Fatal(err)
	}
	p := startComponent(t, n)
	good, hung := grey(t, 200), grey(t, 253)
	send := func(id, slice string) {
		t.Helper()
		document := fmt.Appendf(nil, `{"id":%q,"image":{"base64":%q}}`, id, slice)
		if err := p.client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: "inference/brain_segmentation/request", Binary: document}); err != nil {
			t.Fatal(err)
		}
	}
	result := func(id string) request.Result {
		t.Helper()
		for limit := time.After(time.Minute); ; {
			select {
			case r := <-p.results:
				if r.ID == id {
					return r
				}
				if r.Attempt == 1 { // others come again, from the next process
					t.Errorf("the answer to %s where that to %s was due", r.ID, id)
				}
			case <-limit:
				t.Fatalf("no answer to %s", id)
			}
		}
	}
	succeeds := func(id string) {
		t.Helper()
		if r := result(id); r.Error != nil || r.Tissues[1].Pixels != 40*30 {
			t.Errorf("%s: %+v", id, r.Error)
		}
	}
	hangs := func(id string) {
		t.Helper()
		if r := result(id); r.Error == nil || r.Error.Code != request.CodeInferenceTimeout {
			t.Errorf("%s: %+v", id, r.Error)
		}
	}
	send("before", good)
	succeeds("before")
	send("first", hung)
	send("behind", good) // waits for the worker
	hangs("first")
	succeeds("behind")
	send("second", hung)
	for i := range 3 {
		send(fmt.Sprint("left-", i), good)
	}
	hangs("second")
	if code := p.end(t); code != command.ExitHung {
		t.Fatalf("exit code %d, want %d\n%s", code, command.ExitHung, p.log.String())
	}
	if !strings.Contains(p.log.String(), "the model is opened anew") {
		t.Errorf("the log does not say that the model was opened anew:\n%s", p.log.String())
	}

	ready := make(chan struct{}, 8)
	if _, err := p.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "inference/brain_segmentation"}, func(_ context.Context, m ggipc.TopicMessage) {
		if bytes.Contains(m.Bytes(), []byte("Ready.")) {
			ready <- struct{}{}
		}
	}); err != nil {
		t.Fatal(err)
	}
	next := exec.Command("brainseg", "component") // as the nucleus does
	next.Dir, next.Env = p.Dir, append(os.Environ(), n.Env(greengrass.ComponentName)...)
	next.Stdout, next.Stderr = &p.log, &p.log
	if err := next.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { next.Process.Kill() })
	for i := range 3 {
		succeeds(fmt.Sprint("left-", i)) // by which process ever
	}
	select {
	case <-ready: // before it heeds a signal it would die of one
	case <-time.After(time.Minute):
		t.Error("the next process does not get ready")
	}
	if err := next.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := next.Wait(); err != nil {
		t.Errorf("the next process ended with %v\n%s", err, p.log.String())
	}
	for line := range strings.Lines(p.log.String()) {
		if !json.Valid([]byte(line)) && !strings.HasPrefix(line, "brainseg: ") {
			t.Errorf("the log has a line that is not JSON: %s", line)
		}
	}
}
