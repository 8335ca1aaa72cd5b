package greengrass

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/request"
)

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
			`not JSON`:                             request.CodeInvalidRequest,
			`[]`:                                   request.CodeInvalidRequest,
			`{"id":"x"}`:                           request.CodeInvalidRequest,
			`{"id":"x1","image":{"path":"b.png"}}`: request.CodeImageNotFound,
			`{"id":"x2","image":{"path":"../../../etc/passwd"}}`:                            request.CodeImageNotAllowed,
			`{"id":"x3","image":{"s3":"s3://bucket/k"}}`:                                    request.CodeImageNotAllowed,
			`{"id":"x4","image":{"base64":"aGVsbG8="}}`:                                     request.CodeImageUnreadable,
			`{"bucket":"bucket","prefix":"in/k.png"}`:                                       request.CodeImageNotAllowed,
			`{"id":"x5","image":{"path":"a.png"},"output":{"to":"/etc/mask.png"}}`:          request.CodeOutputNotAllowed,
			`{"id":"x6","image":{"path":"a.png"},"output":{"to":"s3://bucket/k/mask.png"}}`: request.CodeOutputNotAllowed,
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
	client, err := ggipc.Connect(t.Context(), ggipc.Options{SocketPath: d.nucleus.SocketPath(), AuthToken: d.nucleus.Token(clientName), MaxFrame: maxFrame, CallTimeout: patience})
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

func TestNothingOfARequestIsInTheStatus(t *testing.T) {
	d := newDevice(t, nucleus.Classic, nil)
	d.launch()
	d.awaitStatus("Ready.")
	for _, document := range []string{
		`{"id":"a","JohnSmith19700101":1}`, `{"id":"JohnSmith19700101","image":{"path":"JohnSmith19700101.png"}}`,
		`{"id":"a","image":{"path":"x","JohnSmith19700101":1}}`, `{"id":"a","image":{"s3":"s3://john-smith-19700101/JohnSmith19700101"}}`,
		`{"id":"a","image":{"path":"x"},"output":{"to":"JohnSmith19700101"}}`, `JohnSmith19700101`,
	} {
		d.ask(document)
		s := next(t, d.statuses)
		for ; !strings.HasPrefix(s.Message, "Error: "); s = next(t, d.statuses) {
		}
		if strings.Contains(strings.ToLower(s.Message), "smith") {
			t.Errorf("status: %+v", s)
		}
	}
}

func TestABurstIsAnsweredInOrder(t *testing.T) {
	d := newDevice(t, nucleus.Classic, map[string]any{"service": map[string]any{"queue": 500}})
	d.slice("a.png")
	d.launch()
	const n = 200
	for i := range n {
		d.publish(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"},"output":{"to":"%d.png"}}`, i, i))
	}
	for i := range n {
		if r := next(t, d.results); r.Error != nil || r.ID != fmt.Sprint(i) {
			t.Fatalf("result %d: id %s, error %+v", i, r.ID, r.Error)
		}
	}
}
