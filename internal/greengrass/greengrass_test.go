package greengrass

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/brainseg/brainseg/internal/ggipc"
	"github.com/brainseg/brainseg/internal/nucleus"
	"github.com/brainseg/brainseg/internal/request"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientName   = "com.example.Client"
	requestTopic = "inference/brain_segmentation/request"
	resultTopic  = "inference/brain_segmentation/result"
	statusTopic  = "inference/brain_segmentation"
	patience     = 20 * time.Second
)

// device is a local nucleus with our component, and a client that watches it.
type device struct {
	t        testing.TB
	nucleus  *nucleus.Nucleus
	client   *ggipc.Client
	in, out  string
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
		"aws.greengrass.ipc.pubsub":    map[string]any{component + ":pubsub:1": policy([]any{"*"}, []any{requestTopic, resultTopic, statusTopic})},
		"aws.greengrass.ipc.mqttproxy": map[string]any{component + ":mqttproxy:1": policy([]any{"*"}, []any{statusTopic})},
	}
}

// modelDir names the small model values: class = grey value / 32, of three.
func modelDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../segmentation/testdata/models/values")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func library(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../../artifacts/onnxruntime/linux-" + runtime.GOARCH + "/libonnxruntime.so.1")
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
	}
	for key, value := range change {
		configuration[key] = value
	}
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

	d.client, err = ggipc.Connect(t.Context(), ggipc.Options{SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(clientName)})
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
	_, err := client.SubscribeToTopic(t.Context(), ggipc.SubscribeToTopicRequest{Topic: topic}, func(_ context.Context, m ggipc.TopicMessage) {
		var v T
		if err := json.Unmarshal(m.Bytes(), &v); err != nil {
			t.Errorf("message on %s: %v", topic, err)
		}
		to <- v
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
	go func() {
		d.ended <- Run(ctx, Options{
			IPC: ggipc.Options{
				SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(ComponentName),
				RefusalGrace: 50 * time.Millisecond, MaxBackoff: 100 * time.Millisecond,
			},
			Logger: zap.New(core), Ready: func() { close(ready) },
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

func TestARequestOverIPCIsAnsweredAndEverybodyCanWatch(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		r := d.ask(`{"id":"7","image":{"path":"a.png"},"output":{"overlay":true,"inline":true}}`)
		if r.ID != "7" || r.Error != nil || r.Mask == nil || r.Overlay == nil || len(r.Mask.Base64) == 0 || r.Timings == nil {
			t.Fatalf("result: %+v, error %+v", r, r.Error)
		}
		if content, err := os.ReadFile(r.Mask.Path); err != nil || !bytes.Equal(content, r.Mask.Base64) {
			t.Errorf("the mask in the result is not the file: %v", err)
		}
		if got := d.nucleus.State(ComponentName); got != "RUNNING" {
			t.Errorf("state: %s", got)
		}
		want := []string{"Model loaded.", "App starting.", "Ready.", "Image received.", "Image processed."}
		for i, message := range want {
			if got := next(t, d.statuses); got.Message != message {
				t.Errorf("status message %d on the device: %q, want %q", i, got.Message, message)
			}
			m := next(t, d.cloud)
			var got request.Status
			if err := json.Unmarshal(m.Payload, &got); err != nil || m.Topic != statusTopic || got.Message != message {
				t.Errorf("status message %d in IoT Core: %s %s, want %q", i, m.Topic, m.Payload, message)
			}
		}
		d.stop()
		if err := d.wait(); err != nil {
			t.Errorf("the component ended with %v", err)
		}
		if got := next(t, d.statuses); got.State != request.StateStopping {
			t.Errorf("last status: %+v", got)
		}
	})
}

func TestRequestsMayBeJSONMessagesToo(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.slice("a.png")
	d.launch()
	err := d.client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: requestTopic, JSON: json.RawMessage(`{"id":"7","image":{"path":"a.png"}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if r := next(t, d.results); r.ID != "7" || r.Error != nil {
		t.Errorf("result: %+v, error %+v", r, r.Error)
	}
}

func TestBadRequestsGetOneResultEachAndTheComponentLivesOn(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		for document, code := range map[string]request.Code{
			`not JSON`:                            request.CodeInvalidRequest,
			`[]`:                                  request.CodeInvalidRequest,
			`{"id":"x"}`:                          request.CodeInvalidRequest,
			`{"id":"x","image":{"path":"b.png"}}`: request.CodeImageNotFound,
			`{"id":"x","image":{"path":"../../../etc/passwd"}}`:                            request.CodeImageNotAllowed,
			`{"id":"x","image":{"s3":"s3://bucket/k"}}`:                                    request.CodeImageNotAllowed,
			`{"id":"x","image":{"base64":"aGVsbG8="}}`:                                     request.CodeImageUnreadable,
			`{"bucket":"bucket","prefix":"in/k.png"}`:                                      request.CodeImageNotAllowed,
			`{"id":"x","image":{"path":"a.png"},"output":{"to":"/etc/mask.png"}}`:          request.CodeOutputNotAllowed,
			`{"id":"x","image":{"path":"a.png"},"output":{"to":"s3://bucket/k/mask.png"}}`: request.CodeOutputNotAllowed,
		} {
			if r := d.ask(document); r.Error == nil || r.Error.Code != code {
				t.Errorf("%s: %+v, want %s", document, r.Error, code)
			}
		}
		if r := d.ask(`{"id":"y","image":{"path":"a.png"}}`); r.ID != "y" || r.Error != nil {
			t.Errorf("a good request after them: %+v", r.Error)
		}
	})
}

func TestAResultAlwaysFitsIntoAFrame(t *testing.T) {
	d := newDevice(t, nucleus.Lite, nil)
	d.launch()
	// A mask that does not compress: classes at random.
	picture := image.NewGray(image.Rect(0, 0, 200, 200))
	state := uint32(1)
	for i := range picture.Pix {
		state = state*1664525 + 1013904223
		picture.Pix[i] = uint8(state>>24) % 96
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.in, "noise.png"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := d.ask(`{"id":"` + strings.Repeat("\\u00fc", 64) + `","image":{"path":"noise.png"},"output":{"inline":true}}`)
	if r.Error != nil || r.Complete || r.Mask == nil || r.Mask.Base64 != nil || r.Mask.Path == "" || r.Tissues == nil {
		t.Errorf("result: %+v, error %+v", r, r.Error)
	}
}

func TestAnImageMayComeInTheRequest(t *testing.T) {
	d := newDevice(t, nucleus.Lite, nil)
	d.slice("a.png")
	content, err := os.ReadFile(filepath.Join(d.in, "a.png"))
	if err != nil {
		t.Fatal(err)
	}
	d.launch()
	if r := d.ask(fmt.Sprintf(`{"id":"i","image":{"base64":%q}}`, base64.StdEncoding.EncodeToString(content))); r.Error != nil || r.Image.Width != 12 {
		t.Errorf("result: %+v, error %+v", r, r.Error)
	}
}

// A request with an image may be larger than what a subscription holds by
// itself: the classic nucleus passes on what its transport can carry.
func TestARequestMayFillALargeFrame(t *testing.T) {
	const maxFrame = 16 << 20
	d := newDevice(t, nucleus.Classic, map[string]any{"ipc": map[string]any{"maxFrameBytes": maxFrame}})
	d.slice("a.png")
	d.launch()
	client, err := ggipc.Connect(t.Context(), ggipc.Options{SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(clientName), MaxFrame: maxFrame})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	document := fmt.Sprintf(`{"id":"large","image":{"path":"a.png"}%s}`, strings.Repeat(" ", 8<<20))
	if err := client.PublishToTopic(t.Context(), ggipc.PublishToTopicRequest{Topic: requestTopic, Binary: []byte(document)}); err != nil {
		t.Fatal(err)
	}
	if r := next(t, d.results); r.ID != "large" || r.Error != nil {
		t.Errorf("result: %+v, error %+v", r, r.Error)
	}
}

func TestABurstIsAnsweredInOrder(t *testing.T) {
	d := newDevice(t, nucleus.Classic, map[string]any{"service": map[string]any{"queue": 500}})
	d.slice("a.png")
	d.launch()
	const n = 200
	for i := range n {
		d.publish(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"},"output":{"to":"same.png"}}`, i))
	}
	for i := range n {
		if r := next(t, d.results); r.Error != nil || r.ID != fmt.Sprint(i) {
			t.Fatalf("result %d: id %s, error %+v", i, r.ID, r.Error)
		}
	}
}

func TestStatusWaitsUntilTheDeviceIsOnlineAgain(t *testing.T) {
	d := newDevice(t, nucleus.Lite, nil)
	d.slice("a.png")
	d.nucleus.SetOnline(false)
	d.launch()
	if r := d.ask(`{"id":"offline","image":{"path":"a.png"}}`); r.Error != nil {
		t.Fatalf("offline: %+v", r.Error)
	}
	d.nucleus.SetOnline(true)
	var got []string
	for range 5 {
		var s request.Status
		if err := json.Unmarshal(next(t, d.cloud).Payload, &s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s.Message)
	}
	if diff := cmp.Diff([]string{"Model loaded.", "App starting.", "Ready.", "Image received.", "Image processed."}, got); diff != "" {
		t.Errorf("messages in IoT Core (-want +got):\n%s", diff)
	}
}

func TestTheComponentOutlivesALostConnection(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		d.nucleus.DropConnections(ComponentName)
		deadline := time.Now().Add(patience)
		for {
			d.publish(`{"id":"again","image":{"path":"a.png"}}`)
			select {
			case r := <-d.results:
				if r.Error != nil {
					t.Fatalf("result: %+v", r.Error)
				}
				return
			case <-time.After(50 * time.Millisecond): // nobody had subscribed yet
			}
			if time.Now().After(deadline) {
				t.Fatal("no result")
			}
		}
	})
}

func TestARefusedTokenEndsTheComponentForANewProcess(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.launch()
		if err := d.nucleus.Revoke(ComponentName); err != nil {
			t.Fatal(err)
		}
		d.nucleus.DropConnections(ComponentName)
		if err := d.wait(); !errors.Is(err, ggipc.ErrTokenRefused) {
			t.Errorf("got %v, want ErrTokenRefused", err)
		}
	})
}

func TestAnUpdateGoesAheadWhileNothingIsInWork(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.launch()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.nucleus.BeginUpdate(ctx, "deployment"); err != nil {
		t.Error(err)
	}
}

func TestWhatWasAcceptedIsAnsweredBeforeTheComponentEnds(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.slice("a.png")
	d.launch()
	const n = 30
	for i := range n {
		d.publish(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, i))
	}
	next(t, d.results) // one is answered: the others are at the component or on their way
	d.stop()
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
	received := 0
	for {
		select {
		case s := <-d.statuses:
			if s.Message == request.MessageImageReceived {
				received++
			}
			continue
		case <-time.After(200 * time.Millisecond):
		}
		break
	}
	if answered := 1 + len(d.results); answered < received {
		t.Errorf("%d requests were received and %d answered", received, answered)
	}
}

func TestAComponentThatCannotStartSaysWhy(t *testing.T) {
	broken := t.TempDir()
	if err := os.CopyFS(broken, os.DirFS(modelDir(t))); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(broken, "model.onnx"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.Write([]byte("x"))
	file.Close()
	tests := []struct {
		name    string
		change  map[string]any
		want    string // in the error
		message string // on the status topic, "" for none
	}{
		{"no model", map[string]any{"model": map[string]any{"path": "/nowhere"}}, "/nowhere/manifest.json", "Error: the model's manifest is not valid."},
		{"another checksum", map[string]any{"model": map[string]any{"path": broken}}, "checksum", "Error: the model file does not have the checksum that its manifest gives."},
		{"no library", map[string]any{"model": map[string]any{"path": modelDir(t), "library": "/nowhere/lib.so"}}, "/nowhere/lib.so", "Error: ONNX Runtime cannot be used."},
		{"no image folder", map[string]any{"images": map[string]any{"roots": []any{"/nowhere"}}}, "/nowhere", "Error: the component cannot start; its log on the device says why."},
		{"a wrong value", map[string]any{"service": map[string]any{"workers": "many"}}, "service.workers", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDevice(t, nucleus.Classic, tt.change)
			d.launch()
			if err := d.wait(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
			if state := d.nucleus.State(ComponentName); state == "RUNNING" {
				t.Error("the component said RUNNING")
			}
			if tt.message == "" {
				return
			}
			if s := next(t, d.statuses); s.Message != tt.message || s.State != request.StateStopping {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

func TestUnknownKeysAreToldAndHarmNothing(t *testing.T) {
	d := newDevice(t, nucleus.Lite, map[string]any{"zoo": map[string]any{"animals": 3}})
	d.slice("a.png")
	d.launch()
	if r := d.ask(`{"id":"7","image":{"path":"a.png"}}`); r.Error != nil {
		t.Errorf("result: %+v", r.Error)
	}
	if d.logs.FilterField(zap.String("key", "zoo.animals")).Len() != 1 {
		t.Error("the log does not name the key")
	}
}

func TestWithoutARightToSubscribeTheErrorNamesTheRecipe(t *testing.T) {
	d := newDevice(t, nucleus.Classic, map[string]any{"accessControl": map[string]any{}})
	d.launch()
	if err := d.wait(); err == nil || !strings.Contains(err.Error(), "accessControl") {
		t.Errorf("got %v", err)
	}
}

func TestTheEndpointIsServedWhereItIsConfigured(t *testing.T) {
	d := newDevice(t, nucleus.Classic, map[string]any{"http": map[string]any{"address": "127.0.0.1:0"}})
	d.launch()
	if d.logs.FilterMessage("HTTP endpoint is listening").Len() != 1 {
		t.Error("the log does not tell the address")
	}
}
