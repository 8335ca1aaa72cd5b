package greengrass

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/health"
	"github.com/brainseg/brainseg/internal/device/request"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientName   = "com.example.Client"
	requestTopic = "inference/brain_segmentation/request"
	resultTopic  = "inference/brain_segmentation/result"
	statusTopic  = "inference/brain_segmentation"
	patience     = 3 * time.Minute
)

// device is a local nucleus with our component, and a client that watches it.
type device struct {
	t        testing.TB
	nucleus  *nucleus.Nucleus
	client   *ggipc.Client
	in, out  string
	socket   string        // of the component; default the nucleus'
	look     time.Duration // Options.LookInterval
	watch    time.Duration // Options.WatchInterval
	keep     string        // Options.KeepModel
	kept     string        // Options.KeepConfiguration
	await    time.Duration // Options.AwaitModel
	level    *zap.AtomicLevel
	results  chan request.Result
	statuses chan request.Status
	cloud    <-chan nucleus.Message
	logs     *observer.ObservedLogs

	stop  context.CancelFunc
	ended chan error
}

func access(component string) map[string]any {
	policy := func(operations, resources []any) map[string]any {
		return map[string]any{"operations": operations, "resources": resources}
	}
	return map[string]any{
		"aws.greengrass.ipc.pubsub":    map[string]any{component + ":pubsub:1": policy([]any{"*"}, []any{requestTopic, resultTopic, statusTopic, health.CloudWatchTopic})},
		"aws.greengrass.ipc.mqttproxy": map[string]any{component + ":mqttproxy:1": policy([]any{"*"}, []any{statusTopic, resultTopic})},
	}
}

// modelDir names the small model values: class = grey value / 32, of three.
func modelDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../../segmentation/testdata/models/values")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func library(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../../../artifacts/onnxruntime/linux-" + runtime.GOARCH + "/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// newDevice starts a nucleus and a client, not the component yet. change is
// merged into the component's configuration.
func newDevice(t testing.TB, profile nucleus.Profile, change map[string]any) *device {
	t.Helper()
	d := &device{t: t, in: t.TempDir(), out: filepath.Join(t.TempDir(), "masks"), results: make(chan request.Result, 1000), statuses: make(chan request.Status, 4000)}
	configuration := map[string]any{
		"accessControl": access(ComponentName),
		"model":         map[string]any{"path": modelDir(t), "library": library(t)},
		"images":        map[string]any{"roots": []any{d.in}},
		"output":        map[string]any{"root": d.out},
		"queue":         map[string]any{"folder": filepath.Join(t.TempDir(), "queue")},
	}
	for key, value := range change {
		configuration[key] = value
	}
	// One worker answers in the order of the requests, however many suit the machine.
	service := map[string]any{"workers": 1}
	if given, ok := change["service"].(map[string]any); ok {
		maps.Copy(service, given)
	}
	configuration["service"] = service
	var err error
	d.nucleus, err = nucleus.New(nucleus.Options{Profile: profile, Components: []nucleus.Component{
		{Name: ComponentName, Configuration: configuration},
		{Name: clientName, Configuration: map[string]any{"accessControl": access(clientName)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.nucleus.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.nucleus.Close() })
	var cancel func()
	d.cloud, cancel = d.nucleus.SubscribeCloud("#")
	t.Cleanup(cancel)

	d.client, err = ggipc.Connect(t.Context(), ggipc.Options{SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(clientName), CallTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.client.Close() })
	watch(t, d.client, resultTopic, d.results)
	watch(t, d.client, statusTopic, d.statuses)
	return d
}

// watch decodes what comes on a topic into a channel.
func watch[T any](t testing.TB, client *ggipc.Client, topic string, to chan T) {
	t.Helper()
	_, err := client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: topic}, func(ctx context.Context, m ggipc.TopicMessage) {
		var v T
		if err := json.Unmarshal(m.Bytes(), &v); err != nil {
			t.Errorf("message on %s: %v", topic, err)
		}
		select {
		case to <- v:
		case <-ctx.Done():
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// launch runs the component and returns when it takes requests or has ended.
func (d *device) launch() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	core, logs := observer.New(zap.DebugLevel)
	d.logs, d.stop, d.ended = logs, cancel, make(chan error, 1)
	ready := make(chan struct{})
	socket := d.socket
	if socket == "" {
		socket = d.nucleus.SocketPath()
	}
	go func() {
		d.ended <- Run(ctx, Options{
			IPC: ggipc.Options{
				SocketPath: socket, AuthToken: d.nucleus.Token(ComponentName),
				RefusalGrace: 50 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
			},
			LookInterval: d.look, WatchInterval: d.watch, KeepModel: d.keep, KeepConfiguration: d.kept, Level: d.level, AwaitModel: d.await, Logger: zap.New(core), Ready: func() { close(ready) },
		})
	}()
	d.t.Cleanup(func() { cancel(); d.wait() })
	select {
	case <-ready:
	case err := <-d.ended:
		d.ended <- err
	case <-time.After(patience):
		d.t.Fatal("the component is not ready")
	}
}

// wait returns how the component ended.
func (d *device) wait() error {
	d.t.Helper()
	select {
	case err := <-d.ended:
		d.ended <- err
		return err
	case <-time.After(patience):
		d.t.Fatal("the component does not end")
		return nil
	}
}

func (d *device) publish(document string) {
	d.t.Helper()
	if err := d.client.PublishToTopic(d.t.Context(), ggipc.PublishToTopicRequest{Topic: requestTopic, Binary: []byte(document)}); err != nil {
		d.t.Fatal(err)
	}
}

func next[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func (d *device) ask(document string) request.Result {
	d.t.Helper()
	d.publish(document)
	return next(d.t, d.results)
}

// slice writes a PNG of classes 0, 1 and 2, four columns each.
func (d *device) slice(name string) {
	d.t.Helper()
	picture := image.NewGray(image.Rect(0, 0, 12, 5))
	for i := range picture.Pix {
		picture.Pix[i] = uint8(8 * (i % 12))
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.in, name), b.Bytes(), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// bothProfiles runs a test under either kind of nucleus.
func bothProfiles(t *testing.T, test func(*testing.T, nucleus.Profile)) {
	for _, profile := range []nucleus.Profile{nucleus.Classic, nucleus.Lite} {
		t.Run(profile.String(), func(t *testing.T) { test(t, profile) })
	}
}
