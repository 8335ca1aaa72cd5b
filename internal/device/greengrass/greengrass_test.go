package greengrass

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/brainseg/brainseg/ggipc"
	"github.com/brainseg/brainseg/internal/dev/nucleus"
	"github.com/brainseg/brainseg/internal/device/dicomnet"
	"github.com/brainseg/brainseg/internal/device/request"
)

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
		for i := 0; ; i++ {
			d.publish(fmt.Sprintf(`{"id":"again-%d","image":{"path":"a.png"}}`, i))
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

func TestWhatWasAcceptedIsAnsweredBeforeTheComponentEndsOrAfterItIsStartedAgain(t *testing.T) {
	bothProfiles(t, func(t *testing.T, profile nucleus.Profile) {
		d := newDevice(t, profile, nil)
		d.slice("a.png")
		d.launch()
		c := d.tally()
		const n = 30
		for i := range n {
			d.publish(fmt.Sprintf(`{"id":"%d","image":{"path":"a.png"}}`, i))
		}
		until(t, "all are received", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.seen[request.MessageImageReceived] == n
		})
		d.stop()
		if err := d.wait(); err != nil {
			t.Fatal(err)
		}
		d.launch()
		until(t, "all are answered", func() bool { return c.answered() == n })
		c.mu.Lock()
		defer c.mu.Unlock()
		for id, times := range c.times {
			if times != 1 {
				t.Errorf("request %s was answered %d times", id, times)
			}
		}
		if len(c.codes) > 0 {
			t.Errorf("requests failed: %v", c.codes)
		}
	})
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
	wrong := t.TempDir()
	if err := os.CopyFS(wrong, os.DirFS(modelDir(t))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(wrong, "selftest.png"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		change  map[string]any
		want    string // in the error
		message string // on the status topic, "" for none
	}{
		{"no model", map[string]any{"model": map[string]any{"path": "/nowhere"}}, "/nowhere/manifest.json", "Error: the model's manifest is not valid."},
		{"another checksum", map[string]any{"model": map[string]any{"path": broken}}, "checksum", "Error: the model file does not have the checksum that its manifest gives."},
		{"no library", map[string]any{"model": map[string]any{"path": modelDir(t), "library": "/nowhere/lib.so"}}, "/nowhere/lib.so", "Error: ONNX Runtime cannot be used."},
		{"no image folder", map[string]any{"images": map[string]any{"roots": []any{"/nowhere"}}}, "/nowhere", "Error: a folder for images or masks cannot be used."},
		{"a model that fails its self-test", map[string]any{"model": map[string]any{"path": wrong, "library": library(t)}}, "selftest.mask.png: no such file", "Error: the model failed its self-test."},
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
	told := d.logs.FilterMessage("HTTP endpoint is listening").All()
	if len(told) != 1 {
		t.Fatal("the log does not tell the address")
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + told[0].ContextMap()["address"].(string) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(content, []byte(`brainseg_info{version="",model="`)) {
		t.Errorf("metrics: %s, %v, %s", response.Status, err, content)
	}
}

func TestTheDICOMNodeListensWhereItIsConfigured(t *testing.T) {
	d := newDevice(t, nucleus.Classic, map[string]any{"dicom": map[string]any{"listen": "127.0.0.1:0", "folder": filepath.Join(t.TempDir(), "dicom"), "title": "DEVICE"}})
	d.launch()
	d.awaitStatus("Ready.")
	until(t, "the node listens", func() bool { return d.logs.FilterMessage("DICOM node listens").Len() == 1 })
	address := d.logs.FilterMessage("DICOM node listens").All()[0].ContextMap()["address"]
	node := dicomnet.Requestor{CallingTitle: "PEER", CalledTitle: "DEVICE", Address: fmt.Sprint(address)}
	a, err := node.Dial(t.Context(), dicomnet.Proposal{SOPClass: dicomnet.VerificationClass, TransferSyntaxes: []string{"1.2.840.10008.1.2"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Echo(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Release(t.Context()); err != nil {
		t.Error(err)
	}
}
