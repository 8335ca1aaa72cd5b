package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

// The components of the nucleus: ours, and the one that sends requests.
const (
	componentName = "io.brainseg.BrainSegmentation"
	clientName    = "io.brainseg.Benchmark"
	requestTopic  = "benchmark/request"
	resultTopic   = "benchmark/result"
	statusTopic   = "benchmark/status"
)

// component is our component, under a local nucleus in this process. A slice is
// a request and its result, over IPC.
type component struct {
	process
	program string
	masks   string
	nucleus *nucleus.Nucleus
	client  *ggipc.Client
	results chan request.Result
	ready   chan struct{} // the component takes requests
	count   int
	// Of every start: from the process to the status that follows RUNNING.
	starts []time.Duration
	// Where the time went, of every slice of the component's current process.
	timings []request.Timings
}

func newComponent(ctx context.Context, s settings) (*component, error) {
	masks := filepath.Join(s.work, "component")
	if err := os.MkdirAll(masks, 0o750); err != nil {
		return nil, err
	}
	everything := map[string]any{"1": map[string]any{"operations": []any{"*"}, "resources": []any{"*"}}}
	access := map[string]any{"aws.greengrass.ipc.pubsub": everything, "aws.greengrass.ipc.mqttproxy": everything}
	n, err := nucleus.New(nucleus.Options{Components: []nucleus.Component{
		{Name: clientName, Configuration: map[string]any{"accessControl": access}},
		{Name: componentName, Configuration: map[string]any{
			"accessControl": access,
			"topics":        map[string]any{"request": requestTopic, "result": resultTopic, "status": statusTopic},
			"model":         map[string]any{"path": s.model, "library": s.library},
			"images":        map[string]any{"roots": []any{filepath.Join(s.work, "slices")}},
			"output":        map[string]any{"root": masks},
			"service":       map[string]any{"workers": 1}, // one thread, as the others
			"queue":         map[string]any{"folder": filepath.Join(s.work, "queue")},
		}},
	}})
	if err != nil {
		return nil, err
	}
	if err := n.Start(ctx); err != nil {
		return nil, err
	}
	c := &component{program: s.component, masks: masks, nucleus: n, results: make(chan request.Result, 1), ready: make(chan struct{}, 1)}
	c.client, err = ggipc.Connect(ctx, ggipc.Options{SocketPath: n.SocketPath(), AuthToken: n.Token(clientName)})
	if err != nil {
		return nil, fmt.Errorf("connect to the local nucleus: %w", err)
	}
	_, err = c.client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: resultTopic}, func(ctx context.Context, m ggipc.TopicMessage) {
		var r request.Result
		if err := json.Unmarshal(m.Bytes(), &r); err != nil {
			r = request.Result{Error: &request.Failure{Message: err.Error()}}
		}
		select {
		case c.results <- r:
		case <-ctx.Done():
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to results: %w", err)
	}
	_, err = c.client.SubscribeToTopic(ctx, ggipc.SubscribeToTopicRequest{Topic: statusTopic}, func(_ context.Context, m ggipc.TopicMessage) {
		var status request.Status
		if json.Unmarshal(m.Bytes(), &status) == nil && status.State == request.StateReady && status.Request == 0 {
			select {
			case c.ready <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to status messages: %w", err)
	}
	return c, nil
}

func (c *component) name() string { return "brainseg over IPC" }

// start returns when the component tells that it takes requests.
func (c *component) start(ctx context.Context) error {
	c.timings = nil
	begin := time.Now()
	command := exec.CommandContext(ctx, c.program, "component")
	command.Dir = filepath.Dir(c.masks) // its copy of the model is left there
	command.Env = append(os.Environ(), c.nucleus.Env(componentName)...)
	if err := c.launch(command); err != nil {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	select {
	case <-c.ready:
		c.starts = append(c.starts, time.Since(begin))
		return nil
	case <-time.After(30 * time.Second):
		return c.failed(c.name(), errors.New("the component does not run after 30 s"))
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *component) slice(ctx context.Context, in, out string) (time.Duration, error) {
	c.count++
	id := strconv.Itoa(c.count)
	start := time.Now()
	document, err := json.Marshal(map[string]any{"id": id, "image": map[string]any{"path": in}, "output": map[string]any{"to": out}})
	if err != nil {
		return 0, err
	}
	if err := c.client.PublishToTopic(ctx, ggipc.PublishToTopicRequest{Topic: requestTopic, Binary: document}); err != nil {
		return 0, err
	}
	select {
	case r := <-c.results:
		took := time.Since(start)
		if r.ID != id || r.Error != nil || r.Timings == nil {
			return 0, fmt.Errorf("%s: the result of request %s is %+v, error %+v", c.name(), id, r, r.Error)
		}
		c.timings = append(c.timings, *r.Timings)
		return took, nil
	case <-time.After(10 * time.Second):
		return 0, c.failed(c.name(), errors.New("no result after 10 s"))
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// stop ends the process; the nucleus lives on for the next start, until close.
func (c *component) stop() { c.process.stop() }

func (c *component) close() {
	c.stop()
	c.client.Close()
	c.nucleus.Close()
}

// outsideInference is the share of the component's own time for a slice that is
// not inference.
func (c *component) outsideInference() float64 {
	var total, inference float64
	for _, t := range c.timings {
		total += t.Total
		inference += t.Inference
	}
	if total == 0 {
		return 0
	}
	return 1 - inference/total
}
