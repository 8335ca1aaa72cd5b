package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

const clientName = "com.example.Client"

// newNucleus starts a nucleus with our component and one that may do everything.
func newNucleus(t *testing.T, profile nucleus.Profile) *nucleus.Nucleus {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	everything := map[string]any{"1": map[string]any{"operations": []any{"*"}, "resources": []any{"*"}}}
	access := map[string]any{"aws.greengrass.ipc.pubsub": everything, "aws.greengrass.ipc.mqttproxy": everything}
	n, err := nucleus.New(nucleus.Options{Profile: profile, Components: []nucleus.Component{
		{Name: clientName, Configuration: map[string]any{"accessControl": access}},
		{Name: greengrass.ComponentName, Configuration: map[string]any{
			"accessControl": access,
			"model": map[string]any{
				"path":    filepath.Join(root, "internal", "segmentation", "testdata", "models", "threshold"),
				"library": filepath.Join(root, "artifacts", "onnxruntime", "linux-"+runtime.GOARCH, "libonnxruntime.so.1"),
			},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// process is "brainseg component" as a nucleus starts it.
type process struct {
	*exec.Cmd
	log     bytes.Buffer
	results chan request.Result
	client  *ggipc.Client
}

// startComponent returns when the component takes requests.
func startComponent(t *testing.T, n *nucleus.Nucleus) *process {
	t.Helper()
	return startProgram(t, n, "brainseg")
}

// startProgram is startComponent for another build of the program.
func startProgram(t *testing.T, n *nucleus.Nucleus, program string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(program, "component"), results: make(chan request.Result, 16)}
	p.Dir = t.TempDir()
	p.Env = append(os.Environ(), n.Env(greengrass.ComponentName)...)
	p.Stdout, p.Stderr = &p.log, &p.log
	var err error
	if p.client, err = ggipc.Connect(t.Context(), ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(clientName)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.client.Close() })
	ready := make(chan struct{}, 16)
	subscribe := func(topic string, handle func(context.Context, []byte)) {
		_, err := p.client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: topic}, func(ctx context.Context, m ggipc.TopicMessage) { handle(ctx, m.Bytes()) })
		if err != nil {
			t.Fatal(err)
		}
	}
	subscribe("inference/brain_segmentation", func(_ context.Context, b []byte) {
		if strings.Contains(string(b), `"Ready."`) {
			ready <- struct{}{}
		}
	})
	subscribe("inference/brain_segmentation/result", func(ctx context.Context, b []byte) {
		var r request.Result
		if err := json.Unmarshal(b, &r); err != nil {
			t.Error(err)
		}
		select {
		case p.results <- r:
		case <-ctx.Done():
		}
	})
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	select {
	case <-ready:
	case <-time.After(time.Minute):
		p.Process.Kill()
		p.Wait()
		t.Fatalf("the component is not ready:\n%s", p.log.String())
	}
	return p
}

func (p *process) end(t *testing.T) int {
	t.Helper()
	stop := time.AfterFunc(time.Minute, func() { p.Process.Kill() })
	defer stop.Stop()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

func TestTheComponentProcessServesADefaultDeployment(t *testing.T) {
	for _, profile := range []nucleus.Profile{nucleus.Classic, nucleus.Lite} {
		t.Run(profile.String(), func(t *testing.T) {
			n := newNucleus(t, profile)
			p := startComponent(t, n)
			// Its folders are below its own working directory.
			picture, err := os.ReadFile(filepath.Join("..", "..", "imaging", "testdata", "rgb.jpg"))
			if err == nil {
				err = os.WriteFile(filepath.Join(p.Dir, "images", "rgb.jpg"), picture, 0o640)
			}
			if err != nil {
				t.Fatal(err)
			}
			document := []byte(`{"id":"secret-id","image":{"path":"rgb.jpg"}}`)
			if err := p.client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: "inference/brain_segmentation/request", Binary: document}); err != nil {
				t.Fatal(err)
			}
			select {
			case r := <-p.results:
				if r.Error != nil || r.Mask.Path != filepath.Join(p.Dir, "masks", "secret-id.png") || r.Thing == "" {
					t.Errorf("result: %+v, mask %+v, error %+v", r, r.Mask, r.Error)
				}
			case <-time.After(time.Minute):
				t.Fatal("no result")
			}
			p.Process.Signal(syscall.SIGTERM)
			if code := p.end(t); code != command.ExitOK {
				t.Errorf("exit code %d, want 0\n%s", code, p.log.String())
			}
			for line := range strings.Lines(p.log.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("the log has a line that is not JSON: %s", line)
				}
			}
			if strings.Contains(p.log.String(), "secret-id") || strings.Contains(p.log.String(), "rgb.jpg") {
				t.Errorf("the log names the request or its image:\n%s", p.log.String())
			}
		})
	}
}

func TestARefusedTokenEndsTheProcessWithItsOwnExitCode(t *testing.T) {
	n := newNucleus(t, nucleus.Classic)
	p := startComponent(t, n)
	if err := n.Revoke(greengrass.ComponentName); err != nil {
		t.Fatal(err)
	}
	n.DropConnections(greengrass.ComponentName)
	if code := p.end(t); code != command.ExitTokenRefused {
		t.Errorf("exit code %d, want %d\n%s", code, command.ExitTokenRefused, p.log.String())
	}
}

// stopped is for how long the process stands still at least: make burst has it
// stand still for longer than anybody's patience with a connection.
var stopped = flag.Duration("stopped", 0, "least time that the process stands still")

func TestAProcessThatStoodStillAnswersWhateverCameMeanwhile(t *testing.T) {
	n := newNucleus(t, nucleus.Classic)
	p := startComponent(t, n)
	client, err := ggipc.Connect(t.Context(), ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(clientName), QueueEvents: 10_000, QueueBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const sent = 1386
	answered := make(map[string]bool) // by the handler alone
	codes := make(map[request.Code]int)
	all := make(chan struct{})
	_, err = client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: "inference/brain_segmentation/result"}, func(_ context.Context, m ggipc.TopicMessage) {
		var r request.Result
		if err := json.Unmarshal(m.Bytes(), &r); err != nil {
			t.Error(err)
		}
		if answered[r.ID] {
			return // again, for what was on its way when the process was stopped
		}
		if r.Error != nil {
			codes[r.Error.Code]++
		}
		if answered[r.ID] = true; len(answered) == sent {
			close(all)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	rest := time.After(*stopped)
	for i := range sent {
		document := fmt.Appendf(nil, `{"id":"%d","image":{"path":"missing.png"}}`, i)
		if err := client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: "inference/brain_segmentation/request", Binary: document}); err != nil {
			t.Fatal(err)
		}
	}
	<-rest
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-all:
		t.Logf("stood still for %v; %d requests, all answered: %v", *stopped, sent, codes)
	case <-time.After(time.Minute):
		t.Errorf("only some of %d requests are answered", sent)
	}
	p.Process.Signal(syscall.SIGTERM)
	if code := p.end(t); code != command.ExitOK {
		t.Errorf("exit code %d", code)
	}
}
